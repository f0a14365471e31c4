package suite

import (
	"net/netip"

	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/internal/probe"
	"github.com/ctmatrix/ctmatrix/guest/internal/wire"
)

// starter makes the first packet of a conversation of a protocol.
type starter struct {
	name string
	make func(from, to netip.AddrPort) wire.Packet
}

// firsts make the first packet of a conversation of each protocol, with the port
// of from as its id where the protocol has no ports but an id.
var firsts = []starter{
	{"tcp", func(from, to netip.AddrPort) wire.Packet { return wire.TCP(from, to).Orig(SYN) }},
	{"udp", func(from, to netip.AddrPort) wire.Packet { return wire.UDP(from, to, "x") }},
	{"echo", func(from, to netip.AddrPort) wire.Packet {
		return wire.Echo(from.Addr(), to.Addr(), false, from.Port(), 1)
	}},
	{"sctp", func(from, to netip.AddrPort) wire.Packet { return wire.SCTP(from, to, 0, wire.Init) }},
	{"udplite", func(from, to netip.AddrPort) wire.Packet { return wire.UDPLite(from, to, "x") }},
	{"dccp", func(from, to netip.AddrPort) wire.Packet { return wire.DCCP(from, to, wire.DCCPRequest, 1, 0) }},
	{"gre", func(from, to netip.AddrPort) wire.Packet { return wire.GRE(from.Addr(), to.Addr()) }},
	{"unknown", func(from, to netip.AddrPort) wire.Packet {
		return wire.Datagram(from.Addr(), to.Addr(), wire.ProtoUnknown, []byte("someone's own"))
	}},
}

// firsts are those that are asked of the version. Of IPv6 they are the first four:
// what has no tracker of its own is no different there.
func (v version) firsts() []starter {
	if v.client.Is6() {
		return firsts[:4]
	}
	return firsts
}

var natProtocols = []probe.Probe{
	sumsIgnored(natProbe("ids", "Of each protocol, how does a client's first packet leave, and a second client's with the same port, or id?",
		natCore+"; nf_nat_manip_pkt in nf_nat_proto.c; commits 84dee05d9d61 and fd72f265bb00", sourceNAT, func(p *probe.P) {
			for _, v := range versions {
				second, _ := v.others()
				for _, proto := range v.firsts() {
					p.Flush()
					subject := v.name + "-" + proto.name
					to := netip.AddrPortFrom(v.server, 53)
					goes(p, subject, proto.make(netip.AddrPortFrom(v.client, firstPort), to))
					clash := p.Forth(proto.make(netip.AddrPortFrom(second, firstPort), to))
					p.Text(subject+"-second", "source-port", newID(clash, idOf(proto.name)))
				}
			}
		})),
	sumsIgnored(natProbe("ids-port-rule", "Does a translation to a port change the ports, or ids, of each protocol, and are the checksums right then?",
		"nf_nat_manip_pkt in nf_nat_proto.c; l4proto_in_range in nf_nat_core.c", []lab.Rule{
			lab.On(lab.NATPostrouting, lab.Out(lab.FarName), lab.Translation{Low: 7000, High: 7000}.SNAT()),
			lab.On(lab.NATPrerouting, lab.In(lab.NearName), lab.Translation{Low: 8080}.DNAT()),
		}, func(p *probe.P) {
			for _, v := range versions {
				for _, proto := range v.firsts() {
					p.Flush()
					goes(p, v.name+"-"+proto.name, proto.make(netip.AddrPortFrom(v.client, firstPort), netip.AddrPortFrom(v.server, 53)))
				}
			}
		})),
}

// sumsIgnored has the trackers take packets whose checksum they think wrong: that of
// UDP-Lite takes every right one for such (udplite_error in
// nf_conntrack_proto_udp.c sums with the protocol number of UDP).
func sumsIgnored(asked probe.Probe) probe.Probe {
	asked.Sysctls = []probe.Sysctl{{Name: "net.netfilter.nf_conntrack_checksum", Value: "0"}}
	return asked
}

// idOf is what SourceID says of a packet of firsts that was not changed.
func idOf(proto string) uint16 {
	if proto == "gre" || proto == "unknown" {
		return 0
	}
	return firstPort
}

// wrongs are packets of a side of an established conversation, most of them
// invalid.
var wrongs = []struct {
	name  string
	flags wire.Flags
	opts  []wire.Option
}{
	{"right", ACK, nil},
	{"syn", SYN, []wire.Option{wire.SeqBy(1_000_000)}},
	{"rst-beyond", RST, []wire.Option{wire.SeqBy(1_000_000)}},
	{"fin-beyond", FIN | ACK, []wire.Option{wire.SeqBy(1_000_000)}},
	{"data-beyond", ACK, []wire.Option{wire.SeqBy(1_000_000), wire.Payload("x")}},
	{"ack-beyond", ACK, []wire.Option{wire.AckBy(1_000_000)}},
	{"no-flags", 0, nil},
	{"syn-fin", SYN | FIN, nil},
}

var natInvalid = []probe.Probe{
	natProbe("invalid", "Which packets of a translated connection leave with an address that nobody should see, from either side?",
		"nf_nat_inet_fn in nf_nat_core.c: a packet without an entry is let through as it is", nil, func(p *probe.P) {
			for _, v := range versions {
				p.Add(lab.On(lab.NATPostrouting, lab.Out(lab.FarName), lab.SNAT(v.neighbour())))
			}
			for _, v := range versions {
				outside := netip.AddrPortFrom(v.neighbour(), firstPort)
				var orig, reply leaks
				for _, c := range wrongs {
					p.Flush()
					f := v.tcp()
					converse(p, f, outside, closings[3].way)
					for _, s := range p.Forth(f.Orig(c.flags, c.opts...)) {
						orig.note(c.name, s.Src == outside)
					}
					p.Flush()
					f = v.tcp()
					converse(p, f, outside, closings[3].way)
					for _, s := range p.Back(f.Reply(c.flags, c.opts...).Sent(outside)) {
						reply.note(c.name, s.Dst.Addr() == v.client)
					}
				}
				orig.record(p, v.name+"-orig")
				reply.record(p, v.name+"-reply")
				p.Flush()
				f := v.tcp()
				converse(p, f, outside, closings[3].way)
				goes(p, v.name+"-bad-checksum", f.Orig(ACK).Set(v.transport()+16, 0xbe, 0xef))
			}
			moved(p)
		}),
}

// leaks are names of packets that came out, translated and not.
type leaks struct{ translated, untranslated []string }

func (s *leaks) note(name string, translated bool) {
	if translated {
		s.translated = append(s.translated, name)
	} else {
		s.untranslated = append(s.untranslated, name)
	}
}

func (s *leaks) record(p *probe.P, subject string) {
	p.Text(subject, "translated", listOr("none", s.translated))
	p.Text(subject, "untranslated", listOr("none", s.untranslated))
}

// neighbour is an address on the clients' side, to which the box forwards, that
// nobody has: a translation to it shows what is not translated back.
func (v version) neighbour() netip.Addr {
	if v.client.Is6() {
		return netip.MustParseAddr("2001:db8:1::99")
	}
	return netip.MustParseAddr("198.18.0.99")
}
