package suite

import (
	"net/netip"

	"github.com/ctmatrix/ctmatrix/guest/internal/probe"
	"github.com/ctmatrix/ctmatrix/guest/internal/wire"
)

// step sends a packet from the client's side and records what became of it: what
// came out at the server's, the class that it had after tracking, and of the
// entries that are there then the state, the flags, and the seconds that they
// live from now on.
func step(p *probe.P, subject string, pkt wire.Packet) {
	p.Mark()
	after(p, subject, p.Forth(pkt))
}

// stepBack is step for a packet of the server's side.
func stepBack(p *probe.P, subject string, pkt wire.Packet) {
	p.Mark()
	after(p, subject, p.Back(pkt))
}

func after(p *probe.P, subject string, out []wire.Seen) {
	p.Timeout(subject)
	p.Fate(subject, out)
	p.Class(subject)
	p.Entry(subject, p.Entries())
}

// outcome is step in one row, for tables of packets of which each is asked the
// same: "invalid: tcp ESTABLISHED assured 432000 s".
func outcome(p *probe.P, subject string, pkt wire.Packet) {
	p.Mark()
	p.Outcome(subject, p.Forth(pkt))
}

// outcomeBack is outcome for a packet of the server's side.
func outcomeBack(p *probe.P, subject string, pkt wire.Packet) {
	p.Mark()
	p.Outcome(subject, p.Back(pkt))
}

// moved records which statistics the probe moved, and by how much.
func moved(p *probe.P) { p.Moved("table") }

// version is a version of IP: who talks, and the word that subjects begin with.
type version struct {
	name           string
	client, server netip.Addr
}

// versions are for what both are asked, one after the other, on lab.Forward6.
var versions = []version{
	{"v4", client, server},
	{"v6", client6, server6},
}

// tcp makes a flow over the version, to port 80.
func (v version) tcp() *wire.Flow {
	return wire.TCP(netip.AddrPortFrom(v.client, firstPort), netip.AddrPortFrom(v.server, 80))
}

// udp are the two ends of a conversation over the version, with port 53.
func (v version) udp() (from, to netip.AddrPort) {
	return netip.AddrPortFrom(v.client, firstPort), netip.AddrPortFrom(v.server, 53)
}

// transport is where the transport header begins in a packet of the version.
func (v version) transport() int {
	if v.client.Is6() {
		return 40
	}
	return 20
}

// router is an address on the server's side that reports errors.
func (v version) router() netip.Addr {
	if v.client.Is6() {
		return netip.MustParseAddr("2001:db8:2::9")
	}
	return netip.MustParseAddr("198.19.0.9")
}
