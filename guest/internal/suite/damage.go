package suite

import (
	"fmt"

	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/internal/probe"
	"github.com/ctmatrix/ctmatrix/guest/internal/wire"
)

const tcpDamage = "tcp_error in nf_conntrack_proto_tcp.c"

// damage asks what becomes of packets that are wrong in one place: whether they
// get as far as the tracker, what class it gives them, whether they are sent on,
// and what is left. All else about them is right. There are few entries, and all
// numbers are the probe's own: no seed can reach these rows.
var damage = join(truncations(), []probe.Probe{
	badSums("1"), badSums("0"),
	damaged("checksum-own", lab.Input, "Is a TCP segment with a wrong checksum tracked that the box sends itself?",
		tcpDamage+": only in prerouting is the sum looked at", ownBadSum),
	damaged("ip-header", lab.Forward, "How far does a packet get whose IPv4 header is wrong, and what of one with more bytes than it says?",
		"ip_rcv_core in net/ipv4/ip_input.c, which comes before the tracker", ipHeaders),
	damaged("ip6-header", lab.Forward6, "And one whose IPv6 header is wrong?",
		"ip6_rcv_core in net/ipv6/ip6_input.c, which comes before the tracker", ip6Headers),
	damaged("tcp-offset", lab.Forward6, "Is a segment invalid whose header says that it is shorter than a header, or longer than the packet, and does one harm an entry?",
		tcpDamage, tcpOffsets),
	damaged("udp-length", lab.Forward6, "Which lengths in a datagram's header make it invalid, with and without a checksum?",
		"udp_error in nf_conntrack_proto_udp.c; nf_ip_checksum, which sums all that there is", udpLengths),
	damaged("tcp-options", lab.Forward, "Are SYNs with malformed options tracked, and what window scale is taken from them?",
		"tcp_options in nf_conntrack_proto_tcp.c", tcpOptions),
	damaged("unused-bits", lab.Forward, "Does a tracker mind bits that are reserved, or that carry a mark of congestion?",
		"tcp_error in nf_conntrack_proto_tcp.c; RFC 3514; RFC 9293, section 3.1", unusedBits),
	damaged("sctp-chunks", lab.Forward6, "Which wrong lengths and orders of chunks make an SCTP packet invalid?",
		"do_basic_checks and for_each_sctp_chunk in nf_conntrack_proto_sctp.c", sctpChunks),
	damaged("dccp-header", lab.Forward, "Which wrong DCCP headers are invalid?",
		"dccp_error in nf_conntrack_proto_dccp.c, which newer kernels no longer have", dccpHeaders),
	damaged("udplite-coverage", lab.Forward, "Which checksum coverages make a UDP-Lite datagram invalid?",
		"udplite_error in nf_conntrack_proto_udp.c, which newer kernels no longer have", liteCoverage, unchecked),
	damaged("gre-header", lab.Forward, "Which GRE headers are invalid, and which are told apart by a key?",
		"gre_pkt_to_tuple in nf_conntrack_proto_gre.c", greHeaders),
}, martians, extensions)

func damaged(name string, path lab.Path, question, source string, run func(*probe.P), sysctls ...probe.Sysctl) probe.Probe {
	return probe.Probe{
		Name: "damage/" + name, Question: question, Source: source,
		Path: path, Only: probe.Initial, Sysctls: sysctls,
		Run: func(p *probe.P) {
			run(p)
			moved(p)
		},
	}
}

// unchecked keeps the tracker from looking at checksums.
var unchecked = probe.Sysctl{Name: checksumSysctl, Value: "0"}

// whole are right packets of each protocol that may begin something, over a
// version of IP, and the length of the header that its tracker reads.
func (v version) whole() []struct {
	name string
	pkt  wire.Packet
	head int
} {
	from, to := v.udp()
	return []struct {
		name string
		pkt  wire.Packet
		head int
	}{
		{"tcp", v.tcp().Orig(SYN), 20},
		{"udp", wire.UDP(from, to, "payload"), 8},
		{"icmp", wire.Echo(v.client, v.server, false, 7, 1), 8},
		{"sctp", wire.SCTP(from, to, 0, wire.Init), 12},
		{"dccp", wire.DCCP(from, to, wire.DCCPRequest, 1000, 0), 12},
		{"udplite", wire.UDPLite(from, to, "payload"), 8},
		{"gre", wire.GRE(v.client, v.server), 4},
		{"generic", wire.Datagram(v.client, v.server, wire.ProtoUnknown, []byte("whatever it is")), 1},
	}
}

// truncations ask for the last byte that a packet needs. IP headers and checksums
// are right for what is left.
func truncations() []probe.Probe {
	var probes []probe.Probe
	for i, w := range versions[0].whole() {
		var sysctls []probe.Sysctl
		if w.name == "udplite" { // whose right sums some kernels take for wrong
			sysctls = append(sysctls, unchecked)
		}
		probes = append(probes, damaged("truncated-"+w.name, lab.Forward6,
			"How much of this protocol's header must there be for a packet to be tracked?",
			"nf_ct_get_tuple in nf_conntrack_core.c, and what the tracker reads", func(p *probe.P) {
				for _, v := range versions {
					c := v.whole()[i]
					for _, left := range lengths(c.head) {
						p.Flush()
						outcome(p, fmt.Sprintf("%s-%d", v.name, left), short(c.pkt, w.name, left))
					}
					p.Flush()
					outcome(p, v.name+"-whole", c.pkt.Mended())
				}
			}, sysctls...))
	}
	return probes
}

// short is a packet of which n bytes of the segment are left, and that is right
// for them: a datagram's header says how many there are.
func short(pkt wire.Packet, proto string, n int) wire.Packet {
	pkt = pkt.Shorten(n)
	if proto == "udp" && n >= 6 {
		pkt = pkt.Set(len(pkt.Data)-n+4, 0, byte(n))
	}
	return pkt.Mended()
}

// lengths are where a header of n bytes may be cut: before anything, around the
// ports, and around its end.
func lengths(n int) []int {
	var ls []int
	for _, l := range []int{0, 3, 4, n - 1, n} {
		if l <= n && (len(ls) == 0 || l > ls[len(ls)-1]) {
			ls = append(ls, l)
		}
	}
	return ls
}

// badSums asks what nf_conntrack_checksum at value does to wrong sums. What
// datagrams and ICMP have of them, their own families ask.
func badSums(value string) probe.Probe {
	return damaged("checksum-"+value, lab.Forward6,
		"With nf_conntrack_checksum at "+value+", which packets with a wrong checksum are invalid, and does one close or refresh an entry?",
		tcpDamage+"; sctp_error in nf_conntrack_proto_sctp.c; nf_conntrack_checksum in nf_conntrack-sysctl.rst", func(p *probe.P) {
			for _, v := range versions {
				sum := v.transport() + 16
				p.Flush()
				outcome(p, v.name+"-syn", v.tcp().Orig(SYN).Set(sum, 0xde, 0xad))
				p.Flush()
				f := v.tcp()
				p.Forth(f.Orig(SYN))
				outcomeBack(p, v.name+"-synack", f.Reply(SYN|ACK).Set(sum, 0xde, 0xad))
				p.Back(f.Reply(SYN|ACK, wire.Seq(wire.ReplyISN)))
				outcome(p, v.name+"-rst", f.Orig(RST).Set(sum, 0xde, 0xad))
				from, to := v.udp()
				p.Flush()
				outcome(p, v.name+"-sctp", wire.SCTP(from, to, 0, wire.Init).Set(v.transport()+8, 0xde, 0xad))
				p.Flush()
				outcome(p, v.name+"-dccp", wire.DCCP(from, to, wire.DCCPRequest, 1000, 0).Set(v.transport()+6, 0xde, 0xad))
			}
		}, probe.Sysctl{Name: checksumSysctl, Value: value})
}

func tcpOffsets(p *probe.P) {
	for _, v := range versions {
		at := v.transport() + 12
		syn := v.tcp().Orig(SYN)
		for _, words := range []byte{0, 4, 5, 6, 15} {
			p.Flush()
			outcome(p, fmt.Sprintf("%s-syn-%d", v.name, words), syn.Set(at, words<<4).Mended())
		}
		p.Flush()
		long := v.tcp().Orig(SYN, wire.Payload("four"))
		outcome(p, v.name+"-syn-into-payload", long.Set(at, 6<<4).Mended())
		p.Flush()
		f := v.tcp()
		p.Forth(f.Orig(SYN))
		p.Back(f.Reply(SYN | ACK))
		p.Forth(f.Orig(ACK))
		outcome(p, v.name+"-rst-4", f.Orig(RST).Set(at, 4<<4).Mended())
		outcome(p, v.name+"-rst-6", f.Orig(RST).Set(at, 6<<4).Mended())
		outcome(p, v.name+"-rst-5", f.Orig(RST))
	}
}

func udpLengths(p *probe.P) {
	for _, v := range versions {
		from, to := v.udp()
		pkt := wire.UDP(from, to, "payload")
		const n = 8 + len("payload")
		for _, c := range []struct {
			name string
			says int
		}{{"0", 0}, {"7", 7}, {"8", 8}, {"one-less", n - 1}, {"right", n}, {"one-more", n + 1}, {"65535", 65535}} {
			other := pkt.Set(v.transport()+4, byte(c.says>>8), byte(c.says))
			p.Flush()
			outcome(p, v.name+"-"+c.name, other.Mended())
			p.Flush()
			outcome(p, v.name+"-unsummed-"+c.name, other.Set(v.transport()+6, 0, 0))
		}
		// What a receiver would find right: the sum is that of the datagram, and
		// the rest of the packet is no part of it.
		p.Flush()
		outcome(p, v.name+"-trailer", pkt.Carry(append(pkt.Segment(), "trailer"...)))
	}
}

func tcpOptions(p *probe.P) {
	for _, c := range []struct {
		name    string
		options []byte
	}{
		{"none", nil},
		{"right", []byte{2, 4, 5, 0xb4, 1, 3, 3, 7}},
		{"scale-14", []byte{3, 3, 14, 0}},
		{"scale-15", []byte{3, 3, 15, 0}},
		{"scale-255", []byte{3, 3, 255, 0}},
		{"scale-twice", []byte{3, 3, 2, 3, 3, 9, 0, 0}},
		{"scale-of-length-2", []byte{3, 2, 1, 3, 3, 7, 0, 0}},
		{"scale-of-length-4", []byte{3, 4, 5, 6, 3, 3, 7, 0}},
		{"length-0-before", []byte{77, 0, 1, 1, 1, 3, 3, 7}},
		{"length-1-before", []byte{77, 1, 1, 1, 1, 3, 3, 7}},
		{"length-2-before", []byte{77, 2, 1, 1, 1, 3, 3, 7}},
		{"longer-than-header", []byte{77, 9, 1, 1, 1, 3, 3, 7}},
		{"as-long-as-header", []byte{1, 1, 1, 77, 5, 3, 3, 7}},
		{"end-before", []byte{0, 1, 1, 1, 1, 3, 3, 7}},
		{"cut-kind", []byte{1, 1, 1, 3}},
		{"cut-length", []byte{1, 1, 3, 3}},
	} {
		p.Flush()
		bare := tcpFlow().Orig(SYN)
		segment := append(bare.Segment(), c.options...)
		segment[12] = byte(5+len(c.options)/4) << 4
		outcome(p, c.name, bare.Carry(segment).Mended())
		p.Text(c.name, "scales", scales(p))
	}
}

func unusedBits(p *probe.P) {
	syn := tcpFlow().Orig(SYN)
	for _, c := range []struct {
		name string
		pkt  wire.Packet
	}{
		{"evil", syn.Set(6, 0xc0, 0).Resummed()},
		{"ecn-in-ip", syn.Set(1, 3).Resummed()},
		{"tcp-reserved", syn.Set(20+12, 0x5e).Mended()},
		{"tcp-accurate-ecn", syn.Set(20+12, 0x51, 0xc2).Mended()},
		{"ecn-setup", tcpFlow().Orig(SYN, wire.ECN())},
		{"urgent-pointer", syn.Set(20+18, 0xff, 0xff).Mended()},
		{"ack-number", syn.Set(20+8, 1, 2, 3, 4).Mended()},
		{"source-port-0", syn.Set(20, 0, 0).Mended()},
		{"window-0", tcpFlow().Orig(SYN, wire.Window(0))},
	} {
		p.Flush()
		outcome(p, c.name, c.pkt)
	}
}
