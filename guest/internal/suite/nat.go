package suite

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/internal/probe"
	"github.com/ctmatrix/ctmatrix/guest/internal/wire"
)

const natCore = "get_unique_tuple and nf_nat_l4proto_unique_tuple in nf_nat_core.c"

// A second client and a second server of each side.
var (
	client2 = netip.MustParseAddr("198.18.0.3")
	server2 = netip.MustParseAddr("198.19.0.3")
)

// others are the version's second client and second server.
func (v version) others() (client, server netip.Addr) {
	if v.client.Is6() {
		return netip.MustParseAddr("2001:db8:1::3"), netip.MustParseAddr("2001:db8:2::3")
	}
	return client2, server2
}

// sourceNAT is the rule that hides both versions' clients behind one address.
var sourceNAT = []lab.Rule{
	lab.On(lab.NATPostrouting, lab.Out(lab.FarName), lab.SNAT(translated4)),
	lab.On(lab.NATPostrouting, lab.Out(lab.FarName), lab.SNAT(translated6)),
}

// translations asks what a packet says when it leaves, and of which entry its
// answer is. Which of many ports a clash leads to is drawn at random: rows tell
// from which range it is.
var translations = join(natBasics, natPorts, natRanges, natReuse, natProtocols, natInvalid, natLocal, natMasquerade, natMore, natXt, natRaces)

// natProbe is a probe on forwarded packets of both versions.
func natProbe(name, question, source string, rules []lab.Rule, run func(*probe.P)) probe.Probe {
	return probe.Probe{
		Name: "nat/" + name, Question: question, Source: source,
		Path: lab.Forward6, Only: probe.Initial, Needs: nat, Rules: rules, Run: run,
	}
}

var natBasics = []probe.Probe{
	natProbe("source", "Which address do packets leave with, do answers find back, and do later packets go the same way?",
		"nf_nat_packet in nf_nat_core.c; selftest nft_nat.sh", sourceNAT, func(p *probe.P) {
			for _, v := range versions {
				p.Flush()
				f := v.tcp()
				outside := netip.AddrPortFrom(v.translated(), firstPort)
				goes(p, v.name+"-syn", f.Orig(SYN))
				tuples(p, v.name+"-entry")
				comes(p, v.name+"-synack", f.Reply(SYN|ACK).Sent(outside))
				goes(p, v.name+"-ack", f.Orig(ACK))
				goes(p, v.name+"-data", f.Orig(ACK, wire.Payload("hello")))
				// What is sent to the client itself is a conversation of its own, whose
				// answers would look like the client's: it gets another port.
				p.Text(v.name+"-past-translation", "source-port", newID(p.Back(f.Reply(ACK)), 80))
			}
		}),
	natProbe("destination", "Which server and port do packets reach, and as whose do answers arrive?",
		"nf_nat_ipv4_pre_routing and nf_nat_ipv6_in in nf_nat_proto.c; selftest nft_nat.sh", nil, func(p *probe.P) {
			for _, v := range versions {
				_, other := v.others()
				p.Add(lab.On(lab.NATPrerouting, lab.In(lab.NearName), lab.ToAddr(v.translated()),
					lab.Translation{From: other, Low: 8080}.DNAT()))
			}
			for _, v := range versions {
				p.Flush()
				_, other := v.others()
				f := wire.TCP(netip.AddrPortFrom(v.client, firstPort), netip.AddrPortFrom(v.translated(), 80))
				goes(p, v.name+"-syn", f.Orig(SYN))
				tuples(p, v.name+"-entry")
				inside := wire.TCP(netip.AddrPortFrom(v.client, firstPort), netip.AddrPortFrom(other, 8080))
				inside.Orig(SYN)
				comes(p, v.name+"-synack", inside.Reply(SYN|ACK))
				goes(p, v.name+"-other-port", wire.UDP(netip.AddrPortFrom(v.client, firstPort), netip.AddrPortFrom(v.translated(), 53), "x"))
			}
			moved(p)
		}),
	natProbe("both-ends", "With both ends translated, what does the server see, and the client?",
		"nf_nat_setup_info in nf_nat_core.c, once for each end; selftest nft_nat.sh", sourceNAT, func(p *probe.P) {
			for _, v := range versions {
				p.Add(lab.On(lab.NATPrerouting, lab.In(lab.NearName), lab.ToAddr(v.translated()), lab.DNAT(v.server)))
			}
			for _, v := range versions {
				p.Flush()
				f := wire.TCP(netip.AddrPortFrom(v.client, firstPort), netip.AddrPortFrom(v.translated(), 80))
				goes(p, v.name+"-syn", f.Orig(SYN))
				tuples(p, v.name+"-entry")
				inside := wire.TCP(netip.AddrPortFrom(v.translated(), firstPort), netip.AddrPortFrom(v.server, 80))
				inside.Orig(SYN)
				comes(p, v.name+"-synack", inside.Reply(SYN|ACK))
			}
			moved(p)
		}),
	natProbe("no-checksum", "Does a datagram without a checksum stay without one, and is a right one kept right?",
		"__udp_manip_pkt in nf_nat_proto.c; RFC 768", sourceNAT, func(p *probe.P) {
			from, to := versions[0].udp()
			plain := wire.UDP(from, to, "x").Set(26, 0, 0)
			out := p.Forth(plain)
			p.Flag("without", "kept", string(one(p, out)[26:28]) == "\x00\x00")
			out = p.Forth(wire.UDP(from, to, "x"))
			p.Text("with", "packet", hops(out))
		}),
}

// goes sends a packet from the client's side and records from where to where it
// leaves the box.
func goes(p *probe.P, subject string, pkt wire.Packet) {
	p.Text(subject, "packet", hops(p.Forth(pkt)))
}

// comes is goes for a packet of the server's side.
func comes(p *probe.P, subject string, pkt wire.Packet) {
	p.Text(subject, "packet", hops(p.Back(pkt)))
}

// hops are from where to where packets went that came out, and whether a checksum
// is wrong in them.
func hops(out []wire.Seen) string {
	var texts []string
	for _, s := range out {
		text := wire.Ends(s)
		if !wire.Intact(s) {
			text += ", checksum wrong"
		}
		texts = append(texts, text)
	}
	return listOr("none", texts)
}

// tuples records the entry's two directions and what is said of it.
func tuples(p *probe.P, subject string) {
	entries := p.Entries()
	var orig, reply []string
	for _, e := range entries {
		orig = append(orig, e.Orig.String())
		reply = append(reply, e.Reply.String())
	}
	p.Text(subject, "orig", listOr("none", orig))
	p.Text(subject, "reply", listOr("none", reply))
	p.Entry(subject, entries)
}

// newID is what became of a packet's source port, or id: "kept", "lost", or the
// range of nf_nat_l4proto_unique_tuple that another port is from.
func newID(out []wire.Seen, before uint16) string {
	if len(out) != 1 {
		return "lost"
	}
	id, proto := wire.SourceID(out[0]), out[0].Proto
	switch {
	case id == before:
		return "kept"
	case proto == "icmp" || proto == "icmpv6": // of which any is drawn
		return "another"
	case id == 0:
		return "0"
	case id < 512:
		return "another, 1 to 511"
	case id < 600:
		return "another, 512 to 599"
	case id < 1024:
		return "another, 600 to 1023"
	}
	return "another, 1024 to 65535"
}

// sortedPorts are the source ports of packets, in their order and not in that in
// which they were drawn.
func sortedPorts(out []wire.Seen) string {
	var ports []uint16
	for _, s := range out {
		ports = append(ports, wire.SourceID(s))
	}
	slices.Sort(ports)
	var texts []string
	for _, n := range ports {
		texts = append(texts, fmt.Sprint(n))
	}
	return listOr("none", texts)
}
