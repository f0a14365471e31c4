package suite

import (
	"slices"

	"github.com/ctmatrix/ctmatrix/guest/internal/probe"
	"github.com/ctmatrix/ctmatrix/guest/internal/wire"
)

// proto ask of protocols other than TCP, UDP and ICMP.
var proto = slices.Concat(protoSCTP, protoDCCP, protoOther)

// protoDCCP ask of DCCP, as a protocol of its own or as one that nothing knows.
var protoDCCP = []probe.Probe{
	protocol("dccp-life", "Which states does a DCCP connection have on its way, and is it tracked as one at all?", dccpSource, func(p *probe.P) {
		for _, v := range versions {
			p.Flush()
			from, to := v.udp()
			for _, s := range []struct {
				name     string
				back     bool
				typ      wire.DCCPType
				seq, ack uint64
			}{
				{"request", false, wire.DCCPRequest, 1000, 0},
				{"response", true, wire.DCCPResponse, 2000, 1000},
				{"ack", false, wire.DCCPAck, 1001, 2000},
				{"ack-back", true, wire.DCCPAck, 2001, 1001},
				{"closereq", true, wire.DCCPCloseReq, 2002, 1001},
				{"close", false, wire.DCCPClose, 1002, 2002},
				{"reset", true, wire.DCCPReset, 2003, 1002},
				{"request-again", false, wire.DCCPRequest, 5000, 0},
			} {
				pkt := wire.DCCP(from, to, s.typ, s.seq, s.ack)
				if s.back {
					pkt = wire.DCCP(to, from, s.typ, s.seq, s.ack)
				}
				sent(p, v.name+"-"+s.name, s.back, pkt)
			}
		}
	}),
	protocol("dccp-first", "Which DCCP packets may begin an entry?", "dccp_new and dccp_state_table in nf_conntrack_proto_dccp.c, which newer kernels no longer have", func(p *probe.P) {
		from, to := versions[0].udp()
		for _, t := range []struct {
			name string
			typ  wire.DCCPType
		}{
			{"request", wire.DCCPRequest}, {"response", wire.DCCPResponse}, {"ack", wire.DCCPAck},
			{"closereq", wire.DCCPCloseReq}, {"close", wire.DCCPClose}, {"reset", wire.DCCPReset}, {"reserved", 12},
		} {
			p.Flush()
			sent(p, t.name, false, wire.DCCP(from, to, t.typ, 1000, 1))
		}
	}),
}

// others are protocols that have no tracker of their own, on most kernels.
var others = []struct {
	name   string
	number uint8
	// one and two are two conversations between the same hosts, as far as the
	// protocol tells them apart: security associations, keys, sessions.
	one, two []byte
}{
	{"esp", 50, []byte{0, 0, 1, 1, 0, 0, 0, 1}, []byte{0, 0, 2, 2, 0, 0, 0, 1}},
	{"ah", 51, []byte{17, 4, 0, 0, 0, 0, 1, 1, 0, 0, 0, 1}, []byte{17, 4, 0, 0, 0, 0, 2, 2, 0, 0, 0, 1}},
	{"ipip", 4, versionedHeader(1), versionedHeader(2)},
	{"ospf", 89, []byte{2, 1, 0, 8, 1, 1, 1, 1}, []byte{2, 1, 0, 8, 2, 2, 2, 2}},
	{"l2tp", 115, []byte{0, 0, 1, 1}, []byte{0, 0, 2, 2}},
	{"igmp", 2, []byte{0x16, 0, 0, 0, 224, 1, 1, 1}, []byte{0x16, 0, 0, 0, 224, 2, 2, 2}},
	{"unknown", wire.ProtoUnknown, []byte("one"), []byte("two")},
	{"gre", wire.ProtoGRE, []byte{0, 0, 8, 0}, []byte{0x20, 0, 8, 0, 0, 0, 0, 9}},                 // without and with a key
	{"gre-v1", wire.ProtoGRE, pptpPacket(0x0101), pptpPacket(0x0202)},                             // of PPTP, two calls
	{"gre-v2", wire.ProtoGRE, []byte{0, 2, 8, 0}, []byte{0x20, 2, 8, 0, 0, 0, 0, 9}},              // which there is none of
	{"gre-routed", wire.ProtoGRE, []byte{0x40, 0, 8, 0, 0, 0, 0, 0}, []byte{0x40, 1, 0x88, 0x0b}}, // with source routes
}

// versionedHeader is an IPv4 header from a host of 10.0.0.0/24, without payload.
func versionedHeader(host byte) []byte {
	return []byte{0x45, 0, 0, 20, 0, 0, 0, 0, 64, 253, 0, 0, 10, 0, 0, host, 10, 0, 1, 1}
}

// pptpPacket is an enhanced GRE header of RFC 2637, section 4.1, for a call.
func pptpPacket(call uint16) []byte {
	return []byte{0x30, 1, 0x88, 0x0b, 0, 4, byte(call >> 8), byte(call), 0, 0, 0, 1, 1, 2, 3, 4}
}

var protoOther = []probe.Probe{
	protocol("generic", "How are protocols tracked that have no ports: is an answer recognized, and are two conversations of the same hosts one?",
		"nf_conntrack_generic_packet in nf_conntrack_proto_generic.c; gre_pkt_to_tuple in nf_conntrack_proto_gre.c", func(p *probe.P) {
			v := versions[0]
			for _, o := range others {
				p.Flush()
				sent(p, o.name, false, wire.Datagram(v.client, v.server, o.number, o.one))
				sent(p, o.name+"-answer", true, wire.Datagram(v.server, v.client, o.number, o.one))
				sent(p, o.name+"-again", false, wire.Datagram(v.client, v.server, o.number, o.one))
				sent(p, o.name+"-other", false, wire.Datagram(v.client, v.server, o.number, o.two))
			}
		}),
	protocol("udplite", "Is UDP-Lite tracked as UDP is, with a checksum of all, of the header, of nothing?", udpLiteSource, func(p *probe.P) {
		for _, v := range versions {
			p.Flush()
			from, to := v.udp()
			p.Set("net.netfilter.nf_conntrack_checksum", "1")
			sent(p, v.name+"-checked", false, wire.UDPLite(from, to, "ask"))
			p.Flush()
			p.Set("net.netfilter.nf_conntrack_checksum", "0")
			sent(p, v.name+"-first", false, wire.UDPLite(from, to, "ask"))
			sent(p, v.name+"-answer", true, wire.UDPLite(to, from, "answer"))
			sent(p, v.name+"-other-port", false, wire.UDPLite(port(from, 20000), to, "ask"))
			p.Flush()
			at := v.transport()
			sent(p, v.name+"-header-only", false, wire.UDPLitePartial(from, to, "ask"))
			p.Flush()
			sent(p, v.name+"-coverage-7", false, wire.UDPLite(from, to, "ask").Set(at+4, 0, 7))
			sent(p, v.name+"-coverage-beyond", false, wire.UDPLite(from, to, "ask").Set(at+4, 0, 100))
			sent(p, v.name+"-no-checksum", false, wire.UDPLite(from, to, "ask").Set(at+6, 0, 0))
		}
	}),
}
