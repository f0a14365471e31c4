package suite

import (
	"net/netip"

	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/internal/probe"
	"github.com/ctmatrix/ctmatrix/guest/internal/wire"
)

// box6 is the box's address of IPv6, in the probes that give it one.
var box6 = netip.MustParseAddr("2001:db8::1")

// box is the box's own address; of IPv6 it has one after atHome.
func (v version) box() netip.Addr {
	if v.client.Is6() {
		return box6
	}
	return lab.Server
}

// atHome gives the box its address of IPv6.
func atHome(p *probe.P) { p.Must(p.Box.Give(lab.NearName, box6)) }

// ownSocket opens a UDP socket of the box for the rest of the probe.
func ownSocket(p *probe.P, at netip.AddrPort) *lab.Datagrams {
	d, err := lab.OpenDatagrams(at)
	p.Must(err)
	p.Cleanup(d.Close)
	return d
}

// heardBy records whose datagram came to a socket of the box.
func heardBy(p *probe.P, subject string, d *lab.Datagrams) {
	from, err := d.From()
	p.Must(err)
	text := "nobody"
	if from.IsValid() {
		text = from.String()
	}
	p.Text(subject, "heard", text)
}

// toBox hides the clients behind the box's own addresses.
var toBox = []lab.Rule{
	lab.On(lab.NATPostrouting, lab.FromAddr(client), lab.SNAT(lab.Server)),
	lab.On(lab.NATPostrouting, lab.FromAddr(client6), lab.SNAT(box6)),
}

var natLocal = []probe.Probe{
	natProbe("own-port", "Does a socket of the box keep its port if a client has it already on the outside, a client if a socket has it, and does each get its answer?",
		natCore+": the null binding of what the box sends; nf_nat_used_tuple", toBox, func(p *probe.P) {
			atHome(p)
			for _, v := range versions {
				from, to := v.udp()
				_, otherServer := v.others()
				outside := netip.AddrPortFrom(v.box(), firstPort)
				own := ownSocket(p, outside)
				p.Text(v.name+"-client-first", "source-port", newID(p.Forth(wire.UDP(from, to, "x")), firstPort))
				p.Must(own.Send(to))
				sent := p.Forth()
				p.Text(v.name+"-then-socket", "source-port", newID(sent, firstPort))
				if len(sent) != 1 {
					p.Broken("%d packets of the socket came out, want 1", len(sent))
				}
				comes(p, v.name+"-answer-to-socket", wire.UDP(to, sent[0].Src, "y"))
				heardBy(p, v.name+"-answer-to-socket", own)
				comes(p, v.name+"-answer-to-client", wire.UDP(to, outside, "y"))

				elsewhere := netip.AddrPortFrom(otherServer, 53)
				p.Flush()
				p.Must(own.Send(elsewhere))
				p.Text(v.name+"-socket-first", "source-port", newID(p.Forth(), firstPort))
				p.Text(v.name+"-then-client", "source-port", newID(p.Forth(wire.UDP(from, elsewhere, "x")), firstPort))
			}
		}),
	natProbe("shadow", "Can a client that sends from the port of a service of the box take what comes to the service, and from whom?",
		"selftest nft_nat.sh, test_port_shadow; commits 878aed8db324 and a82c25c366b0, which took it back", toBox, func(p *probe.P) {
			atHome(p)
			for _, v := range versions {
				service := netip.AddrPortFrom(v.box(), 53)
				own := ownSocket(p, service)
				remote := netip.AddrPortFrom(v.server, 5353)
				p.Forth(wire.UDP(netip.AddrPortFrom(v.client, 53), remote, "x"))
				comes(p, v.name+"-from-that-port", wire.UDP(remote, service, "ask"))
				heardBy(p, v.name+"-from-that-port", own)
				comes(p, v.name+"-from-another", wire.UDP(netip.AddrPortFrom(v.server, 5354), service, "ask"))
				heardBy(p, v.name+"-from-another", own)
			}
		}),
	natProbe("early-demux", "Where a port of the box leads to another, does the second connection of a client from one port reach the listener, or the first connection's socket?",
		"nf_nat_ipv4_local_in, nf_nat_ipv6_local_in and nf_nat_inet_port_was_mangled in nf_nat_proto.c; commit e27c3295114b; selftest nf_nat_edemux.sh",
		[]lab.Rule{lab.On(lab.NATPrerouting, lab.In(lab.NearName), lab.Proto("tcp"), lab.Dport(443), lab.Translation{Low: 80}.DNAT())}, func(p *probe.P) {
			atHome(p)
			for _, v := range versions {
				listener, err := lab.ListenTCP(netip.AddrPortFrom(v.box(), 80))
				p.Must(err)
				p.Cleanup(listener)
				first := wire.TCP(netip.AddrPortFrom(v.client, firstPort), netip.AddrPortFrom(v.box(), 80))
				boxAnswers(p, v.name+"-first", first, SYN)
				p.Through(first.Orig(ACK))
				second := wire.TCP(netip.AddrPortFrom(v.client, firstPort), netip.AddrPortFrom(v.box(), 443))
				boxAnswers(p, v.name+"-second", second, SYN)
				p.Through(second.Orig(ACK))
				p.Entry(v.name+"-second", p.Entries())
				boxAnswers(p, v.name+"-data-of-first", first, ACK, wire.Payload("hello"))
				p.Flush()
			}
		}),
	natProbe("own-packets", "Are destinations of what the box sends translated, and sources of what it takes, and whom do its sockets see?",
		"nf_nat_ipv4_local_fn, nf_nat_ipv4_local_in and their fellows of IPv6 in nf_nat_proto.c", nil, func(p *probe.P) {
			atHome(p)
			for _, v := range versions {
				_, otherServer := v.others()
				p.Add(lab.On(lab.NATOutput, lab.ToAddr(otherServer), lab.Translation{From: v.server, Low: 5353}.DNAT()),
					lab.On(lab.NATInput, lab.FromAddr(v.client), lab.Translation{From: v.translated(), Low: 7000}.SNAT()))
			}
			for _, v := range versions {
				_, otherServer := v.others()
				own := ownSocket(p, netip.AddrPortFrom(v.box(), firstPort))
				p.Must(own.Send(netip.AddrPortFrom(otherServer, 53)))
				p.Text(v.name+"-sent", "packet", hops(p.Forth()))
				p.Back(wire.UDP(netip.AddrPortFrom(v.server, 5353), netip.AddrPortFrom(v.box(), firstPort), "y"))
				heardBy(p, v.name+"-answer", own)
				p.Flush()
				p.Through(wire.UDP(netip.AddrPortFrom(v.client, 9), netip.AddrPortFrom(v.box(), firstPort), "x"))
				heardBy(p, v.name+"-taken", own)
				p.Entry(v.name+"-taken", p.Entries())
				p.Flush()
			}
		}),
}

// boxAnswers sends a segment to the box and records what it answers: flags, and from
// where to where.
func boxAnswers(p *probe.P, subject string, f *wire.Flow, flags wire.Flags, opts ...wire.Option) {
	out := p.Through(f.Orig(flags, opts...))
	text := "none"
	if len(out) == 1 {
		text = out[0].Flags.String() + ", " + hops(out)
	}
	p.Text(subject, "answer", text)
	if len(out) == 1 && out[0].Flags == SYN|ACK {
		f.HeardReply(out[0])
	}
}
