package lab

import (
	"encoding/binary"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Ether is Forward over Ethernet: the links are tap devices, which can be ports
// of a bridge, carry VLANs and belong to a VRF. They resolve no addresses.
const Ether Path = "near Ethernet link → prerouting → forward → postrouting → far Ethernet link"

// The hosts behind the two links, as far as Ethernet is concerned.
var (
	clientMAC = net.HardwareAddr{2, 0, 0, 0, 0, 0xc1}
	serverMAC = net.HardwareAddr{2, 0, 0, 0, 0, 0xc2}
	nearMAC   = net.HardwareAddr{2, 0, 0, 0, 0, 1}
	farMAC    = net.HardwareAddr{2, 0, 0, 0, 0, 2}
)

// ethernet is what a tap adds to a packet.
type ethernet struct {
	from, to net.HardwareAddr
	own      net.HardwareAddr // of the tap
	vlan     uint16           // 0 is none
}

// openTap makes a tap, whose address is to be set. Frames go to the box's end of it.
func openTap(name string) (*Link, error) {
	l, err := openTunTap(name, unix.IFF_TAP)
	if err != nil {
		return nil, err
	}
	l.ether = &ethernet{from: clientMAC, to: nearMAC, own: nearMAC}
	if name == FarName {
		l.ether = &ethernet{from: serverMAC, to: farMAC, own: farMAC}
	}
	return l, nil
}

// Bridged sends frames to the host behind the other link from now on, as where a
// bridge joins the two.
func (l *Link) Bridged() {
	l.ether.to = serverMAC
	if l.Name == FarName {
		l.ether.to = clientMAC
	}
}

// Tag gives frames a VLAN from now on; 0 takes it away.
func (l *Link) Tag(vlan uint16) { l.ether.vlan = vlan }

const vlanType = 0x8100

// head is the Ethernet header of a frame. A fence goes no further than the tap.
func (e *ethernet) head(proto uint16) []byte {
	to := e.to
	if proto == fenceProto {
		to = e.own
	}
	b := append([]byte{}, to...)
	b = append(b, e.from...)
	if e.vlan != 0 && proto != fenceProto {
		b = binary.BigEndian.AppendUint16(b, vlanType)
		b = binary.BigEndian.AppendUint16(b, e.vlan)
	}
	return binary.BigEndian.AppendUint16(b, proto)
}

// payload takes a frame apart.
func payload(frame []byte) (proto uint16, data []byte) {
	const head, tag = 14, 4
	if len(frame) < head {
		return 0, nil
	}
	proto, data = binary.BigEndian.Uint16(frame[12:]), frame[head:]
	if proto == vlanType && len(data) >= tag {
		return binary.BigEndian.Uint16(data[2:]), data[tag:]
	}
	return proto, data
}

// Down takes the link down.
func (l *Link) Down() error {
	l.worn = true
	dev, err := netlink.LinkByName(l.Name)
	if err != nil {
		return fmt.Errorf("find link %s: %w", l.Name, err)
	}
	if err := netlink.LinkSetDown(dev); err != nil {
		return fmt.Errorf("take %s down: %w", l.Name, err)
	}
	return nil
}

// Up sets the link up again, without the routes that it had.
func (l *Link) Up() error {
	if err := Ready(l.Name); err != nil {
		return err
	}
	return l.clear()
}

// clear forgets that the device was down, which its socket would tell once.
func (l *Link) clear() error {
	if _, err := unix.GetsockoptInt(l.sock, unix.SOL_SOCKET, unix.SO_ERROR); err != nil {
		return fmt.Errorf("clear socket of %s: %w", l.Name, err)
	}
	return nil
}

// AddBridge makes a bridge of the box's Ethernet links until the box is closed.
func (b *Box) AddBridge(name string, mac byte) error {
	snooping := false // it would join groups, and say so
	attrs := netlink.LinkAttrs{Name: name, HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 0, mac}}
	bridge := &netlink.Bridge{LinkAttrs: attrs, MulticastSnooping: &snooping}
	if err := b.addDevice(bridge); err != nil {
		return err
	}
	for _, l := range []*Link{b.Near, b.Far} {
		if err := enslave(l.Name, bridge); err != nil {
			return err
		}
		l.Bridged()
	}
	return nil
}

// AddVLAN makes a VLAN of a link, with what of it belongs to the box.
func (b *Box) AddVLAN(l *Link, name string, id uint16) error {
	dev, err := netlink.LinkByName(l.Name)
	if err != nil {
		return fmt.Errorf("find link %s: %w", l.Name, err)
	}
	vlan := &netlink.Vlan{LinkAttrs: netlink.LinkAttrs{Name: name, ParentIndex: dev.Attrs().Index}, VlanId: int(id)}
	return b.addDevice(vlan)
}

// AddVRF makes a VRF with a routing table of its own, in which are the routes of
// the links that it gets.
func (b *Box) AddVRF(name string, table uint32, links ...*Link) error {
	vrf := &netlink.Vrf{LinkAttrs: netlink.LinkAttrs{Name: name}, Table: table}
	if err := b.addDevice(vrf); err != nil {
		return err
	}
	for _, l := range links {
		if err := enslave(l.Name, vrf); err != nil {
			return err
		}
		if err := l.clear(); err != nil { // it went down and up again
			return err
		}
	}
	return nil
}

func enslave(name string, master netlink.Link) error {
	dev, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find link %s: %w", name, err)
	}
	if err := netlink.LinkSetMaster(dev, master); err != nil {
		return fmt.Errorf("put %s into %s: %w", name, master.Attrs().Name, err)
	}
	return nil
}

// addDevice makes a device, which has no queue to wait in, until the box is
// closed.
func (b *Box) addDevice(dev netlink.Link) error {
	name := dev.Attrs().Name
	if err := netlink.LinkAdd(dev); err != nil {
		return fmt.Errorf("make %s %s: %w", dev.Type(), name, err)
	}
	b.devices = append(b.devices, name)
	if err := netlink.LinkSetARPOff(dev); err != nil {
		return fmt.Errorf("set up %s: %w", name, err)
	}
	if err := netlink.LinkSetUp(dev); err != nil {
		return fmt.Errorf("set %s up: %w", name, err)
	}
	return nil
}

// removeDevices undoes addDevice, last one first.
func (b *Box) removeDevices() []error {
	var errs []error
	for i := len(b.devices) - 1; i >= 0; i-- {
		dev, err := netlink.LinkByName(b.devices[i])
		if err == nil {
			err = netlink.LinkDel(dev)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("remove %s: %w", b.devices[i], err))
		}
	}
	b.devices = nil
	return errs
}
