package lab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ctmatrix/ctmatrix/guest/internal/wire"
)

// Addresses of every experiment: the box answers at Server on its near link,
// behind which everything of Clients lives. Behind the far link, where there is
// one, lives everything of Servers.
var (
	Server  = netip.MustParseAddr("192.0.2.1")
	Clients = netip.MustParsePrefix("198.18.0.0/16")
	Servers = netip.MustParsePrefix("198.19.0.0/16")
)

// Names of the links inside the box.
const (
	NearName = "near"
	FarName  = "far"
)

// queueLen holds all that any experiment makes the box send between two fences.
const queueLen = 4096

// Path is what packets travel in the box.
type Path string

// The paths.
const (
	Input   Path = "near link → prerouting → input"
	Forward Path = "near link → prerouting → forward → postrouting → far link"
)

// Box is the network namespace under test with its links and rules.
type Box struct {
	Near, Far *Link // Far is nil unless the path is Forward
	Rules     *Ruleset
	sysctls   []restore
}

type restore struct {
	name, value string
	place       where
}

// NewBox turns the calling thread's namespace into a box: links are up and
// addressed, nothing is sent or tracked by itself. Close undoes it.
func NewBox(path Path) (*Box, error) {
	b := &Box{}
	if err := b.open(path); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

func (b *Box) open(path Path) error {
	var err error
	if b.Rules, err = NewRuleset(); err != nil {
		return err
	}
	// Router solicitations of a new link would be tracked.
	if err := b.SetSysctl("net.ipv6.conf.default.disable_ipv6", "1"); err != nil {
		return err
	}
	if b.Near, err = addLink(NearName, Clients); err != nil {
		return err
	}
	if err := addAddress(NearName, netip.PrefixFrom(Server, 32)); err != nil {
		return err
	}
	if path != Forward {
		return nil
	}
	if b.Far, err = addLink(FarName, Servers); err != nil {
		return err
	}
	return b.SetSysctl("net.ipv4.ip_forward", "1")
}

func addLink(name string, behind netip.Prefix) (*Link, error) {
	l, err := openTun(name)
	if err != nil {
		return nil, err
	}
	if err := l.up(behind); err != nil {
		return nil, errors.Join(err, l.close())
	}
	return l, nil
}

func (l *Link) up(behind netip.Prefix) error {
	dev, err := netlink.LinkByName(l.Name)
	if err != nil {
		return fmt.Errorf("find link %s: %w", l.Name, err)
	}
	if err := netlink.LinkSetTxQLen(dev, queueLen); err != nil {
		return fmt.Errorf("size queue of %s: %w", l.Name, err)
	}
	if err := netlink.LinkSetUp(dev); err != nil {
		return fmt.Errorf("set %s up: %w", l.Name, err)
	}
	dst := &net.IPNet{IP: behind.Addr().AsSlice(), Mask: net.CIDRMask(behind.Bits(), 32)}
	route := &netlink.Route{LinkIndex: dev.Attrs().Index, Dst: dst, Scope: unix.RT_SCOPE_LINK}
	if err := netlink.RouteAdd(route); err != nil {
		return fmt.Errorf("route %s to %s: %w", behind, l.Name, err)
	}
	return l.openFence(dev.Attrs().Index)
}

func addAddress(name string, addr netip.Prefix) error {
	dev, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find link %s: %w", name, err)
	}
	a := &netlink.Addr{IPNet: &net.IPNet{IP: addr.Addr().AsSlice(), Mask: net.CIDRMask(addr.Bits(), 32)}}
	if err := netlink.AddrAdd(dev, a); err != nil {
		return fmt.Errorf("add %s to %s: %w", addr, name, err)
	}
	return nil
}

// Fence returns once everything sent into any link is through: near first,
// since what it lets in may come out of far.
func (b *Box) Fence() error {
	if err := b.Near.Fence(); err != nil {
		return err
	}
	if b.Far != nil {
		return b.Far.Fence()
	}
	return nil
}

// Through sends packets into the near link, waits until they are through, and
// returns what came out of it because of them.
func (b *Box) Through(pkts ...wire.Packet) ([]wire.Seen, error) {
	if err := b.Near.Send(pkts...); err != nil {
		return nil, err
	}
	if err := b.Fence(); err != nil {
		return nil, err
	}
	return b.Near.Took(), nil
}

// Close takes links and rules away and sets sysctls back.
func (b *Box) Close() error {
	var errs []error
	if b.Rules != nil {
		errs = append(errs, b.Rules.Clear(), b.Rules.Close())
	}
	for _, l := range []*Link{b.Near, b.Far} {
		if l != nil {
			errs = append(errs, l.close())
		}
	}
	for i := len(b.sysctls) - 1; i >= 0; i-- {
		r := b.sysctls[i]
		errs = append(errs, r.place.write(r.name, r.value))
	}
	b.sysctls = nil
	return errors.Join(errs...)
}
