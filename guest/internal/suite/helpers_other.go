package suite

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ctmatrix/ctmatrix/guest/internal/probe"
	"github.com/ctmatrix/ctmatrix/guest/internal/wire"
)

// between are the two ends of a conversation over UDP with a port of the server.
func between(v version, port uint16) (from, to netip.AddrPort) {
	return netip.AddrPortFrom(v.client, firstPort), netip.AddrPortFrom(v.server, port)
}

var helpersOther = []probe.Probe{
	helped("tftp", "tftp", "Which TFTP packets make an expectation, over both IP versions, and is the transfer related?", "tftp_help in nf_conntrack_tftp.c; RFC 1350", func(p *probe.P) {
		assign(p, "tftp", "udp", unix.IPPROTO_UDP, 69)
		for _, v := range versions {
			from, to := between(v, 69)
			for _, m := range []struct{ name, text string }{
				{"read", "\x00\x01file\x00octet\x00"}, {"write", "\x00\x02file\x00octet\x00"}, {"data", "\x00\x03\x00\x01data"},
				{"error", "\x00\x05\x00\x00\x00"}, {"unknown", "\x00\x09"}, {"one-byte", "\x00"},
			} {
				p.Flush()
				heard(p, v.name+"-"+m.name, p.Forth(wire.UDP(from, to, m.text)))
			}
			p.Flush()
			p.Forth(wire.UDP(from, to, "\x00\x01file\x00octet\x00"))
			p.Mark()
			p.Back(wire.UDP(port(to, 3000), from, "\x00\x03\x00\x01data"))
			p.Class(v.name + "-transfer")
		}
	}),
	helped("irc", "irc", "Which DCC requests make an expectation?", "help and parse_dcc in nf_conntrack_irc.c", func(p *probe.P) {
		assign(p, "irc", "tcp", unix.IPPROTO_TCP, 6667)
		host := binary.BigEndian.Uint32(client.AsSlice())
		for _, m := range []struct{ name, text string }{
			{"send", fmt.Sprintf("PRIVMSG x :\x01DCC SEND file %d 20000\x01\r\n", host)},
			{"chat", fmt.Sprintf("PRIVMSG x :\x01DCC CHAT chat %d 20000\x01\r\n", host)},
			{"other-host", fmt.Sprintf("PRIVMSG x :\x01DCC SEND file %d 20000\x01\r\n", host+7)},
			{"port-zero", fmt.Sprintf("PRIVMSG x :\x01DCC SEND file %d 0\x01\r\n", host)},
			{"port-65536", fmt.Sprintf("PRIVMSG x :\x01DCC SEND file %d 65536\x01\r\n", host)},
			{"unquoted", fmt.Sprintf("PRIVMSG x :DCC SEND file %d 20000\r\n", host)},
			{"in-the-middle", fmt.Sprintf("PRIVMSG x :see DCC SEND file %d 20000\r\n", host)},
			{"notice", fmt.Sprintf("NOTICE x :\x01DCC SEND file %d 20000\x01\r\n", host)},
			{"lower-case", fmt.Sprintf("privmsg x :\x01DCC SEND file %d 20000\x01\r\n", host)},
			{"second-line", fmt.Sprintf("PING y\r\nPRIVMSG x :\x01DCC SEND file %d 20000\x01\r\n", host)},
			{"far-behind", "PRIVMSG x :" + strings.Repeat("y", 900) + fmt.Sprintf(" :\x01DCC SEND file %d 20000\x01\r\n", host)},
		} {
			p.Flush()
			f := control(p, versions[0], 6667)
			heard(p, m.name, p.Forth(f.Orig(ACK, wire.Payload(m.text))))
		}
	}),
	helped("amanda", "amanda", "Which answers of an Amanda server make expectations, and what do they do to the entry's time?", "amanda_help in nf_conntrack_amanda.c", func(p *probe.P) {
		assign(p, "amanda", "udp", unix.IPPROTO_UDP, 10080)
		from, to := between(versions[0], 10080)
		for _, m := range []struct{ name, text string }{
			{"three", "Amanda 2.4 REP HANDLE 1 SEQ 1\nCONNECT DATA 20000 MESG 20001 INDEX 20002\n"},
			{"state", "Amanda 2.4 REP HANDLE 1 SEQ 1\nCONNECT DATA 20000 MESG 20001 STATE 20002\n"},
			{"no-newline", "Amanda 2.4 REP\nCONNECT DATA 20000"},
			{"port-zero", "Amanda 2.4 REP\nCONNECT DATA 0\n"},
			{"port-65536", "Amanda 2.4 REP\nCONNECT DATA 65536\n"},
			{"port-99999", "Amanda 2.4 REP\nCONNECT DATA 99999\n"},
			{"six-digits", "Amanda 2.4 REP\nCONNECT DATA 200000\n"},
			{"nothing", "Amanda 2.4 ACK\n"},
		} {
			p.Flush()
			p.Forth(wire.UDP(from, to, "Amanda 2.4 REQ\n"))
			out := p.Back(wire.UDP(to, from, m.text))
			p.Timeout(m.name)
			heard(p, m.name, out)
		}
	}),
	helped("sane", "sane", "Which answers of a scanner make an expectation?", "help in nf_conntrack_sane.c", func(p *probe.P) {
		assign(p, "sane", "tcp", unix.IPPROTO_TCP, 6566)
		for _, m := range []struct {
			name        string
			ask, answer []byte
		}{
			{"start", []byte{0, 0, 0, 7, 0, 0, 0, 1}, []byte{0, 0, 0, 0, 0, 0, 78, 32}},
			{"other-request", []byte{0, 0, 0, 6, 0, 0, 0, 1}, []byte{0, 0, 0, 0, 0, 0, 78, 32}},
			{"refused", []byte{0, 0, 0, 7, 0, 0, 0, 1}, []byte{0, 0, 0, 1, 0, 0, 78, 32}},
			{"not-zero", []byte{0, 0, 0, 7, 0, 0, 0, 1}, []byte{0, 0, 0, 0, 0, 1, 78, 32}},
			{"short", []byte{0, 0, 0, 7, 0, 0, 0, 1}, []byte{0, 0, 0, 0}},
			{"with-more", []byte{0, 0, 0, 7, 0, 0, 0, 1}, []byte{0, 0, 0, 0, 0, 0, 78, 32, 0, 0, 0, 0}},
		} {
			p.Flush()
			f := control(p, versions[0], 6566)
			p.Forth(f.Orig(ACK, wire.Payload(string(m.ask))))
			heard(p, m.name, p.Back(f.Reply(ACK, wire.Payload(string(m.answer)))))
		}
	}),
	helped("pptp", "pptp", "A PPTP call is set up: which GRE packets are expected then, and what is left when it ends?", "pptp_outbound_pkt, pptp_inbound_pkt and exp_gre in nf_conntrack_pptp.c; RFC 2637", helpersPPTP),
	helped("sip", "sip", "Which SIP messages make expectations, of which kinds, and for how long?", "sip_help_udp, process_register_request and process_sdp in nf_conntrack_sip.c; RFC 3261", helpersSIP),
}

// pptpMessage is a control message of RFC 2637, section 2: its type and what is
// behind the reserved field.
func pptpMessage(typ uint16, body ...byte) string {
	b := binary.BigEndian.AppendUint16(nil, uint16(12+len(body)))
	b = append(b, 0, 1, 0x1a, 0x2b, 0x3c, 0x4d)
	b = binary.BigEndian.AppendUint16(b, typ)
	return string(append(append(b, 0, 0), body...))
}

func helpersPPTP(p *probe.P) {
	assign(p, "pptp", "tcp", unix.IPPROTO_TCP, 1723)
	const (
		startRequest, startReply = 1, 2
		callRequest, callReply   = 7, 8
		clear, disconnect        = 12, 13
	)
	room := make([]byte, 160) // for names and numbers, which nobody reads
	f := control(p, versions[0], 1723)
	say := func(subject string, back bool, text string) {
		if back {
			heard(p, subject, p.Back(f.Reply(ACK, wire.Payload(text))))
		} else {
			heard(p, subject, p.Forth(f.Orig(ACK, wire.Payload(text))))
		}
	}
	const mine, theirs = 0x0101, 0x0202 // call ids of the client and of the server
	gre := func(subject string, back bool, call uint16) {
		p.Mark()
		from, to := client, server
		if back {
			from, to = to, from
		}
		pkt := wire.Datagram(from, to, wire.ProtoGRE, pptpPacket(call))
		if back {
			p.Back(pkt)
		} else {
			p.Forth(pkt)
		}
		p.Class(subject)
	}
	say("call-too-soon", false, pptpMessage(callRequest, append([]byte{1, 1}, room...)...))
	say("start", false, pptpMessage(startRequest, append([]byte{1, 0, 0, 0}, room...)...))
	say("started", true, pptpMessage(startReply, append([]byte{1, 0, 1, 0}, room...)...))
	say("call", false, pptpMessage(callRequest, append([]byte{mine >> 8, mine & 0xff}, room...)...))
	gre("gre-too-soon", false, theirs)
	say("other-call", true, pptpMessage(callReply, append([]byte{theirs >> 8, theirs & 0xff, 9, 9, 1, 0}, room...)...))
	say("called", true, pptpMessage(callReply, append([]byte{theirs >> 8, theirs & 0xff, mine >> 8, mine & 0xff, 1, 0}, room...)...))
	gre("gre-to-server", false, theirs)
	gre("gre-to-client", true, mine)
	gre("gre-again", false, theirs)
	gre("gre-other-call", false, 0x0303)
	p.Text("table", "entries", whom(p))
	say("clear", false, pptpMessage(clear, append([]byte{mine >> 8, mine & 0xff, 0, 0}, room...)...))
	say("disconnected", true, pptpMessage(disconnect, append([]byte{theirs >> 8, theirs & 0xff, 1, 0, 0, 0, 0, 0}, room...)...))
	p.Text("end", "entries", whom(p))
}

// sipMessage is a message of SIP from the client to the server, or an answer.
func sipMessage(first string, headers []string, body string) string {
	lines := append([]string{first, "Via: SIP/2.0/UDP 198.18.0.2:5060;branch=z9hG4bK1"}, headers...)
	if body != "" {
		lines = append(lines, "Content-Type: application/sdp")
	}
	lines = append(lines, fmt.Sprintf("Content-Length: %d", len(body)), "", "")
	return strings.Join(lines, "\r\n") + body
}

func helpersSIP(p *probe.P) {
	assign(p, "sip", "udp", unix.IPPROTO_UDP, 5060)
	const (
		who    = "From: <sip:a@198.18.0.2>;tag=1"
		whomTo = "To: <sip:b@198.19.0.2>"
		call   = "Call-ID: 1@198.18.0.2"
	)
	sdp := func(host, media string) string {
		return "v=0\r\no=- 1 1 IN IP4 " + host + "\r\ns=-\r\nc=IN IP4 " + host + "\r\nt=0 0\r\n" + media
	}
	head := func(method, seq string, more ...string) []string {
		return append([]string{who, whomTo, call, "CSeq: " + seq + " " + method}, more...)
	}
	contact := "Contact: <sip:a@198.18.0.2:5060>"
	from, to := between(versions[0], 5060)
	from = port(from, 5060)
	for _, m := range []struct{ name, text string }{
		{"register", sipMessage("REGISTER sip:198.19.0.2 SIP/2.0", head("REGISTER", "1", contact, "Expires: 600"), "")},
		{"register-gone", sipMessage("REGISTER sip:198.19.0.2 SIP/2.0", head("REGISTER", "1", contact, "Expires: 0"), "")},
		{"register-other-host", sipMessage("REGISTER sip:198.19.0.2 SIP/2.0", head("REGISTER", "1", "Contact: <sip:a@198.18.0.9:5060>", "Expires: 600"), "")},
		{"invite-audio", sipMessage("INVITE sip:b@198.19.0.2 SIP/2.0", head("INVITE", "1", contact), sdp("198.18.0.2", "m=audio 20000 RTP/AVP 0\r\n"))},
		{"invite-audio-and-video", sipMessage("INVITE sip:b@198.19.0.2 SIP/2.0", head("INVITE", "1", contact), sdp("198.18.0.2", "m=audio 20000 RTP/AVP 0\r\nm=video 20002 RTP/AVP 0\r\n"))},
		{"invite-other-host", sipMessage("INVITE sip:b@198.19.0.2 SIP/2.0", head("INVITE", "1", contact), sdp("198.18.0.9", "m=audio 20000 RTP/AVP 0\r\n"))},
		{"invite-low-port", sipMessage("INVITE sip:b@198.19.0.2 SIP/2.0", head("INVITE", "1", contact), sdp("198.18.0.2", "m=audio 80 RTP/AVP 0\r\n"))},
		{"invite-no-body", sipMessage("INVITE sip:b@198.19.0.2 SIP/2.0", head("INVITE", "1", contact), "")},
		{"invite-unknown-media", sipMessage("INVITE sip:b@198.19.0.2 SIP/2.0", head("INVITE", "1", contact), sdp("198.18.0.2", "m=text 20000 RTP/AVP 0\r\n"))},
		{"options", sipMessage("OPTIONS sip:b@198.19.0.2 SIP/2.0", head("OPTIONS", "1"), "")},
		{"no-sequence", sipMessage("INVITE sip:b@198.19.0.2 SIP/2.0", []string{who, whomTo, call}, sdp("198.18.0.2", "m=audio 20000 RTP/AVP 0\r\n"))},
		{"not-sip", "hello hello hello hello\r\n\r\n"},
	} {
		p.Flush()
		heard(p, m.name, p.Forth(wire.UDP(from, to, m.text)))
	}
	p.Flush()
	p.Forth(wire.UDP(from, to, sipMessage("INVITE sip:b@198.19.0.2 SIP/2.0", head("INVITE", "1", contact), sdp("198.18.0.2", "m=audio 20000 RTP/AVP 0\r\n"))))
	heard(p, "ok", p.Back(wire.UDP(to, from, sipMessage("SIP/2.0 200 OK", head("INVITE", "1", "Contact: <sip:b@198.19.0.2:5060>"), sdp("198.19.0.2", "m=audio 30000 RTP/AVP 0\r\n")))))
	p.Mark()
	p.Back(wire.UDP(netip.AddrPortFrom(server, 30000), netip.AddrPortFrom(client, 20000), "media"))
	p.Class("media")
	heard(p, "bye", p.Forth(wire.UDP(from, to, sipMessage("BYE sip:b@198.19.0.2 SIP/2.0", head("BYE", "2"), ""))))
	p.Flush()
	p.Forth(wire.UDP(from, to, sipMessage("INVITE sip:b@198.19.0.2 SIP/2.0", head("INVITE", "1", contact), sdp("198.18.0.2", "m=audio 20000 RTP/AVP 0\r\n"))))
	heard(p, "busy", p.Back(wire.UDP(to, from, sipMessage("SIP/2.0 486 Busy Here", head("INVITE", "1"), ""))))
}
