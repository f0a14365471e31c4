package lab

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Give adds an address to a link of the box, behind those that it has. It is gone
// with the link. One of IPv6 may be used at once.
func (b *Box) Give(link string, a netip.Addr) error {
	b.worn = true
	return onAddress("give", link, hostNet(a), netlink.AddrAdd)
}

// GiveIn is Give of an address in a network, all of which the link reaches. One of
// IPv4 has a broadcast address, the last of the network.
func (b *Box) GiveIn(link string, a netip.Prefix) error {
	b.worn = true
	net := &net.IPNet{IP: a.Addr().AsSlice(), Mask: net.CIDRMask(a.Bits(), a.Addr().BitLen())}
	return onAddress("give", link, net, netlink.AddrAdd)
}

// Take removes an address from a link of the box.
func (b *Box) Take(link string, a netip.Addr) error {
	b.worn = true
	return onAddress("take", link, hostNet(a), netlink.AddrDel)
}

func onAddress(verb, link string, a *net.IPNet, do func(netlink.Link, *netlink.Addr) error) error {
	dev, err := netlink.LinkByName(link)
	if err != nil {
		return fmt.Errorf("find link %s: %w", link, err)
	}
	addr := &netlink.Addr{IPNet: a}
	if a.IP.To4() == nil {
		addr.Flags = unix.IFA_F_NODAD
	}
	if err := do(dev, addr); err != nil {
		return fmt.Errorf("%s %s of %s: %w", verb, a, link, err)
	}
	if a.IP.To4() == nil {
		return settled(a.IP, verb == "give")
	}
	return nil
}

// addressTicks bounds how many ticks an address of IPv6 may take to come or to go.
const addressTicks = 1000

// settled returns when the box takes packets to an address of IPv6 as its own, or
// no longer does. The kernel sees to that in the background, without duplicate
// address detection, too (addrconf_dad_work in net/ipv6/addrconf.c).
func settled(a net.IP, own bool) error {
	for range addressTicks {
		routes, err := netlink.RouteListFiltered(netlink.FAMILY_V6, &netlink.Route{
			Table: unix.RT_TABLE_LOCAL, Type: unix.RTN_LOCAL, Dst: &net.IPNet{IP: a, Mask: net.CIDRMask(128, 128)},
		}, netlink.RT_FILTER_TABLE|netlink.RT_FILTER_TYPE|netlink.RT_FILTER_DST)
		if err != nil {
			return fmt.Errorf("look whether %s is the box's: %w", a, err)
		}
		if own == (len(routes) > 0) {
			return nil
		}
		if err := PassTicks(1); err != nil {
			return err
		}
	}
	return fmt.Errorf("the box does not settle whether %s is its own", a)
}

// RouteBy sends what goes to an address out of a link of the box from now on.
func (b *Box) RouteBy(link string, a netip.Addr) error {
	dev, err := netlink.LinkByName(link)
	if err != nil {
		return fmt.Errorf("find link %s: %w", link, err)
	}
	route := &netlink.Route{LinkIndex: dev.Attrs().Index, Dst: hostNet(a), Scope: unix.RT_SCOPE_LINK}
	if err := netlink.RouteReplace(route); err != nil {
		return fmt.Errorf("route %s by %s: %w", a, link, err)
	}
	return nil
}

// Down sets a link of the box down. It cannot be fenced any more: what the probe
// asks after that is the table.
func (b *Box) Down(link string) error {
	dev, err := netlink.LinkByName(link)
	if err != nil {
		return fmt.Errorf("find link %s: %w", link, err)
	}
	if err := netlink.LinkSetDown(dev); err != nil {
		return fmt.Errorf("set %s down: %w", link, err)
	}
	return nil
}

// hostNet is a network of one address.
func hostNet(a netip.Addr) *net.IPNet {
	return &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(a.BitLen(), a.BitLen())}
}
