package suite

import (
	"fmt"
	"strings"

	"github.com/ctmatrix/ctmatrix/guest/internal/probe"
	"github.com/ctmatrix/ctmatrix/guest/internal/wire"
)

const (
	windowSource   = "tcp_in_window in nf_conntrack_proto_tcp.c"
	retransSysctl  = "net.netfilter.nf_conntrack_tcp_max_retrans"
	retransTimeout = "net.netfilter.nf_conntrack_tcp_timeout_max_retrans"
	liberalSysctl  = "net.netfilter.nf_conntrack_tcp_be_liberal"
)

var window = tcpProbe("tcp-window")

// tcpWindow asks which numbers the tracker takes for possible ones. There is one
// entry, and all sequence numbers are the probe's own: no seed can reach these
// rows.
var tcpWindow = []probe.Probe{
	edges("edges", "At each edge of the window, which packet is the last that is tracked?", acknowledged, 65535),
	edges("edges-liberal", "With tcp_be_liberal, are packets out of the window tracked?", acknowledged, 65535,
		probe.Sysctl{Name: liberalSysctl, Value: "1"}),
	edges("edges-scaled", "Where both sides scale their windows, where are the edges?",
		func(p *probe.P) *wire.Flow { return scaled(p, 7, 7) }, 65535<<7),
	edges("edges-scaled-by-one", "Where only the client offers to scale, is its window as large as it says or as it would scale it?",
		func(p *probe.P) *wire.Flow { return scaled(p, 7, -1) }, 65535),
	edges("edges-pickup", "Where the handshake was not seen, and with it the scales, is anything out of the window?",
		func(p *probe.P) *wire.Flow {
			f := midway()
			p.Forth(f.Orig(ACK))
			p.Back(f.Reply(ACK))
			p.Forth(f.Orig(ACK))
			return f
		}, 65535),
	window("keep-alive", "Are keep-alives and their answers tracked, with a byte of garbage and without, and what time do they give?",
		windowSource+"; RFC 9293, section 3.8.4", func(p *probe.P) {
			f := acknowledged(p)
			outcome(p, "empty", f.Orig(ACK, wire.SeqBy(-1)))
			outcomeBack(p, "empty-ack", f.Reply(ACK))
			outcome(p, "byte", wire.TCP(tcpClient, tcpServer).Orig(ACK, wire.Payload("x"),
				wire.Seq(wire.OrigISN+4), wire.Ack(wire.ReplyISN+5)))
			outcomeBack(p, "byte-ack", f.Reply(ACK))
			moved(p)
		}),
	window("zero", "Is the one byte tracked that probes a closed window, and what follows when the window opens again?",
		windowSource+": a window of zero lets one byte in; RFC 9293, section 3.8.6.1", func(p *probe.P) {
			f := acknowledged(p)
			outcomeBack(p, "closed", f.Reply(ACK, wire.Window(0)))
			outcome(p, "probe", f.Orig(ACK, wire.Payload("x")))
			outcomeBack(p, "probe-refused", f.Reply(ACK, wire.AckBy(-1), wire.Window(0)))
			outcomeBack(p, "open", f.Reply(ACK, wire.Window(1000)))
			outcome(p, "data", f.Orig(PSH|ACK, wire.Payload("data")))
			moved(p)
		}),
	window("zero-at-first", "Where the SYN+ACK's window is zero, what may the client send?",
		windowSource+": td_maxwin is at least one", func(p *probe.P) {
			for _, by := range []int{0, 1, 2} {
				p.Flush()
				f := tcpFlow()
				p.Forth(f.Orig(SYN))
				p.Back(f.Reply(SYN|ACK, wire.Window(0)))
				outcome(p, fmt.Sprintf("by-%d", by), f.Orig(ACK, wire.SeqBy(by)))
			}
			moved(p)
		}),
	window("shrunk", "Where the receiver takes its window back, is what was in flight still tracked?",
		windowSource+": td_maxend does not go back", func(p *probe.P) {
			f := acknowledged(p)
			outcomeBack(p, "shrunk", f.Reply(ACK, wire.Window(100)))
			outcome(p, "in-old-window", f.Orig(ACK, wire.SeqBy(65535)))
			outcome(p, "past-old-window", f.Orig(ACK, wire.SeqBy(65536)))
			moved(p)
		}),
	window("overshot-acknowledged", "Where a packet went beyond the window and the receiver took it, does the connection go on?",
		windowSource+", where more bytes come than expected (since commit cf97769c761a)", func(p *probe.P) {
			f := established(p)
			p.Back(f.Reply(ACK, wire.Window(10)))
			outcome(p, "in-window", f.Orig(PSH|ACK, wire.Payload(strings.Repeat("x", 10))))
			f.Skip(65535)
			outcome(p, "beyond", f.Orig(PSH|ACK, wire.Payload("beyond")))
			outcomeBack(p, "ack", f.Reply(ACK))
			outcome(p, "next", f.Orig(PSH|ACK, wire.Payload("next")))
			moved(p)
		}),
	sacks("sack", "Is a SACK looked at, up to the last byte that was sent and one beyond?", true),
	sacks("sack-not-agreed", "Is a SACK looked at that nobody agreed on in the handshake?", false),
	window("fin-out", "What becomes of a connection whose FINs are out of the window, and how long does it live?",
		windowSource+"; nf_tcp_handle_invalid", func(p *probe.P) {
			f := acknowledged(p)
			outcome(p, "fin", f.Orig(FIN|ACK, wire.SeqBy(1_000_000)))
			outcomeBack(p, "reply-ack", f.Reply(ACK, wire.AckBy(1_000_000)))
			outcomeBack(p, "reply-fin", f.Reply(FIN|ACK, wire.SeqBy(1_000_000)))
			outcomeBack(p, "reply-fin-again", f.Reply(FIN|ACK, wire.SeqBy(1_000_000)))
			outcome(p, "ack", wire.TCP(tcpClient, tcpServer).Orig(ACK, wire.Seq(wire.OrigISN+5), wire.Ack(wire.ReplyISN+5)))
			moved(p)
		}),
	window("unacknowledged", "How long does an entry live while data is not, in part, wholly, and more than wholly acknowledged?",
		"IP_CT_TCP_FLAG_DATA_UNACKNOWLEDGED in nf_conntrack_proto_tcp.c", func(p *probe.P) {
			f := acknowledged(p)
			outcome(p, "data", f.Orig(PSH|ACK, wire.Payload("data")))
			outcomeBack(p, "old-ack", f.Reply(ACK, wire.AckBy(-4)))
			outcomeBack(p, "part-ack", f.Reply(ACK, wire.AckBy(-1)))
			outcomeBack(p, "past-ack", f.Reply(ACK, wire.AckBy(1)))
			outcomeBack(p, "ack", f.Reply(ACK))
			outcomeBack(p, "reply-data", f.Reply(PSH|ACK, wire.Payload("data")))
			outcome(p, "reply-data-ack", f.Orig(ACK))
			moved(p)
		}),
	retransmits("3"), retransmits("1"), retransmits("0"),
	window("max-retrans-reset", "Does another packet begin the count of retransmissions anew, and does an answer?",
		windowSource+", where retransmissions are counted", func(p *probe.P) {
			f := acknowledged(p)
			data := f.Orig(PSH|ACK, wire.Payload("data"))
			p.Forth(data, data, data)
			outcome(p, "third-again", data)
			outcomeBack(p, "dup-ack", f.Reply(ACK, wire.AckBy(-4)))
			outcome(p, "after-dup-ack", data)
			outcomeBack(p, "ack", f.Reply(ACK))
			outcome(p, "next", f.Orig(PSH|ACK, wire.Payload("next")))
			moved(p)
		}, probe.Sysctl{Name: retransTimeout, Value: "200"}),
}

// edges asks a connection that reach has made for the last packet that is in the
// window and the first that is not, at each of its four edges, from both sides.
// Both have acknowledged all and offer a window of room bytes.
func edges(name, question string, reach func(*probe.P) *wire.Flow, room int, sysctls ...probe.Sysctl) probe.Probe {
	old := max(room, 66000) // MAXACKWINDOW
	cases := []struct {
		name string
		opt  wire.Option
	}{
		{"next", wire.SeqBy(0)},
		{"seq-edge", wire.SeqBy(room)},
		{"seq-past", wire.SeqBy(room + 1)},
		{"seq-overshot", wire.SeqBy(2*room - 1)},
		{"seq-overshot-past", wire.SeqBy(2 * room)},
		{"seq-old", wire.SeqBy(-room)},
		{"seq-old-past", wire.SeqBy(-room - 1)},
		{"ack-past", wire.AckBy(1)},
		{"ack-old", wire.AckBy(-old)},
		{"ack-old-past", wire.AckBy(-old - 1)},
	}
	return window(name, question, windowSource+"; Guido van Rooij, \"Real Stateful TCP Packet Filtering in IP Filter\" (2000)", func(p *probe.P) {
		for _, c := range cases {
			p.Flush()
			outcome(p, c.name, reach(p).Orig(ACK, c.opt))
			p.Flush()
			outcomeBack(p, "reply-"+c.name, reach(p).Reply(ACK, c.opt))
		}
		moved(p)
	}, sysctls...)
}

// scaled is an established connection whose sides said in the handshake by how
// much they scale their windows; below zero is not saying so. Both have told
// their scaled windows.
func scaled(p *probe.P, orig, reply int) *wire.Flow {
	f := tcpFlow()
	p.Forth(f.Orig(SYN, scale(orig)...))
	p.Back(f.Reply(SYN|ACK, scale(reply)...))
	p.Forth(f.Orig(ACK))
	p.Back(f.Reply(ACK))
	return f
}

func scale(shift int) []wire.Option {
	if shift < 0 {
		return nil
	}
	return []wire.Option{wire.WindowScale(uint8(shift))}
}

// sacks asks how far a selective acknowledgement may go.
func sacks(name, question string, agreed bool) probe.Probe {
	return window(name, question, "tcp_sack and "+windowSource+"; RFC 2018", func(p *probe.P) {
		var opts []wire.Option
		if agreed {
			opts = []wire.Option{wire.SACKPermitted()}
		}
		for _, c := range []struct {
			subject     string
			left, right uint32
		}{{"to-end", 5, 9}, {"past-end", 5, 10}, {"below-ack", 1, 3}, {"reversed", 9, 5}} {
			p.Flush()
			f := tcpFlow()
			p.Forth(f.Orig(SYN, opts...))
			p.Back(f.Reply(SYN|ACK, opts...))
			p.Forth(f.Orig(ACK))
			p.Forth(f.Orig(PSH|ACK, wire.Payload("lost")), f.Orig(PSH|ACK, wire.Payload("kept")))
			outcomeBack(p, c.subject, f.Reply(ACK, wire.AckBy(-8),
				wire.SACK(wire.OrigISN+c.left, wire.OrigISN+c.right)))
		}
		moved(p)
	})
}

// retransmits asks after how many repetitions an entry's time is cut.
func retransmits(value string) probe.Probe {
	return window("max-retrans-"+value, "With tcp_max_retrans at "+value+", which repetition of a segment cuts the entry's time?",
		windowSource+", where retransmissions are counted; nf_conntrack_tcp_max_retrans in nf_conntrack-sysctl.rst", func(p *probe.P) {
			f := acknowledged(p)
			data := f.Orig(PSH|ACK, wire.Payload("data"))
			outcome(p, "data", data)
			for i := range 4 {
				outcome(p, fmt.Sprintf("again-%d", i+1), data)
			}
			outcomeBack(p, "ack", f.Reply(ACK))
			moved(p)
		}, probe.Sysctl{Name: retransSysctl, Value: value}, probe.Sysctl{Name: retransTimeout, Value: "200"})
}
