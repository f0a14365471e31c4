package suite

import (
	"strings"

	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/internal/probe"
	"github.com/ctmatrix/ctmatrix/guest/internal/wire"
)

// packetdrill has the conversations of the kernel's own scripts, in
// tools/testing/selftests/net/netfilter/packetdrill, over both versions of IP.
// There one side is a socket of the kernel's; here the box forwards, so that what
// is observed is the tracker's alone. What a script asserts is in no probe:
// orchestrator/e2e compares.
var packetdrill = []probe.Probe{
	script("ack-loss-stall", "Is a segment invalid that was acknowledged more than a window ago and is sent again?",
		func(p *probe.P, v version) {
			f := v.tcp()
			p.Forth(f.Orig(SYN, wire.Window(32792), wire.MSS(1000)))
			p.Back(f.Reply(SYN|ACK, wire.MSS(1460)))
			p.Forth(f.Orig(ACK))
			segment := wire.Payload(strings.Repeat("x", 1440)) // what a link of 1500 bytes takes of IPv6, too
			first := f.Orig(PSH|ACK, segment, wire.Window(257))
			p.Forth(first)
			p.Back(f.Reply(ACK))
			for range 46 {
				p.Forth(f.Orig(PSH|ACK, segment, wire.Window(257)))
				p.Back(f.Reply(ACK))
			}
			outcome(p, v.name+"-again", first)
			outcomeBack(p, v.name+"-answer", f.Reply(ACK))
		}),
	script("inexact-rst", "Is a late RST invalid that is not exact, to a connection that is closing or closed already?",
		func(p *probe.P, v version) {
			f := fetched(p, v)
			p.Forth(f.Orig(PSH|ACK, wire.Payload(strings.Repeat("x", 1000))))
			outcomeBack(p, v.name+"-fin", f.Reply(FIN|ACK))
			outcome(p, v.name+"-ack", f.Orig(ACK))
			outcome(p, v.name+"-rst", f.Orig(RST|ACK))
			outcomeBack(p, v.name+"-late-rst", f.Reply(RST, wire.Seq(wire.ReplyISN+2001), wire.Window(0)))
		}),
	script("rst-invalid", "Are RSTs invalid that lie out of the window, or below what was acknowledged, and does the exact one close?",
		func(p *probe.P, v version) {
			f := fetched(p, v)
			p.Forth(f.Orig(PSH|ACK, wire.Payload(strings.Repeat("x", 1000))))
			none := wire.Window(0)
			outcomeBack(p, v.name+"-isn", f.Reply(RST, wire.Seq(wire.ReplyISN), none))
			outcomeBack(p, v.name+"-far", f.Reply(RST, wire.Seq(wire.ReplyISN+1_000_000), none))
			outcomeBack(p, v.name+"-old", f.Reply(RST, wire.Seq(wire.ReplyISN+42), none))
			outcomeBack(p, v.name+"-ack", f.Reply(ACK))
			outcomeBack(p, v.name+"-one-below", f.Reply(RST|ACK, wire.SeqBy(-1), none))
			outcomeBack(p, v.name+"-exact", f.Reply(RST|ACK, none))
		}),
	script("syn-challenge-ack", "Do all packets pass, and is there a new connection, where a SYN is answered by a challenge ACK, and that by a RST?",
		func(p *probe.P, v version) {
			f := v.tcp()
			const old = wire.OrigISN + 643160523
			syn := f.Orig(SYN, opening(8)...)
			outcome(p, v.name+"-syn", syn)
			outcomeBack(p, v.name+"-challenge", f.Reply(ACK, wire.Seq(145824453), wire.Ack(old), wire.Window(240)))
			outcome(p, v.name+"-rst", f.Orig(RST, wire.Seq(old), wire.Window(0)))
			outcome(p, v.name+"-syn-again", syn)
			outcomeBack(p, v.name+"-synack", f.Reply(SYN|ACK, wire.Window(250), wire.WindowScale(0)))
			outcome(p, v.name+"-ack", f.Orig(ACK, wire.Window(256)))
		}),
	script("synack-old", "Is the right SYN+ACK tracked after one of an earlier connection came first?",
		func(p *probe.P, v version) {
			f := v.tcp()
			syn := f.Orig(SYN, opening(8)...)
			p.Forth(syn)
			outcomeBack(p, v.name+"-old", v.tcp().Reply(SYN|ACK,
				wire.Seq(145824453), wire.Ack(wire.OrigISN+643160523), wire.Window(240), wire.WindowScale(0)))
			outcome(p, v.name+"-syn-again", syn)
			outcomeBack(p, v.name+"-synack", f.Reply(SYN|ACK, wire.Seq(145758918), wire.Window(250), wire.WindowScale(0)))
			outcome(p, v.name+"-data", f.Orig(PSH|ACK, wire.Ack(145758919), wire.Payload("x"), wire.Window(256)))
		}),
	script("synack-reuse", "Does the RST that answers a challenge ACK make way for a new connection of the same ports?",
		func(p *probe.P, v version) {
			f := v.tcp()
			p.Forth(f.Orig(SYN, wire.Window(32792), wire.MSS(1000), wire.WindowScale(7)))
			p.Back(f.Reply(SYN|ACK, wire.MSS(1460), wire.WindowScale(8)))
			p.Forth(f.Orig(ACK, wire.Window(257)))
			p.Forth(f.Orig(PSH|ACK, wire.Payload(strings.Repeat("x", 100)), wire.Window(257)))
			p.Back(f.Reply(ACK, wire.Window(256)))
			again := v.tcp()
			again.Skip(2000)
			outcome(p, v.name+"-syn", again.Orig(SYN, wire.Window(32792), wire.MSS(1000), wire.WindowScale(7)))
			outcomeBack(p, v.name+"-challenge", f.Reply(ACK, wire.Window(256)))
			outcome(p, v.name+"-rst", f.Orig(RST|ACK, wire.Window(257)))
			third := v.tcp()
			third.Skip(2000)
			outcome(p, v.name+"-syn-again", third.Orig(SYN, wire.Window(32792), wire.MSS(1000), wire.WindowScale(0)))
			outcomeBack(p, v.name+"-synack", third.Reply(SYN|ACK, wire.Seq(wire.ReplyISN+1_000_000), wire.WindowScale(8)))
		}),
}

// script is a probe named after the script that it repeats, for both versions of
// IP one after the other.
func script(name, question string, run func(*probe.P, version)) probe.Probe {
	return probe.Probe{
		Name: "packetdrill/" + name, Question: question,
		Source: "tools/testing/selftests/net/netfilter/packetdrill/conntrack_" + strings.ReplaceAll(name, "-", "_") + ".pkt",
		Path:   lab.Forward6, Only: probe.Initial,
		Run: func(p *probe.P) {
			for _, v := range versions {
				p.Flush()
				run(p, v)
			}
			moved(p)
		},
	}
}

// opening are the options of the kernel's own SYNs.
func opening(scale uint8) []wire.Option {
	return []wire.Option{wire.MSS(1460), wire.SACKPermitted(), wire.Timestamp(1, 0), wire.WindowScale(scale)}
}

// fetched is a connection whose client was sent 3000 bytes and has acknowledged
// them.
func fetched(p *probe.P, v version) *wire.Flow {
	f := v.tcp()
	p.Forth(f.Orig(SYN, opening(8)...))
	p.Back(f.Reply(SYN|ACK, wire.MSS(1460)))
	p.Forth(f.Orig(ACK))
	for range 3 {
		p.Back(f.Reply(ACK, wire.Payload(strings.Repeat("x", 1000))))
		p.Forth(f.Orig(ACK))
	}
	return f
}
