package lab

import (
	"errors"
	"net/netip"

	"github.com/ctmatrix/ctmatrix/guest/internal/wire"
)

// Addresses of every experiment: the box answers at Server on its near link,
// behind which everything of Clients lives. Behind the far link, where there is
// one, lives everything of Servers. Of IPv6 there are only clients and servers.
var (
	Server   = netip.MustParseAddr("192.0.2.1")
	Clients  = netip.MustParsePrefix("198.18.0.0/16")
	Servers  = netip.MustParsePrefix("198.19.0.0/16")
	Clients6 = netip.MustParsePrefix("2001:db8:1::/48")
	Servers6 = netip.MustParsePrefix("2001:db8:2::/48")
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
	// Forward6 is Forward for IPv6, too. The box has no address of that.
	Forward6 Path = "near link → prerouting → forward → postrouting → far link (IPv6)"
)

// Box is the network namespace under test with its links and rules.
type Box struct {
	Near, Far *Link // Far is nil unless the path is Forward
	Rules     *Ruleset
	path      Path
	sysctls   []restore
	devices   []string // that were made besides the links
	worn      bool     // see Worn
}

type restore struct {
	name, value string
	place       where
}

// NewBox turns the calling thread's namespace into a box: links are up and
// addressed, nothing is sent or tracked by itself. Close undoes it.
func NewBox(path Path) (*Box, error) {
	b := &Box{path: path}
	if err := b.open(); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

func (b *Box) open() error {
	path := b.path
	var err error
	if b.Rules, err = NewRuleset(); err != nil {
		return err
	}
	if err := b.quietIPv6(path == Forward6); err != nil {
		return err
	}
	if b.Near, err = openLink(path, NearName); err != nil {
		return err
	}
	var batch routeBatch
	b.Near.up(&batch, b.behind(b.Near))
	batch.address(NearName, b.Near.index, Server)
	if path != Input {
		if b.Far, err = openLink(path, FarName); err != nil {
			return err
		}
		b.Far.up(&batch, b.behind(b.Far))
	}
	if err := batch.do(); err != nil {
		return err
	}
	for _, l := range b.Links() {
		if err := l.openFence(); err != nil {
			return err
		}
	}
	return b.forward()
}

// behind are the networks behind a link.
func (b *Box) behind(l *Link) []netip.Prefix {
	clients, servers := []netip.Prefix{Clients}, []netip.Prefix{Servers}
	if b.path == Forward6 {
		clients, servers = append(clients, Clients6), append(servers, Servers6)
	}
	if l == b.Near {
		return clients
	}
	return servers
}

// forward has the box pass packets on, where that is its path.
func (b *Box) forward() error {
	if b.path == Input {
		return nil
	}
	if b.path == Forward6 {
		if err := b.SetSysctl("net.ipv6.conf.all.forwarding", "1"); err != nil {
			return err
		}
	}
	return b.SetSysctl("net.ipv4.ip_forward", "1")
}

// quietIPv6 keeps new links from speaking of themselves, which would be tracked:
// they are without IPv6, or (addr_gen_mode 1) without an address, and so without
// anything to announce or to ask for.
func (b *Box) quietIPv6(on bool) error {
	const conf = "net.ipv6.conf.default."
	if !on {
		return b.SetSysctl(conf+"disable_ipv6", "1")
	}
	return b.SetSysctl(conf+"addr_gen_mode", "1")
}

func openLink(path Path, name string) (*Link, error) {
	if path == Ether {
		return openTap(name)
	}
	return openTun(name)
}

// up has a link set up, with all prefixes that live behind it routed there.
func (l *Link) up(batch *routeBatch, behind []netip.Prefix) {
	if l.ether != nil {
		batch.ethernet(l.Name, l.index, l.ether.to)
	}
	batch.queueLen(l.Name, l.index, queueLen)
	batch.up(l.Name, l.index)
	for _, prefix := range behind {
		batch.route(l.Name, l.index, prefix)
	}
}

// Through sends packets into the near link, waits until they are through, and
// returns what came out of it because of them: answers of the box.
func (b *Box) Through(pkts ...wire.Packet) ([]wire.Seen, error) {
	near, _, err := b.exchange(b.Near, b.Far, pkts)
	return near, err
}

// Forth sends packets into the near link, waits until they are through, and
// returns what came out of the far link because of them: what was forwarded.
func (b *Box) Forth(pkts ...wire.Packet) ([]wire.Seen, error) {
	_, far, err := b.exchange(b.Near, b.Far, pkts)
	return far, err
}

// Back sends packets into the far link, waits until they are through, and
// returns what came out of the near link because of them.
func (b *Box) Back(pkts ...wire.Packet) ([]wire.Seen, error) {
	_, near, err := b.exchange(b.Far, b.Near, pkts)
	return near, err
}

// exchange sends packets into one link and returns what came out of it and out
// of the other, if there is one. The other's fence comes last, since what the
// first lets in may come out there; it goes one way, since nothing was sent into
// that link.
func (b *Box) exchange(in, other *Link, pkts []wire.Packet) (back, over []wire.Seen, err error) {
	if err := in.Send(pkts...); err != nil {
		return nil, nil, err
	}
	if err := in.Fence(); err != nil {
		return nil, nil, err
	}
	if other == nil {
		return in.Took(), nil, nil
	}
	if err := other.fenceOut(); err != nil {
		return nil, nil, err
	}
	return in.Took(), other.Took(), nil
}

// Close takes links and rules away and sets sysctls back.
func (b *Box) Close() error {
	var errs []error
	if b.Rules != nil {
		errs = append(errs, b.Rules.Clear(), b.Rules.Close())
	}
	errs = append(errs, b.removeDevices()...)
	for _, l := range []*Link{b.Near, b.Far} {
		if l != nil {
			errs = append(errs, l.close())
		}
	}
	return errors.Join(append(errs, b.restore()...)...)
}

// restore sets sysctls back, the last one first.
func (b *Box) restore() []error {
	var errs []error
	for i := len(b.sysctls) - 1; i >= 0; i-- {
		r := b.sysctls[i]
		errs = append(errs, r.place.write(r.name, r.value))
	}
	b.sysctls = nil
	return errs
}
