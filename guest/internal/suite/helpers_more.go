package suite

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/internal/probe"
	"github.com/ctmatrix/ctmatrix/guest/internal/wire"
)

// helpersMore ask of helpers what is seldom met.
var helpersMore = []probe.Probe{
	helped("broadcast-port", "netbios_ns", "The box asks all hosts of a network at a port that is not the helper's: from which port may they answer?", broadcastSource, func(p *probe.P) {
		network := netip.MustParsePrefix("198.51.100.1/24")
		p.Must(p.Box.GiveIn(lab.NearName, network))
		p.Must(p.Box.Rules.TryObject(lab.FilterOutput, "helper", lab.HelperObjectKind, helperPolicy("netbios-ns", unix.IPPROTO_UDP)...))
		p.Add(lab.On(lab.FilterOutput, lab.Proto("udp"), lab.Object(lab.HelperObjectKind, "helper")))
		const usual, other = 137, 1137
		at := netip.AddrPortFrom(network.Addr(), other)
		socket := ownSocket(p, at)
		p.Must(socket.MayBroadcast())
		p.Must(socket.Send(addr(at, netip.MustParseAddr("198.51.100.255"))))
		p.ComeOut()
		p.Expected("all-hosts")
		answer := func(subject, from string, number uint16) {
			p.Mark()
			p.Through(wire.UDP(netip.AddrPortFrom(netip.MustParseAddr(from), number), at, "x"))
			p.Class(subject)
		}
		answer("from-asked-port", "198.51.100.7", other)
		answer("from-usual-port", "198.51.100.8", usual)
		answer("from-third-port", "198.51.100.9", 3000)
	}),
	helped("irc-long", "irc", "How far into a segment does the helper look for a DCC request?", "help in nf_conntrack_irc.c (MAX_SEARCH_SIZE)", func(p *probe.P) {
		assign(p, "irc", "tcp", unix.IPPROTO_TCP, 6667)
		host := binary.BigEndian.Uint32(client.AsSlice())
		for _, length := range []int{400, 4000, 4095, 4096, 4200} {
			p.Flush()
			f := control(p, versions[0], 6667)
			request := fmt.Sprintf(" :\x01DCC SEND file %d 20000\x01\r\n", host)
			const begin = "PRIVMSG "
			text := begin + strings.Repeat("x", length-len(begin)-len(request)) + request
			// Tracking, and the helper, get the segment in one piece.
			heard(p, fmt.Sprintf("ends-at-%d", length), p.Forth(wire.Fragments(f.Orig(ACK, wire.Payload(text)).NoDF(), 1, 1400)...))
		}
	}),
	func() probe.Probe {
		pr := helped("log", "ftp", "What does the kernel's log say of packets that helpers drop?", "nf_ct_helper_log in nf_conntrack_helper.c", func(p *probe.P) {
			assign(p, "ftp", "tcp", unix.IPPROTO_TCP, 21)
			assign(p, "tftp", "udp", unix.IPPROTO_UDP, 69)
			p.Set("net.netfilter.nf_conntrack_expect_max", "1")
			dropped := func(subject string, pkt wire.Packet) {
				p.Mark()
				p.Fate(subject, p.Forth(pkt))
				var said []string
				for _, l := range p.Logged("dropping packet: ") {
					why, _, _ := strings.Cut(l, "IN=")
					said = append(said, strings.TrimSpace(why))
				}
				p.Text(subject, "line", listOr("none", said))
			}
			f := ftpControl(p, versions[0], firstPort)
			dropped("control", f.Orig(ACK, portLine(20000)))
			other := ftpControl(p, versions[0], firstPort+1)
			dropped("ftp-no-room", other.Orig(ACK, portLine(20001)))
			from, to := between(versions[0], 69)
			dropped("tftp-no-room", wire.UDP(from, to, "\x00\x01file\x00octet\x00"))
		}, append([]string{"nf_conntrack_tftp"}, loggers...)...)
		pr.Sysctls = []probe.Sysctl{{Name: logger4, Value: ownLogger4}}
		return pr
	}(),
	helped("pptp-again", "pptp", "A second PPTP call has the number that the server gave the first: are the first's GRE packets still known?",
		"nf_ct_gre_keymap_add in nf_conntrack_proto_gre.c; exp_gre in nf_conntrack_pptp.c", helpersPPTPAgain),
}

func helpersPPTPAgain(p *probe.P) {
	assign(p, "pptp", "tcp", unix.IPPROTO_TCP, 1723)
	const first, second, theirs = 0x0101, 0x0303, 0x0202 // call ids of the client, and of the server
	room := make([]byte, 160)                            // for names and numbers, which nobody reads
	ids := func(call ...uint16) []byte {
		var b []byte
		for _, id := range call {
			b = binary.BigEndian.AppendUint16(b, id)
		}
		return b
	}
	f := control(p, versions[0], 1723)
	ask := func(typ uint16, body []byte) {
		p.Forth(f.Orig(ACK, wire.Payload(pptpMessage(typ, append(body, room...)...))))
	}
	answer := func(typ uint16, body []byte) {
		p.Back(f.Reply(ACK, wire.Payload(pptpMessage(typ, append(body, room...)...))))
	}
	gre := func(subject string, call uint16) {
		p.Mark()
		p.Forth(wire.Datagram(client, server, wire.ProtoGRE, pptpPacket(call)))
		p.Class(subject)
		p.Text(subject, "entries", whom(p))
	}
	ask(1, []byte{1, 0, 0, 0})    // start
	answer(2, []byte{1, 0, 1, 0}) // started
	ask(7, ids(first))            // call
	answer(8, append(ids(theirs, first), 1, 0))
	p.Expected("called")
	gre("of-first", theirs)
	ask(7, ids(second))
	answer(8, append(ids(theirs, second), 1, 0))
	p.Expected("called-again")
	gre("of-first-again", theirs)
}
