package suite

import (
	"fmt"
	"time"

	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/internal/probe"
	"github.com/ctmatrix/ctmatrix/guest/internal/wire"
)

const (
	icmpTracker = "nf_conntrack_icmp_packet and nf_conntrack_icmpv6_packet in nf_conntrack_proto_icmp.c and _icmpv6.c"
	icmpErrors  = "nf_conntrack_icmpv4_error, nf_conntrack_icmpv6_error and nf_conntrack_inet_error in nf_conntrack_proto_icmp.c and _icmpv6.c"
)

// icmp asks about messages that begin something and about messages about others.
// Entries are few and looked up by the probe's own tuples: no seed reaches these
// rows.
var icmp = join([]probe.Probe{
	onBoth("icmp/echo", "When is an echo tracked, whose are its replies, and how long does the entry live?", icmpTracker,
		func(p *probe.P, v version) {
			outcome(p, v.name+"-request", wire.Echo(v.client, v.server, false, 7, 1))
			outcomeBack(p, v.name+"-reply", wire.Echo(v.server, v.client, true, 7, 1))
			outcomeBack(p, v.name+"-reply-again", wire.Echo(v.server, v.client, true, 7, 1))
			outcome(p, v.name+"-next", wire.Echo(v.client, v.server, false, 7, 2))
			outcomeBack(p, v.name+"-reply-other-id", wire.Echo(v.server, v.client, true, 8, 1))
			outcomeBack(p, v.name+"-request-back", wire.Echo(v.server, v.client, false, 7, 1))
		}),
	onBoth("icmp/unsolicited", "Is a reply that nobody asked for invalid, and does it make an entry?", icmpTracker+": valid_new",
		func(p *probe.P, v version) {
			outcomeBack(p, v.name+"-reply", wire.Echo(v.server, v.client, true, 7, 1))
			outcomeBack(p, v.name+"-request", wire.Echo(v.server, v.client, false, 7, 1)) // the control
		}),
	{
		Name:     "icmp/queries",
		Question: "Are the other questions that ICMP knows tracked, and their answers: timestamp, information, address mask, node information?",
		Source:   icmpTracker + ": valid_new and invmap",
		Path:     lab.Forward6,
		Only:     probe.Initial,
		Run: func(p *probe.P) {
			for _, c := range []struct {
				name        string
				v           version
				ask, answer uint8
			}{
				{"v4-timestamp", versions[0], 13, 14}, {"v4-information", versions[0], 15, 16},
				{"v4-address-mask", versions[0], 17, 18}, {"v6-node-information", versions[1], 139, 140},
			} {
				p.Flush()
				id := []byte{0, 7, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0}
				outcome(p, c.name, wire.ICMP(c.v.client, c.v.server, c.ask, 0, id))
				outcomeBack(p, c.name+"-answer", wire.ICMP(c.v.server, c.v.client, c.answer, 0, id))
			}
			moved(p)
		},
	},
	onBoth("icmp/types", "Of all types, which are tracked as what where nothing is known of the flow?", icmpErrors+"; valid_new; noct_valid_new",
		func(p *probe.P, v version) {
			classes := map[string][]int{}
			counted := p.Meters()
			for typ := range 256 {
				p.Flush()
				p.Forth(wire.ICMP(v.client, v.server, uint8(typ), 0, make([]byte, 40)))
				for _, class := range grown(p, &counted) {
					classes[class] = append(classes[class], typ)
				}
			}
			for _, class := range lab.ClassNames() {
				p.Text(v.name+"-"+class, "types", ranges(classes[class]))
			}
		}),
	onBoth("icmp/errors", "Which errors about a datagram are related to its flow, and does an error give the entry time?", icmpErrors,
		func(p *probe.P, v version) {
			from, to := v.udp()
			for _, e := range v.errors() {
				p.Flush()
				about := wire.UDP(from, to, "x")
				p.Forth(about)
				p.Wait(10 * time.Second)
				outcomeBack(p, v.name+"-"+e.name, wire.ICMPError(v.router(), v.client, e.typ, e.code, e.rest, about.Data))
			}
		}),
	onBoth("icmp/about", "Are errors related to flows of each protocol, and does an error close or refresh any?", icmpErrors,
		func(p *probe.P, v version) {
			e := v.errors()[0]
			tell := func(about wire.Packet) wire.Packet {
				return wire.ICMPError(v.router(), v.client, e.typ, e.code, e.rest, about.Data)
			}
			syn := v.tcp().Orig(SYN)
			p.Forth(syn)
			outcomeBack(p, v.name+"-tcp", tell(syn))
			p.Flush()
			echo := wire.Echo(v.client, v.server, false, 7, 1)
			p.Forth(echo)
			outcomeBack(p, v.name+"-echo", tell(echo))
			p.Flush()
			other := wire.Datagram(v.client, v.server, wire.ProtoUnknown, []byte("whatever it is"))
			p.Forth(other)
			outcomeBack(p, v.name+"-generic", tell(other))
		}),
	onBoth("icmp/about-reply", "Is an error about a packet of the server's side related, too?", icmpErrors,
		func(p *probe.P, v version) {
			from, to := v.udp()
			p.Forth(wire.UDP(from, to, "x"))
			answer := wire.UDP(to, from, "y")
			p.Back(answer)
			e := v.errors()[0]
			outcome(p, v.name+"-from-client", wire.ICMPError(v.client, v.server, e.typ, e.code, e.rest, answer.Data))
			outcomeBack(p, v.name+"-to-nobody", wire.ICMPError(v.router(), v.client, e.typ, e.code, e.rest, answer.Data))
		}),
	onBoth("icmp/mismatch", "Is an error related whose inner packet is not quite one of the flow?", icmpErrors+", where the outer destination is compared with the flow's",
		func(p *probe.P, v version) {
			from, to := v.udp()
			e := v.errors()[0]
			for _, c := range []struct {
				subject string
				about   wire.Packet
			}{
				{"right", wire.UDP(from, to, "x")},
				{"other-source-port", wire.UDP(port(from, 9), to, "x")},
				{"other-port", wire.UDP(from, port(to, 9), "x")},
				{"other-source", wire.UDP(addr(from, v.client.Next()), to, "x")},
				{"other-destination", wire.UDP(from, addr(to, v.server.Next()), "x")},
				{"other-protocol", wire.TCP(from, to).Orig(SYN)},
			} {
				p.Flush()
				p.Forth(wire.UDP(from, to, "x"))
				outcomeBack(p, v.name+"-"+c.subject, wire.ICMPError(v.router(), v.client, e.typ, e.code, e.rest, c.about.Data))
			}
			p.Flush()
			p.Forth(wire.UDP(from, to, "x"))
			outcomeBack(p, v.name+"-other-receiver",
				wire.ICMPError(v.router(), v.client.Next(), e.typ, e.code, e.rest, wire.UDP(from, to, "x").Data))
		}),
	onBoth("icmp/truncated", "How much of the inner packet must there be for an error to be related?",
		icmpErrors+"; nf_ct_get_tuple in nf_conntrack_core.c; RFC 792: the header and eight bytes",
		func(p *probe.P, v version) {
			from, to := v.udp()
			e := v.errors()[0]
			for _, c := range []struct {
				subject string
				about   wire.Packet
				head    int
			}{
				{"udp", wire.UDP(from, to, "payload"), 0}, {"tcp", v.tcp().Orig(SYN), 0}, {"echo", wire.Echo(v.client, v.server, false, 7, 1), 0},
			} {
				for _, left := range []int{8, 7, 4, 3, 0, -1} {
					p.Flush()
					p.Forth(c.about)
					name := fmt.Sprintf("%s-%s-%d", v.name, c.subject, left)
					if left < 0 {
						name = v.name + "-" + c.subject + "-short-header"
					}
					outcomeBack(p, name, wire.ICMPError(v.router(), v.client, e.typ, e.code, e.rest, c.about.Cut(v.transport()+left).Data))
				}
			}
		}),
	{
		Name:     "icmp/inner-header",
		Question: "What of the inner header is looked at: its checksum, its version, a fragment that has no ports, options?",
		Source:   icmpErrors + "; nf_ct_get_tuplepr in nf_conntrack_core.c",
		Path:     lab.Forward,
		Only:     probe.Initial,
		Run: func(p *probe.P) {
			about := wire.UDP(udpClient, udpServer, "x")
			for _, c := range []struct {
				subject string
				inner   wire.Packet
			}{
				{"right", about},
				{"bad-checksum", about.Set(10, 0xde, 0xad)},
				{"bad-udp-checksum", about.Set(26, 0xde, 0xad)},
				{"version-6", about.Set(0, 0x65)},
				{"short-ihl", about.Set(0, 0x44)},
				{"long-ihl", about.Set(0, 0x4f)},
				{"first-fragment", about.Set(6, 0x20, 0)},
				{"later-fragment", about.Set(6, 0, 1)},
			} {
				p.Flush()
				p.Forth(about)
				outcomeBack(p, c.subject, wire.ICMPError(versions[0].router(), client, 3, 3, 0, c.inner.Data))
			}
			moved(p)
		},
	},
	onBoth("icmp/about-error", "Is an error about an error invalid, and one about a reply to an echo?", icmpErrors+"; RFC 1122, section 3.2.2",
		func(p *probe.P, v version) {
			from, to := v.udp()
			e := v.errors()[0]
			about := wire.UDP(from, to, "x")
			p.Forth(about)
			inner := wire.ICMPError(v.client, v.server, e.typ, e.code, e.rest, wire.UDP(to, from, "y").Data)
			outcomeBack(p, v.name+"-error", wire.ICMPError(v.router(), v.client, e.typ, e.code, e.rest, inner.Data))
			p.Flush()
			p.Back(wire.Echo(v.server, v.client, false, 7, 1))
			reply := wire.Echo(v.client, v.server, true, 7, 1)
			p.Forth(reply)
			outcomeBack(p, v.name+"-echo-reply", wire.ICMPError(v.router(), v.client, e.typ, e.code, e.rest, reply.Data))
		}),
	icmpSums("icmp/bad-checksum-looked-at", "1"), icmpSums("icmp/bad-checksum-let-by", "0"),
	onBoth("icmp/expired", "Is an error related to a flow whose entry is gone, or that was made no entry?", icmpErrors,
		func(p *probe.P, v version) {
			from, to := v.udp()
			about := wire.UDP(from, to, "x")
			e := v.errors()[0]
			tell := wire.ICMPError(v.router(), v.client, e.typ, e.code, e.rest, about.Data)
			outcomeBack(p, v.name+"-before", tell)
			p.Forth(about)
			outcomeBack(p, v.name+"-while", tell)
			p.Wait(31 * time.Second)
			outcomeBack(p, v.name+"-after", tell)
		}),
}, icmpTranslated, icmpNeighbours)

// onBoth is a probe that asks both versions of IP, one after the other.
func onBoth(name, question, source string, run func(*probe.P, version)) probe.Probe {
	return probe.Probe{
		Name: name, Question: question, Source: source,
		Path: lab.Forward6, Only: probe.Initial, Timed: true,
		Run: func(p *probe.P) {
			for _, v := range versions {
				p.Flush()
				run(p, v)
			}
			moved(p)
		},
	}
}

// icmpError is an error message: a type, a code, and what stands before the inner
// packet.
type icmpError struct {
	name      string
	typ, code uint8
	rest      uint32
}

// errors are the messages that tell of another packet.
func (v version) errors() []icmpError {
	if v.client.Is6() {
		return []icmpError{
			{"port-unreachable", 1, 4, 0}, {"no-route", 1, 0, 0}, {"policy", 1, 5, 0}, {"too-big", 2, 0, 1280},
			{"hop-limit", 3, 0, 0}, {"reassembly", 3, 1, 0}, {"parameter", 4, 0, 6}, {"next-header", 4, 1, 6},
			{"unknown-error", 5, 0, 0}, {"private-error", 100, 0, 0}, {"last-error", 127, 0, 0},
		}
	}
	return []icmpError{
		{"port-unreachable", 3, 3, 0}, {"net-unreachable", 3, 0, 0}, {"prohibited", 3, 13, 0}, {"too-big", 3, 4, 1280},
		{"quench", 4, 0, 0}, {"redirect", 5, 1, 0xc6130007}, {"ttl", 11, 0, 0}, {"reassembly", 11, 1, 0},
		{"parameter", 12, 0, 9 << 24}, {"parameter-missing", 12, 1, 0}, {"unknown-error", 6, 0, 0},
	}
}

// icmpSums asks what nf_conntrack_checksum at value does to wrong sums.
func icmpSums(name, value string) probe.Probe {
	pr := onBoth(name, "With nf_conntrack_checksum at "+value+", are an echo and an error with wrong checksums tracked?",
		icmpErrors+"; nf_conntrack_checksum in nf_conntrack-sysctl.rst", func(p *probe.P, v version) {
			outcome(p, v.name+"-echo", wire.Echo(v.client, v.server, false, 7, 1).Set(v.transport()+2, 0xde, 0xad))
			p.Flush()
			from, to := v.udp()
			about := wire.UDP(from, to, "x")
			p.Forth(about)
			e := v.errors()[0]
			outcomeBack(p, v.name+"-error",
				wire.ICMPError(v.router(), v.client, e.typ, e.code, e.rest, about.Data).Set(v.transport()+2, 0xde, 0xad))
		})
	pr.Sysctls = []probe.Sysctl{{Name: checksumSysctl, Value: value}}
	return pr
}

// ranges writes numbers that ascend as "0-7, 9".
func ranges(ns []int) string {
	var parts []string
	for i := 0; i < len(ns); {
		j := i
		for j+1 < len(ns) && ns[j+1] == ns[j]+1 {
			j++
		}
		part := fmt.Sprint(ns[i])
		if j > i {
			part = fmt.Sprintf("%d-%d", ns[i], ns[j])
		}
		parts = append(parts, part)
		i = j + 1
	}
	return listOr("none", parts)
}
