package suite

import (
	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/internal/probe"
	"github.com/ctmatrix/ctmatrix/guest/internal/wire"
)

const (
	rstSource   = "nf_conntrack_tcp_packet in nf_conntrack_proto_tcp.c, case TCP_CONNTRACK_CLOSE; RFC 5961, section 3"
	rstResponse = rstSource + ", where a RST answers a SYN that was let through"
)

// tcpRST asks what a RST does to an entry: whether it closes it, and what is left
// to live where it does not. There is one entry, and all sequence numbers are
// the probe's own: no seed can reach these rows.
var tcpRST = join(rstInStates(), []probe.Probe{
	rst("exact", "Does a RST with exactly the next sequence number close the entry?", rstSource,
		func(p *probe.P) { reset(p, established(p).Orig(RST)) }),
	rst("in-window", "What does a RST to the entry that lies in the window, but not where it should, and does the connection go on?",
		rstSource+"; the choice of the timeout further down; selftest conntrack_inexact_rst.pkt", func(p *probe.P) {
			f := established(p)
			reset(p, f.Orig(RST, wire.SeqBy(100)))
			step(p, "ack", f.Orig(ACK))
			step(p, "exact", f.Orig(RST))
		}),
	rst("in-window-reply", "Does it matter that the RST in the window comes from the other side?", rstSource,
		func(p *probe.P) { resetBack(p, established(p).Reply(RST, wire.SeqBy(100))) }),
	rst("below", "Is a RST below what was acknowledged invalid, and does the entry outlive it?", rstSource,
		func(p *probe.P) { reset(p, acknowledged(p).Orig(RST, wire.Seq(wire.OrigISN+1))) }),
	rst("beyond", "Is a RST beyond the window invalid, and does the entry outlive it?", rstSource,
		func(p *probe.P) { reset(p, established(p).Orig(RST, wire.SeqBy(1_000_000))) }),
	rst("behind-own-syn", "Can whoever knows the ports alone close an entry, by a SYN and a RST that answers it?",
		rstResponse, func(p *probe.P) {
			f := reused(p)
			reset(p, f.Orig(RST|ACK, wire.Seq(wire.OrigISN+2_000_000), wire.Ack(wire.OrigISN+500_001)))
		}),
	rst("answers-syn", "Does a RST that answers a new SYN of the other side close the entry?", rstResponse,
		func(p *probe.P) { resetBack(p, reused(p).Reply(RST|ACK, wire.Seq(0))) }),
	rst("answers-syn-wrongly", "Does a RST that acknowledges something else than the new SYN close the entry?", rstResponse,
		func(p *probe.P) { resetBack(p, reused(p).Reply(RST|ACK, wire.Seq(0), wire.AckBy(100))) }),
	rst("refused", "Does a RST that answers the first SYN take the entry away?",
		"nf_conntrack_tcp_packet in nf_conntrack_proto_tcp.c: an entry whose only reply is a RST", func(p *probe.P) {
			f := tcpFlow()
			p.Through(f.Orig(SYN))
			resetBack(p, f.Reply(RST|ACK, wire.Seq(0)))
		}),
	rst("first", "Does a RST that belongs to no entry make one?",
		"tcp_conntracks, a RST without a connection", func(p *probe.P) {
			reset(p, tcpFlow().Orig(RST))
			step(p, "control", tcpFlow().Orig(SYN))
		}),
	rst("after-close", "Does a RST to an entry that a RST has closed give it its time again, and is it looked at?",
		rstSource+", tcp_can_early_drop", func(p *probe.P) {
			f := established(p)
			p.Through(f.Orig(RST))
			outcome(p, "again", f.Orig(RST))
			outcome(p, "below", f.Orig(RST, wire.SeqBy(-10)))
			outcomeBack(p, "reply", f.Reply(RST))
			outcomeBack(p, "reply-below", f.Reply(RST, wire.SeqBy(-10)))
			moved(p)
		}),
	rst("after-refused-reopen", "Is a SYN that follows a refused one tracked as a new connection?", rstSource,
		func(p *probe.P) {
			f := tcpFlow()
			p.Through(f.Orig(SYN))
			p.Back(f.Reply(RST|ACK, wire.Seq(0)))
			step(p, "syn", tcpFlow().Orig(SYN))
		}),
	rst("out-of-window-then-fin", "Is an entry's time cut where one side's RST and the other's are both out of the window?",
		"nf_tcp_handle_invalid in nf_conntrack_proto_tcp.c: the time is lowered to that of unacknowledged data", func(p *probe.P) {
			f := acknowledged(p)
			outcome(p, "rst", f.Orig(RST, wire.SeqBy(1_000_000)))
			outcome(p, "rst-again", f.Orig(RST, wire.SeqBy(1_000_000)))
			outcomeBack(p, "reply-rst", f.Reply(RST, wire.SeqBy(1_000_000)))
			outcomeBack(p, "reply-fin", f.Reply(FIN|ACK, wire.SeqBy(1_000_000)))
			moved(p)
		}),
	ignored("0"), ignored("1"),
	liberal("0"), liberal("1"),
})

func rst(name, question, source string, run func(*probe.P), sysctls ...probe.Sysctl) probe.Probe {
	return probe.Probe{
		Name: "tcp-rst/" + name, Question: question, Source: source,
		Path: lab.Forward, Only: probe.Initial, Sysctls: sysctls, Run: run,
	}
}

// ignored asks what the sysctl changes that is there since commit 1da4cd82dd18.
func ignored(value string) probe.Probe {
	return rst("ignore-invalid-"+value, "With tcp_ignore_invalid_rst at "+value+", what does a RST below what was acknowledged to the entry?",
		"nf_conntrack_tcp_ignore_invalid_rst in nf_conntrack-sysctl.rst; commit 1da4cd82dd18", func(p *probe.P) {
			f := acknowledged(p)
			reset(p, f.Orig(RST, wire.SeqBy(-1)))
			step(p, "ack", f.Orig(ACK))
		}, probe.Sysctl{Name: "net.netfilter.nf_conntrack_tcp_ignore_invalid_rst", Value: value})
}

// liberal asks which RSTs are still invalid where windows are not looked at.
func liberal(value string) probe.Probe {
	return rst("be-liberal-"+value, "With tcp_be_liberal at "+value+", which RSTs are invalid, and which close the entry?",
		"nf_conntrack_tcp_be_liberal in nf_conntrack-sysctl.rst", func(p *probe.P) {
			for _, c := range []struct {
				subject string
				by      int
			}{{"below", -1}, {"exact", 0}, {"inside", 1}, {"beyond", 1_000_000}} {
				p.Flush()
				outcome(p, c.subject, acknowledged(p).Orig(RST, wire.SeqBy(c.by)))
			}
			moved(p)
		}, probe.Sysctl{Name: "net.netfilter.nf_conntrack_tcp_be_liberal", Value: value})
}

// rstPlaces are where in the sequence numbers a RST lies, counted from the next
// that its sender would use: the window that both sides offer is of 65535 bytes.
var rstPlaces = []struct {
	name  string
	flags wire.Flags
	by    int
}{
	{"exact", RST, 0},
	{"exact-ack", RST | ACK, 0},
	{"below", RST, -1},
	{"inside", RST, 1},
	{"edge", RST, 65535},
	{"past-edge", RST, 65536},
	{"far", RST | ACK, 1_000_000},
}

func rstInStates() []probe.Probe {
	var probes []probe.Probe
	for _, state := range tcpStates {
		probes = append(probes, rst("in-"+state.name,
			"In this state, does a RST close the entry, from either side, wherever in the window it lies?", rstSource,
			func(p *probe.P) {
				for _, place := range rstPlaces {
					p.Flush()
					outcome(p, "orig-"+place.name, state.reach(p).Orig(place.flags, wire.SeqBy(place.by)))
					p.Flush()
					outcomeBack(p, "reply-"+place.name, state.reach(p).Reply(place.flags, wire.SeqBy(place.by)))
				}
				moved(p)
			}))
	}
	return probes
}

// acknowledged is an established connection in which both sides have sent data
// and acknowledged that of the other.
func acknowledged(p *probe.P) *wire.Flow {
	f := established(p)
	p.Through(f.Orig(PSH|ACK, wire.Payload("data")))
	p.Back(f.Reply(PSH|ACK, wire.Payload("data")))
	p.Through(f.Orig(ACK))
	return f
}

// reused is an established connection whose client has forgotten it and begins
// another one from the same port.
func reused(p *probe.P) *wire.Flow {
	established(p)
	f := tcpFlow()
	f.Skip(500_000)
	p.Through(f.Orig(SYN))
	return f
}

// reset sends a RST on its way and records what becomes of it and of the entry.
func reset(p *probe.P, pkt wire.Packet) {
	step(p, "rst", pkt)
	moved(p)
}

// resetBack is reset for the other side.
func resetBack(p *probe.P, pkt wire.Packet) {
	stepBack(p, "rst", pkt)
	moved(p)
}
