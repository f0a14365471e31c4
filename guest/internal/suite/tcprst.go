package suite

import (
	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/internal/probe"
	"github.com/ctmatrix/ctmatrix/guest/internal/wire"
)

const rstSource = "nf_conntrack_tcp_packet in nf_conntrack_proto_tcp.c, case TCP_CONNTRACK_CLOSE; RFC 5961, section 3"

// tcpRST asks what a RST does to an entry: whether it closes it, and what is left
// to live where it does not. There is one entry, and all sequence numbers are
// the probe's own: no seed can reach these rows.
var tcpRST = []probe.Probe{
	rst("exact", "Does a RST with exactly the next sequence number close the entry?", rstSource,
		func(p *probe.P) { reset(p, established(p).Orig(RST)) }),
	rst("in-window", "What does a RST to the entry that lies in the window, but not where it should?",
		rstSource+"; the choice of the timeout further down", func(p *probe.P) {
			f := established(p)
			reset(p, f.Orig(RST, wire.Seq(wire.OrigISN+101)))
			// The control: the connection goes on.
			step(p, "ack", f.Orig(ACK))
		}),
	rst("in-window-reply", "Does it matter that the RST in the window comes from the other side?", rstSource,
		func(p *probe.P) {
			f := established(p)
			resetBack(p, f.Reply(RST, wire.Seq(wire.ReplyISN+101)))
		}),
	rst("below", "Is a RST below what was acknowledged invalid, and does the entry outlive it?", rstSource,
		func(p *probe.P) {
			f := established(p)
			data := f.Orig(PSH|ACK, wire.Payload("data"))
			p.Through(data)
			p.Back(f.Reply(ACK))
			reset(p, f.Orig(RST, wire.Seq(wire.OrigISN+1)))
		}),
	rst("beyond", "Is a RST beyond the window invalid, and does the entry outlive it?", rstSource,
		func(p *probe.P) { reset(p, established(p).Orig(RST, wire.Seq(wire.OrigISN+1_000_000))) }),
	rst("behind-own-syn", "Can whoever knows the ports alone close an entry, by a SYN and a RST that answers it?",
		rstSource+", where a RST answers a SYN that was let through", func(p *probe.P) {
			established(p)
			f := tcpFlow()
			f.Skip(500_000)
			p.Through(f.Orig(SYN))
			reset(p, f.Orig(RST|ACK, wire.Seq(wire.OrigISN+2_000_000), wire.Ack(wire.OrigISN+500_001)))
		}),
	rst("answers-syn", "Does a RST that answers a new SYN of the other side close the entry?",
		rstSource+", where a RST answers a SYN that was let through", func(p *probe.P) {
			established(p)
			f := tcpFlow()
			f.Skip(500_000)
			p.Through(f.Orig(SYN))
			resetBack(p, f.Reply(RST|ACK, wire.Seq(0)))
		}),
	rst("refused", "Does a RST that answers the first SYN take the entry away?",
		"nf_conntrack_tcp_packet in nf_conntrack_proto_tcp.c: an entry whose only reply is a RST", func(p *probe.P) {
			f := tcpFlow()
			p.Through(f.Orig(SYN))
			resetBack(p, f.Reply(RST|ACK, wire.Seq(0)))
		}),
}

func rst(name, question, source string, run func(*probe.P)) probe.Probe {
	return probe.Probe{
		Name: "tcp-rst/" + name, Question: question, Source: source,
		Path: lab.Forward, Only: probe.Initial, Run: run,
	}
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
