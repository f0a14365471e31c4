package lab

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Route sends what is for a prefix out of a device, in the main table.
func Route(prefix netip.Prefix, device string) error {
	return route(prefix, device, unix.RT_TABLE_MAIN)
}

// RouteIn is Route for another table.
func RouteIn(prefix netip.Prefix, device string, table int) error {
	return route(prefix, device, table)
}

func route(prefix netip.Prefix, device string, table int) error {
	dev, err := netlink.LinkByName(device)
	if err != nil {
		return fmt.Errorf("find link %s: %w", device, err)
	}
	dst := &net.IPNet{IP: prefix.Addr().AsSlice(), Mask: net.CIDRMask(prefix.Bits(), prefix.Addr().BitLen())}
	r := &netlink.Route{LinkIndex: dev.Attrs().Index, Dst: dst, Scope: unix.RT_SCOPE_LINK, Table: table}
	if prefix.Addr().Is6() {
		r.Scope = unix.RT_SCOPE_UNIVERSE // which is all there is
	}
	if err := netlink.RouteReplace(r); err != nil {
		return fmt.Errorf("route %s to %s: %w", prefix, device, err)
	}
	return nil
}

// Veth makes a pair of devices, one end in the calling thread's namespace and the
// other in that of a file, both up and without address resolution.
func Veth(here, there string, namespace int) error {
	pair := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: here}, PeerName: there, PeerNamespace: netlink.NsFd(namespace)}
	if err := netlink.LinkAdd(pair); err != nil {
		return fmt.Errorf("make veth %s: %w", here, err)
	}
	return Ready(here)
}

// Ready sets a device up, without address resolution.
func Ready(name string) error {
	dev, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find link %s: %w", name, err)
	}
	if err := netlink.LinkSetARPOff(dev); err != nil {
		return fmt.Errorf("set up %s: %w", name, err)
	}
	if err := netlink.LinkSetUp(dev); err != nil {
		return fmt.Errorf("set %s up: %w", name, err)
	}
	return nil
}

// SetMAC gives a device an address of Ethernet, by its last byte.
func SetMAC(name string, last byte) error {
	dev, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find link %s: %w", name, err)
	}
	if err := netlink.LinkSetHardwareAddr(dev, net.HardwareAddr{2, 0, 0, 0, 0, last}); err != nil {
		return fmt.Errorf("set address of %s: %w", name, err)
	}
	return nil
}

// Namespace opens the network namespace of the calling thread. The caller closes
// the file.
func Namespace() (int, error) {
	fd, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open network namespace: %w", err)
	}
	return fd, nil
}

// Join sets up the end of a veth pair in another namespace, that of a file, and
// routes a prefix through it. Without address resolution a device sends to its
// own address of Ethernet: the two ends have the same, by its last byte.
func Join(name string, mac byte, behind netip.Prefix, namespace int) error {
	return onThread(func() error {
		if err := unix.Setns(namespace, unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter network namespace: %w", err)
		}
		if err := SetMAC(name, mac); err != nil {
			return err
		}
		if err := Ready(name); err != nil {
			return err
		}
		return Route(behind, name)
	})
}
