package suite

import (
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/internal/probe"
	"github.com/ctmatrix/ctmatrix/guest/internal/wire"
)

// helpers ask what a connection's helper makes of what is said on it.
var helpers = slices.Concat(helpersFTP, helpersOther, helpersRare, helpersUser, helpersLife, helpersMore)

// helped is a probe of the family.
func helped(name, helper, question, source string, run func(*probe.P), needs ...string) probe.Probe {
	return probe.Probe{
		Name: "helpers/" + name, Question: question, Source: source,
		Path: lab.Forward6, Only: probe.Initial, Run: run,
		Needs: append([]string{"nf_conntrack_" + helper, "nft_objref"}, needs...),
	}
}

// assign gives new connections to a port a helper, over both IP versions.
func assign(p *probe.P, helper, proto string, l4 uint8, port uint16) {
	for _, family := range []byte{unix.NFPROTO_IPV4, unix.NFPROTO_IPV6} {
		name := fmt.Sprintf("%s-%d", helper, family)
		attrs := helperPolicy(helper, l4)
		attrs[1].Data = []byte{0, family}
		if err := p.Box.Rules.TryObject(lab.ManglePrerouting, name, lab.HelperObjectKind, attrs...); err != nil {
			continue // a helper of one version only
		}
		p.Add(lab.On(lab.ManglePrerouting, lab.Version(family), lab.Proto(proto), lab.Dport(port), lab.Object(lab.HelperObjectKind, name)))
	}
}

// control is a connection to a port of the server on which a helper listens, and
// both sides have spoken.
func control(p *probe.P, v version, port uint16) *wire.Flow {
	f := wire.TCP(netip.AddrPortFrom(v.client, firstPort), netip.AddrPortFrom(v.server, port))
	opened(p, f)
	p.Back(f.Reply(ACK, wire.Payload("220 ready\r\n")))
	p.Forth(f.Orig(ACK))
	return f
}

// ftpControl is a control connection on which both sides have said a line: the
// helper looks at lines that follow a line (find_nl_seq).
func ftpControl(p *probe.P, v version, clientPort uint16) *wire.Flow {
	f := wire.TCP(netip.AddrPortFrom(v.client, clientPort), netip.AddrPortFrom(v.server, 21))
	opened(p, f)
	p.Back(f.Reply(ACK, wire.Payload("220 ready\r\n")))
	p.Forth(f.Orig(ACK, wire.Payload("USER x\r\n")))
	p.Back(f.Reply(ACK, wire.Payload("331 who\r\n")))
	return f
}

// heard records what was expected because of a packet, and whether that came
// through.
func heard(p *probe.P, subject string, out []wire.Seen) {
	fate := "came through"
	if len(out) == 0 {
		fate = "lost"
	}
	p.Text(subject, "came-out", fate)
	p.Expected(subject)
}

const ftp = "help, try_rfc959 and try_eprt in nf_conntrack_ftp.c; RFC 959, RFC 2428"

// ftpLines are lines of FTP that may name a port: what the client says, or the
// server.
var ftpLines = []struct {
	name, line string
	back       bool
}{
	{"port", "PORT 198,18,0,2,78,32\r\n", false},
	{"port-lower-case", "port 198,18,0,2,78,32\r\n", false},
	{"port-no-return", "PORT 198,18,0,2,78,32\n", false},
	{"port-other-host", "PORT 198,18,0,9,78,32\r\n", false},
	{"port-number-256", "PORT 198,18,0,2,78,256\r\n", false},
	{"port-host-258", "PORT 198,18,256,2,78,32\r\n", false},
	{"port-huge-number", "PORT 198,18,0,2,78,4294967328\r\n", false},
	{"port-too-short", "PORT 198,18,0,2,78\r\n", false},
	{"port-spaces", "PORT 198, 18, 0, 2, 78, 32\r\n", false},
	{"port-zero", "PORT 198,18,0,2,0,0\r\n", false},
	{"port-from-server", "PORT 198,18,0,2,78,32\r\n", true},
	{"eprt", "EPRT |1|198.18.0.2|20000|\r\n", false},
	{"eprt-other-delimiter", "EPRT !1!198.18.0.2!20000!\r\n", false},
	{"eprt-v6-on-v4", "EPRT |2|2001:db8:1::2|20000|\r\n", false},
	{"eprt-no-delimiter", "EPRT |1|198.18.0.2|20000\r\n", false},
	{"eprt-port-65536", "EPRT |1|198.18.0.2|65536|\r\n", false},
	{"eprt-port-85536", "EPRT |1|198.18.0.2|85536|\r\n", false},
	{"eprt-port-zero", "EPRT |1|198.18.0.2|0|\r\n", false},
	{"pasv", "227 Entering Passive Mode (198,19,0,2,78,32)\r\n", true},
	{"pasv-no-parenthesis", "227 Entering Passive Mode 198,19,0,2,78,32\r\n", true},
	{"pasv-other-host", "227 Entering Passive Mode (198,19,0,9,78,32)\r\n", true},
	{"pasv-from-client", "227 Entering Passive Mode (198,19,0,2,78,32)\r\n", false},
	{"epsv", "229 Entering Extended Passive Mode (|||20000|)\r\n", true},
	{"epsv-port-65536", "229 Entering Extended Passive Mode (|||65536|)\r\n", true},
	{"not-a-line", "RETR PORT 198,18,0,2,78,32\r\n", false},
}

var helpersFTP = []probe.Probe{
	helped("ftp", "ftp", "Which lines of FTP make an expectation, of whom to whom, and how long does it live?", ftp, func(p *probe.P) {
		assign(p, "ftp", "tcp", unix.IPPROTO_TCP, 21)
		for _, l := range ftpLines {
			p.Flush()
			f := ftpControl(p, versions[0], firstPort)
			if l.back {
				heard(p, l.name, p.Back(f.Reply(ACK|wire.PSH, wire.Payload(l.line))))
			} else {
				heard(p, l.name, p.Forth(f.Orig(ACK|wire.PSH, wire.Payload(l.line))))
			}
		}
	}),
	helped("ftp-v6", "ftp", "Which lines of FTP over IPv6 make an expectation?", ftp, func(p *probe.P) {
		assign(p, "ftp", "tcp", unix.IPPROTO_TCP, 21)
		for _, l := range []struct {
			name, line string
			back       bool
		}{
			{"eprt", "EPRT |2|2001:db8:1::2|20000|\r\n", false},
			{"eprt-other-host", "EPRT |2|2001:db8:1::9|20000|\r\n", false},
			{"epsv", "229 Entering Extended Passive Mode (|||20000|)\r\n", true},
			{"port", "PORT 198,18,0,2,78,32\r\n", false},
		} {
			p.Flush()
			f := ftpControl(p, versions[1], firstPort)
			if l.back {
				heard(p, l.name, p.Back(f.Reply(ACK|wire.PSH, wire.Payload(l.line))))
			} else {
				heard(p, l.name, p.Forth(f.Orig(ACK|wire.PSH, wire.Payload(l.line))))
			}
		}
	}),
	helped("ftp-segments", "ftp", "Is a line of FTP understood that is cut in two, comes twice, or comes before what it follows?", ftp+" (find_nl_seq, update_nl_seq)", func(p *probe.P) {
		assign(p, "ftp", "tcp", unix.IPPROTO_TCP, 21)
		const line = "PORT 198,18,0,2,78,32\r\n"
		ask := func(subject string, say func(f *wire.Flow) []wire.Packet) {
			p.Flush()
			f := ftpControl(p, versions[0], firstPort)
			heard(p, subject, p.Forth(say(f)...))
		}
		ask("cut", func(f *wire.Flow) []wire.Packet {
			return []wire.Packet{f.Orig(ACK, wire.Payload(line[:12])), f.Orig(ACK, wire.Payload(line[12:]))}
		})
		ask("cut-after-line", func(f *wire.Flow) []wire.Packet {
			return []wire.Packet{f.Orig(ACK, wire.Payload("NOOP\r\n"+line[:12])), f.Orig(ACK, wire.Payload(line[12:]))}
		})
		ask("two-lines", func(f *wire.Flow) []wire.Packet {
			return []wire.Packet{f.Orig(ACK, wire.Payload("NOOP\r\n"+line))}
		})
		ask("twice", func(f *wire.Flow) []wire.Packet {
			pkt := f.Orig(ACK, wire.Payload(line))
			return []wire.Packet{pkt, pkt}
		})
		ask("after-line", func(f *wire.Flow) []wire.Packet {
			return []wire.Packet{f.Orig(ACK, wire.Payload("NOOP\r\n")), f.Orig(ACK, wire.Payload(line))}
		})
		ask("first-line", func(f *wire.Flow) []wire.Packet {
			p.Flush()
			return []wire.Packet{control(p, versions[0], 21).Orig(ACK, wire.Payload(line))}
		})
		ask("after-half-line", func(f *wire.Flow) []wire.Packet {
			return []wire.Packet{f.Orig(ACK, wire.Payload("NOO")), f.Orig(ACK, wire.Payload(line))}
		})
		ask("before-line", func(f *wire.Flow) []wire.Packet {
			first := f.Orig(ACK, wire.Payload("NOOP\r\n"))
			return []wire.Packet{f.Orig(ACK, wire.Payload(line)), first}
		})
	}),
	helped("ftp-nat", "ftp", "What does the helper write into the line where an address is translated, and do later segments fit?", "nf_nat_ftp in nf_nat_ftp.c; nf_ct_seqadj_set", helpersNAT,
		"nf_nat", "nft_chain_nat", "nft_nat", "nf_nat_ftp"),
	helped("ftp-data", "ftp", "What is a connection that was expected: its class, flags, mark and helper, and is it expected again?", "init_conntrack in nf_conntrack_core.c", func(p *probe.P) {
		assign(p, "ftp", "tcp", unix.IPPROTO_TCP, 21)
		p.Add(lab.On(lab.Postrouting, lab.CtState("new"), lab.CtSet("mark", []byte{0x42, 0, 0, 0})))
		take := p.Listen()
		f := ftpControl(p, versions[0], firstPort)
		p.Forth(f.Orig(ACK, wire.Payload("PORT 198,18,0,2,78,32\r\n")))
		take()
		data := wire.TCP(netip.AddrPortFrom(server, 20), netip.AddrPortFrom(client, 20000))
		readKeys(p, lab.ManglePrerouting, keyNamed(p, "helper"), keyNamed(p, "status"))
		p.Mark()
		p.Back(data.Orig(SYN))
		p.Class("first")
		p.Entry("first", p.Entries())
		for _, k := range []string{"helper", "status"} {
			said, err := p.Box.Rules.Said(lab.ManglePrerouting, keyNamed(p, k))
			p.Must(err)
			p.Text("first", k, listOr("no answer", said))
		}
		for _, e := range p.Entries() {
			if e.Orig.Dst.Port() == 20000 {
				p.Text("first", "mark", fmt.Sprintf("%#x", e.Mark))
			}
		}
		p.Events("first", take())
		p.Expected("first")
		p.Mark()
		p.Forth(data.Reply(SYN | ACK))
		p.Class("answer")
		p.Mark()
		p.Back(wire.TCP(netip.AddrPortFrom(server, 2020), netip.AddrPortFrom(client, 20000)).Orig(SYN))
		p.Class("second")
	}),
}

// helpersNAT lets a client behind a translated address speak FTP.
func helpersNAT(p *probe.P) {
	assign(p, "ftp", "tcp", unix.IPPROTO_TCP, 21)
	p.Add(lab.On(lab.NATPostrouting, lab.Out(lab.FarName), lab.SNAT(translated4)))
	f := wire.TCP(netip.AddrPortFrom(client, firstPort), netip.AddrPortFrom(server, 21))
	// The server knows the client by the other address.
	s := wire.TCP(netip.AddrPortFrom(translated4, firstPort), netip.AddrPortFrom(server, 21))
	say := func(subject string, pkt wire.Packet) {
		var texts []string
		for _, seen := range p.Forth(pkt) {
			texts = append(texts, fmt.Sprintf("%q", payloadOf(seen)))
		}
		p.Text(subject, "text", listOr("none", texts))
	}
	s.Orig(SYN)
	p.Forth(f.Orig(SYN))
	answer := s.Reply(SYN | ACK)
	f.Reply(SYN | ACK)
	p.Back(answer)
	p.Forth(f.Orig(ACK))
	p.Back(s.Reply(ACK, wire.Payload("220 ready\r\n")))
	f.Reply(ACK, wire.Payload("220 ready\r\n"))
	say("user", f.Orig(ACK, wire.Payload("USER x\r\n")))
	before := f.NextOrig()
	say("port", f.Orig(ACK, wire.Payload("PORT 198,18,0,2,78,32\r\n")))
	p.Expected("port")
	told := f.NextOrig() - before
	out := p.Forth(f.Orig(ACK, wire.Payload("NOOP\r\n")))
	for _, seen := range out {
		p.Count("next", "moved-by", int(int32(seen.Seq-before-told)))
		p.Text("next", "checksums", wire.Sums(seen))
	}
	p.Must(lab.PassTicks(1))
	data := wire.TCP(netip.AddrPortFrom(server, 20), netip.AddrPortFrom(translated4, 20000))
	p.Mark()
	back := p.Back(data.Orig(SYN))
	p.Class("data")
	p.Text("data", "packet", ends(back))
}

// payloadOf is what a TCP segment carries.
func payloadOf(s wire.Seen) string { return string(s.Data[len(s.Data)-s.Payload:]) }
