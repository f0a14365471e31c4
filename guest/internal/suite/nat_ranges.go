package suite

import (
	"fmt"
	"net/netip"

	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/internal/probe"
	"github.com/ctmatrix/ctmatrix/guest/internal/wire"
)

// A range of three ports, in which a fourth client of one server has no place.
const (
	rangeLow  = 5000
	rangeHigh = 5002
)

var natRanges = []probe.Probe{
	natProbe("range-full", "In a range of three ports, what becomes of a fourth client, of one that has such a port itself, and of one that goes elsewhere?",
		natCore+"; __nf_conntrack_confirm in nf_conntrack_core.c, where a duplicate is dropped", []lab.Rule{
			lab.On(lab.NATPostrouting, lab.Out(lab.FarName), lab.Translation{From: translated4, Low: rangeLow, High: rangeHigh}.SNAT()),
		}, func(p *probe.P) {
			for _, proto := range []struct {
				name string
				make func(from, to netip.AddrPort) wire.Packet
			}{
				{"tcp", func(from, to netip.AddrPort) wire.Packet { return wire.TCP(from, to).Orig(SYN) }},
				{"udp", func(from, to netip.AddrPort) wire.Packet { return wire.UDP(from, to, "x") }},
				{"icmp", func(from, to netip.AddrPort) wire.Packet {
					return wire.Echo(from.Addr(), to.Addr(), false, from.Port(), 1)
				}},
			} {
				p.Flush()
				send := func(port uint16, to netip.Addr) []wire.Seen {
					return p.Forth(proto.make(netip.AddrPortFrom(client, port), netip.AddrPortFrom(to, 53)))
				}
				three := append(append(send(1, server), send(2, server)...), send(3, server)...)
				p.Text(proto.name+"-three", "source-port", sortedPorts(three))
				p.Mark()
				p.Text(proto.name+"-fourth", "packet", hops(send(4, server)))
				p.Delta(proto.name+"-fourth", "insert_failed", p.Stats().InsertFailed)
				p.Text(proto.name+"-of-range", "packet", hops(send(rangeLow+1, server)))
				p.Flag(proto.name+"-elsewhere", "passes", len(send(4, server2)) == 1)
				p.Delete(p.Entries()[0])
				p.Flag(proto.name+"-one-gone", "passes", len(send(4, server)) == 1)
				p.Flush()
				p.Text(proto.name+"-of-range-alone", "packet", hops(send(rangeLow+1, server)))
			}
		}),
	natProbe("dnat-range", "To which of many ports does a translation of the destination lead: always the same, any, or the one that was asked for?",
		"nf_nat_l4proto_unique_tuple in nf_nat_core.c, the choice of the first offset", nil, func(p *probe.P) {
			for _, v := range versions {
				p.Add(lab.On(lab.NATPrerouting, lab.In(lab.NearName), lab.Translation{From: v.server, Low: 8000, High: 8127}.DNAT()))
			}
			for _, v := range versions {
				p.Flush()
				different := map[uint16]bool{}
				var last uint16
				for i := range uint16(32) {
					out := p.Forth(wire.UDP(netip.AddrPortFrom(v.client, firstPort+i), netip.AddrPortFrom(v.translated(), 53), "x"))
					if len(out) != 1 {
						p.Broken("%d packets came out, want 1", len(out))
					}
					last = out[0].Dst.Port()
					different[last] = true
				}
				p.Text(v.name+"-outside", "port", sameOr("several", different, last))
				goes(p, v.name+"-inside", wire.UDP(netip.AddrPortFrom(v.client, 2000), netip.AddrPortFrom(v.translated(), 8100), "x"))
				// A port that two addresses of the outside lead to, for one client.
				goes(p, v.name+"-inside-again", wire.UDP(netip.AddrPortFrom(v.client, 2001), netip.AddrPortFrom(v.translated(), 8100), "x"))
			}
		}),
	natProbe("dnat-clash", "Where two addresses lead to one port of one server, is the second connection from the same port of a client let through, and how?",
		natCore+": the null binding of the source in postrouting draws another port", nil, func(p *probe.P) {
			for _, v := range versions {
				p.Add(lab.On(lab.NATPrerouting, lab.In(lab.NearName), lab.Translation{From: v.server, Low: 8080}.DNAT()))
			}
			for _, v := range versions {
				p.Flush()
				_, other := v.others()
				from := netip.AddrPortFrom(v.client, firstPort)
				first := p.Forth(wire.TCP(from, netip.AddrPortFrom(v.translated(), 80)).Orig(SYN))
				p.Text(v.name+"-first", "source-port", newID(first, firstPort))
				second := p.Forth(wire.TCP(from, netip.AddrPortFrom(other, 80)).Orig(SYN))
				p.Text(v.name+"-second", "source-port", newID(second, firstPort))
				p.Entry(v.name+"-second", p.Entries())
			}
		}),
}

// sameOr is the only one of ports, or a word for there being more.
func sameOr(word string, ports map[uint16]bool, only uint16) string {
	if len(ports) != 1 {
		return word
	}
	return fmt.Sprint("always ", only)
}
