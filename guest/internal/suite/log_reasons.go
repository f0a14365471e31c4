package suite

import (
	"fmt"
	"slices"

	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/internal/probe"
	"github.com/ctmatrix/ctmatrix/guest/internal/wire"
)

// reasons have every tracker say what it has against a packet, and let by what
// it is silent about.
var reasons = []probe.Probe{
	reason("tcp-errors", "With what reason is a TCP segment logged that is wrong in itself, and which is invalid in silence?",
		"tcp_error and tcp_new in nf_conntrack_proto_tcp.c", func(p *probe.P) {
			syn := tcpFlow().Orig(SYN)
			for _, c := range []struct {
				name string
				pkt  wire.Packet
			}{
				{"right", syn},
				{"cut-ports", syn.Shorten(3)},
				{"cut-header", syn.Shorten(19)},
				{"offset-4", syn.Set(20+12, 4<<4).Mended()},
				{"offset-6", syn.Set(20+12, 6<<4).Mended()},
				{"bad-checksum", syn.Set(20+16, 0xde, 0xad)},
				{"bad-flags", tcpFlow().Orig(SYN | FIN)},
				{"bad-checksum-and-flags", tcpFlow().Orig(SYN|FIN).Set(20+16, 0xde, 0xad)},
				{"stray-synack", tcpFlow().Orig(SYN | ACK)},
				{"stray-rst", tcpFlow().Orig(RST)},
				{"stray-ack", tcpFlow().Orig(ACK)},
			} {
				p.Flush()
				logged(p, c.name, c.pkt)
			}
			p.Set(looseSysctl, "0")
			p.Flush()
			logged(p, "stray-ack-not-loose", tcpFlow().Orig(ACK))
		}),
	reason("tcp-windows", "With what reason, and what bound, is a segment logged that is out of the window, and which is so in silence?",
		"tcp_in_window and nf_tcp_log_invalid in nf_conntrack_proto_tcp.c", windowReasons),
	reason("tcp-windows-liberal", "And where windows do not count?",
		"nf_tcp_store_invalid in nf_conntrack_proto_tcp.c; nf_conntrack_tcp_be_liberal in nf_conntrack-sysctl.rst", func(p *probe.P) {
			p.Set("net.netfilter.nf_conntrack_tcp_be_liberal", "1")
			windowReasons(p)
		}),
	reason("tcp-states", "With what reason is a segment logged that does not fit the state, and which is so in silence?",
		"nf_conntrack_tcp_packet in nf_conntrack_proto_tcp.c, cases TCP_CONNTRACK_IGNORE and TCP_CONNTRACK_MAX", stateReasons),
	reason("udp", "With what reason is a datagram logged that is wrong?",
		"udp_error in nf_conntrack_proto_udp.c", func(p *probe.P) {
			pkt := wire.UDP(udpClient, udpServer, "payload")
			logged(p, "right", pkt)
			logged(p, "cut-ports", pkt.Shorten(3))
			logged(p, "cut-header", pkt.Shorten(7))
			logged(p, "length-7", pkt.Set(20+4, 0, 7))
			logged(p, "length-one-more", pkt.Set(20+4, 0, 16))
			logged(p, "bad-checksum", pkt.Set(20+6, 0xde, 0xad))
		}),
	reason("icmp", "With what reason is an ICMP message logged that is wrong, or that answers nothing?",
		"nf_conntrack_icmpv4_error, nf_conntrack_icmp_packet and nf_conntrack_inet_error in nf_conntrack_proto_icmp.c", icmpReasons),
	reason("icmpv6", "And over IPv6?",
		"nf_conntrack_icmpv6_error and nf_conntrack_icmpv6_redirect in nf_conntrack_proto_icmpv6.c", icmp6Reasons),
	reason("sctp", "With what reason is an SCTP packet logged that is wrong, or that does not fit the association?",
		"sctp_error, do_basic_checks and nf_conntrack_sctp_packet in nf_conntrack_proto_sctp.c", sctpReasons),
	reason("dccp", "With what reason is a DCCP packet logged that is wrong, or that does not fit the connection?",
		"dccp_error, dccp_new and nf_conntrack_dccp_packet in nf_conntrack_proto_dccp.c, which newer kernels no longer have", dccpReasons),
	reason("udplite", "With what reason is a UDP-Lite datagram logged that is wrong?",
		"udplite_error in nf_conntrack_proto_udp.c, which newer kernels no longer have", func(p *probe.P) {
			pkt := wire.UDPLite(udpClient, udpServer, "payload")
			logged(p, "cut-header", pkt.Shorten(7))
			logged(p, "covers-7", pkt.Set(20+4, 0, 7))
			logged(p, "no-checksum", pkt.Set(20+6, 0, 0))
			logged(p, "bad-checksum", pkt.Set(20+6, 0xde, 0xad))
			logged(p, "right", pkt)
		}),
	reason("unreadable", "Is a packet logged in which no transport header is found, or that no tracker takes?",
		"nf_conntrack_in in nf_conntrack_core.c: get_l4proto and nf_ct_get_tuple log nothing", func(p *probe.P) {
			logged(p, "v6-no-next", wire.Datagram(client6, server6, 59, nil))
			logged(p, "v6-cut-extension", wire.Datagram(client6, server6, 60, []byte{6}))
			logged(p, "gre", wire.Datagram(client, server, wire.ProtoGRE, []byte{0x20, 1, 8, 0, 0, 6, 0, 7}))
			logged(p, "icmpv6-over-v4", wire.Datagram(client, server, 58, wire.Echo(client6, server6, false, 7, 1).Segment()))
		}),
}

// reason is a probe in which everything is logged.
func reason(name, question, source string, run func(*probe.P)) probe.Probe {
	return probe.Probe{
		Name: "log/" + name, Question: question, Source: source,
		Path: lab.Forward6, Only: probe.Initial, Needs: loggers, Sysctls: logEverything, Run: run,
	}
}

func windowReasons(p *probe.P) {
	for _, c := range []struct {
		name  string
		flags wire.Flags
		opts  []wire.Option
	}{
		{"in-window", ACK, nil},
		{"seq-over-a-bit", PSH | ACK, []wire.Option{wire.SeqBy(65_536), wire.Payload("x")}},
		{"seq-over", ACK, []wire.Option{wire.SeqBy(1_000_000)}},
		{"seq-under", ACK, []wire.Option{wire.SeqBy(-100_000)}},
		{"ack-over", ACK, []wire.Option{wire.AckBy(1)}},
		{"ack-under", ACK, []wire.Option{wire.AckBy(-100_000)}},
		{"rst-below", RST, []wire.Option{wire.SeqBy(-1)}},
		{"fin-over", FIN | ACK, []wire.Option{wire.SeqBy(1_000_000)}},
	} {
		p.Flush()
		logged(p, c.name, acknowledged(p).Orig(c.flags, c.opts...))
	}
	p.Flush()
	f := acknowledged(p)
	logged(p, "first-rst-over", f.Orig(RST, wire.SeqBy(1_000_000)))
	loggedBack(p, "answering-rst-over", f.Reply(RST, wire.SeqBy(1_000_000)))
}

func stateReasons(p *probe.P) {
	for _, s := range tcpStates {
		if !slices.Contains([]string{"syn-sent", "established", "time-wait"}, s.name) {
			continue // which are alike
		}
		for _, c := range []struct {
			name  string
			flags wire.Flags
		}{{"syn", SYN}, {"synack", SYN | ACK}, {"fin", FIN | ACK}} {
			p.Flush()
			logged(p, fmt.Sprintf("%s-orig-%s", s.name, c.name), s.reach(p).Orig(c.flags))
			p.Flush()
			loggedBack(p, fmt.Sprintf("%s-reply-%s", s.name, c.name), s.reach(p).Reply(c.flags))
		}
	}
	p.Flush()
	f := lastACK(p)
	again := tcpFlow()
	again.Skip(1_000)
	p.Forth(again.Orig(SYN))
	loggedBack(p, "last-ack-challenge", f.Reply(ACK))
}

func icmpReasons(p *probe.P) {
	v := versions[0]
	echo := wire.Echo(client, server, false, 7, 1)
	about := wire.UDP(udpClient, udpServer, "x")
	tell := func(inner []byte) wire.Packet { return wire.ICMPError(v.router(), client, 3, 3, 0, inner) }
	logged(p, "right", echo)
	logged(p, "cut-header", echo.Shorten(7))
	logged(p, "bad-checksum", echo.Set(20+2, 0xde, 0xad))
	logged(p, "type-18", wire.ICMP(client, server, 18, 0, make([]byte, 8)))
	logged(p, "type-19", wire.ICMP(client, server, 19, 0, make([]byte, 8)))
	logged(p, "stray-reply", wire.Echo(client, server, true, 9, 1))
	loggedBack(p, "error-about-nothing", tell(about.Data))
	p.Forth(about)
	loggedBack(p, "error", tell(about.Data))
	loggedBack(p, "error-cut", tell(about.Cut(22).Data))
	loggedBack(p, "error-to-another", wire.ICMPError(v.router(), client.Next(), 3, 3, 0, about.Data))
}

func icmp6Reasons(p *probe.P) {
	v := versions[1]
	from, to := v.udp()
	echo := wire.Echo(client6, server6, false, 7, 1)
	about := wire.UDP(from, to, "x")
	tell := func(inner []byte) wire.Packet { return wire.ICMPError(v.router(), client6, 1, 4, 0, inner) }
	logged(p, "right", echo)
	logged(p, "cut-header", echo.Shorten(7))
	logged(p, "bad-checksum", echo.Set(40+2, 0xde, 0xad))
	logged(p, "stray-reply", wire.Echo(client6, server6, true, 9, 1))
	loggedBack(p, "error-about-nothing", tell(about.Data))
	p.Forth(about)
	loggedBack(p, "error", tell(about.Data))
	loggedBack(p, "error-to-another", wire.ICMPError(v.router(), client6.Next(), 1, 4, 0, about.Data))
	redirect := func(rest []byte) wire.Packet { return wire.ICMP(linkLocal, client6, 137, 0, rest).Set(7, 255) }
	logged(p, "redirect-short", redirect(make([]byte, 20)))
	logged(p, "redirect-no-option", redirect(make([]byte, 36)))
	logged(p, "redirect-hops", redirect(make([]byte, 44)).Set(7, 254))
	logged(p, "redirect-source", wire.ICMP(v.router(), client6, 137, 0, make([]byte, 44)).Set(7, 255))
}

func sctpReasons(p *probe.P) {
	from, to := udpClient, udpServer
	init := wire.SCTP(from, to, 0, wire.Init)
	logged(p, "cut-ports", init.Shorten(3))
	logged(p, "cut-header", init.Shorten(11))
	logged(p, "no-chunk", init.Shorten(12).Mended())
	logged(p, "chunk-length-0", init.Set(20+12+2, 0, 0).Mended())
	logged(p, "bad-checksum", init.Set(20+8, 0xde, 0xad))
	logged(p, "stray-abort", wire.SCTP(from, to, toTag, wire.Abort))
	logged(p, "stray-shutdown", wire.SCTP(from, to, toTag, wire.Shutdown))
	logged(p, "init", init)
	loggedBack(p, "init-ack", wire.SCTP(to, from, toTag, wire.InitAck))
	logged(p, "wrong-tag", wire.SCTP(from, to, 0x5678, wire.Shutdown))
	logged(p, "wrong-tag-cookie", wire.SCTP(from, to, 0x5678, wire.CookieEcho))
	logged(p, "init-ack-from-client", wire.SCTP(from, to, toTag, wire.InitAck))
	loggedBack(p, "cookie-ack-too-early", wire.SCTP(to, from, toTag, wire.CookieAck))
}

func dccpReasons(p *probe.P) {
	from, to := udpClient, udpServer
	request := wire.DCCP(from, to, wire.DCCPRequest, 1000, 0)
	logged(p, "cut-ports", request.Shorten(3))
	logged(p, "cut-header", request.Shorten(11))
	logged(p, "offset-2", request.Set(20+4, 2).Mended())
	logged(p, "coverage-15", request.Set(20+5, 15).Mended())
	logged(p, "bad-checksum", request.Set(20+6, 0xde, 0xad))
	logged(p, "type-10", request.Set(20+8, 10<<1|1).Mended())
	logged(p, "short-sequence", request.Set(20+8, 0).Mended())
	logged(p, "stray-response", wire.DCCP(from, to, wire.DCCPResponse, 1000, 1))
	logged(p, "request", request)
	loggedBack(p, "request-back", wire.DCCP(to, from, wire.DCCPRequest, 2000, 0))
	loggedBack(p, "response", wire.DCCP(to, from, wire.DCCPResponse, 2000, 1000))
	loggedBack(p, "close-request-too-early", wire.DCCP(to, from, wire.DCCPCloseReq, 2001, 1000))
}
