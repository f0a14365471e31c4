package suite

import (
	"fmt"

	"github.com/ctmatrix/ctmatrix/guest/internal/probe"
	"github.com/ctmatrix/ctmatrix/guest/internal/wire"
)

const synSource = "nf_conntrack_tcp_packet in nf_conntrack_proto_tcp.c, case TCP_CONNTRACK_SYN_SENT and TCP_CONNTRACK_IGNORE"

var syn = tcpProbe("tcp-syn")

// tcpSYN asks about the beginning of a connection. There is one entry, and all
// sequence numbers are the probe's own: no seed can reach these rows.
var tcpSYN = []probe.Probe{
	syn("synack-wrong", "Is a SYN+ACK invalid that acknowledges something else than the SYN, and the right one that follows not?",
		synSource+"; "+windowSource, func(p *probe.P) {
			for _, c := range []struct {
				subject string
				by      int
			}{{"below", -1}, {"beyond", 1}} {
				p.Flush()
				f := tcpFlow()
				p.Forth(f.Orig(SYN))
				outcomeBack(p, c.subject, f.Reply(SYN|ACK, wire.Seq(wire.ReplyISN), wire.AckBy(c.by)))
				outcomeBack(p, c.subject+"-right", f.Reply(SYN|ACK, wire.Seq(wire.ReplyISN)))
				outcome(p, c.subject+"-ack", f.Orig(ACK, wire.Ack(wire.ReplyISN+1)))
			}
			moved(p)
		}),
	syn("synack-old-higher", "Is the right SYN+ACK tracked if one of an earlier connection came before it, with much higher numbers?",
		windowSource+"; selftest conntrack_synack_old.pkt, where the numbers are close", func(p *probe.P) {
			f := tcpFlow()
			p.Forth(f.Orig(SYN))
			outcomeBack(p, "old", tcpFlow().Reply(SYN|ACK, wire.Seq(wire.ReplyISN+100_000_000), wire.Ack(wire.OrigISN+600_000_000)))
			outcomeBack(p, "right", f.Reply(SYN|ACK))
			outcome(p, "ack", f.Orig(ACK))
			moved(p)
		}),
	syn("synack-twice", "Is a SYN+ACK tracked that says another number than the first, and which of them is followed?",
		windowSource+", where the state of a direction begins anew", func(p *probe.P) {
			for _, c := range []struct {
				subject string
				by      int
			}{{"higher", 1_000_000}, {"lower", -1_000_000}} {
				p.Flush()
				f := tcpFlow()
				p.Forth(f.Orig(SYN))
				p.Back(f.Reply(SYN | ACK))
				outcomeBack(p, c.subject, f.Reply(SYN|ACK, wire.Seq(wire.ReplyISN), wire.SeqBy(c.by)))
				outcome(p, c.subject+"-ack", f.Orig(ACK, wire.Ack(wire.ReplyISN+1), wire.AckBy(c.by)))
			}
			moved(p)
		}),
	syn("synack-refused", "What becomes of the entry where the client answers the SYN+ACK with a RST?", rstSource,
		func(p *probe.P) {
			f := tcpFlow()
			p.Forth(f.Orig(SYN))
			p.Back(f.Reply(SYN | ACK))
			outcome(p, "rst", f.Orig(RST))
			outcomeBack(p, "synack-again", f.Reply(SYN|ACK, wire.Seq(wire.ReplyISN)))
			moved(p)
		}),
	syn("restarted", "Where a client gives up and begins again with another number, which SYN+ACK is tracked?", synSource,
		func(p *probe.P) {
			for _, c := range []struct {
				subject string
				by      uint32
			}{{"higher", 500_000}, {"lower", 1<<32 - 500_000}} {
				p.Flush()
				first, second := tcpFlow(), tcpFlow()
				p.Forth(first.Orig(SYN))
				second.Skip(c.by)
				outcome(p, c.subject+"-syn", second.Orig(SYN))
				outcomeBack(p, c.subject+"-synack-first", first.Reply(SYN|ACK))
				outcomeBack(p, c.subject+"-synack-second", second.Reply(SYN|ACK))
				outcome(p, c.subject+"-ack", second.Orig(ACK))
			}
			moved(p)
		}),
	syn("challenge", "May a SYN to an established connection, the challenge ACK that answers it, and the RST that answers that pass, and does the next SYN work?",
		synSource+"; RFC 5961, section 4", func(p *probe.P) {
			f := acknowledged(p)
			again := tcpFlow()
			again.Skip(500_000)
			outcome(p, "syn", again.Orig(SYN))
			outcomeBack(p, "challenge", f.Reply(ACK))
			outcome(p, "rst", f.Orig(RST))
			third := tcpFlow()
			third.Skip(500_000)
			outcome(p, "syn-again", third.Orig(SYN))
			outcomeBack(p, "synack", third.Reply(SYN|ACK, wire.SeqBy(500_000)))
			outcome(p, "ack", third.Orig(ACK, wire.AckBy(500_000)))
			moved(p)
		}),
	syn("challenge-last-ack", "Is the challenge ACK to a SYN in LAST_ACK taken for the ACK of the FIN?",
		"IP_CT_EXP_CHALLENGE_ACK in nf_conntrack_proto_tcp.c", func(p *probe.P) {
			f := lastACK(p)
			again := tcpFlow()
			again.Skip(500_000)
			outcome(p, "syn", again.Orig(SYN))
			outcomeBack(p, "challenge", f.Reply(ACK))
			outcome(p, "fin-ack", f.Orig(ACK))
			moved(p)
		}),
	syn("answered-anew", "Where a SYN to an established connection is answered with a SYN+ACK, is that a new connection?",
		synSource+": both ends have forgotten the old one", func(p *probe.P) {
			acknowledged(p)
			f := tcpFlow()
			f.Skip(500_000)
			outcome(p, "syn", f.Orig(SYN))
			outcomeBack(p, "synack", f.Reply(SYN|ACK, wire.SeqBy(500_000)))
			outcome(p, "ack", f.Orig(ACK, wire.AckBy(500_000)))
			outcomeBack(p, "reply-data", f.Reply(PSH|ACK, wire.SeqBy(500_000), wire.Payload("data")))
			moved(p)
		}),
	syn("answered-anew-scaled", "Are the window scales of the new handshake taken over, where the old one had others?",
		synSource+", last_wscale; "+windowSource, func(p *probe.P) {
			for _, c := range []struct {
				subject     string
				orig, reply int
			}{{"others", 3, 4}, {"none", -1, -1}} {
				p.Flush()
				scaled(p, 7, 7)
				p.Text(c.subject+"-old", "scales", scales(p))
				f := tcpFlow()
				f.Skip(500_000)
				p.Forth(f.Orig(SYN, scale(c.orig)...))
				p.Back(f.Reply(SYN|ACK, append(scale(c.reply), wire.SeqBy(500_000))...))
				p.Text(c.subject+"-new", "scales", scales(p))
				outcome(p, c.subject+"-ack", f.Orig(ACK, wire.AckBy(500_000)))
			}
			moved(p)
		}),
	syn("data", "Is data on a SYN tracked, whether the SYN+ACK acknowledges it or the SYN alone?",
		windowSource+"; RFC 7413: TCP Fast Open", func(p *probe.P) {
			cookie := wire.TCPOption(34, 1, 2, 3, 4, 5, 6, 7, 8)
			for _, c := range []struct {
				subject string
				acked   int
			}{{"taken", 0}, {"not-taken", -4}} {
				p.Flush()
				f := tcpFlow()
				outcome(p, c.subject+"-syn", f.Orig(SYN, cookie, wire.Payload("data")))
				outcomeBack(p, c.subject+"-synack", f.Reply(SYN|ACK, wire.AckBy(c.acked)))
				outcomeBack(p, c.subject+"-reply-data", f.Reply(PSH|ACK, wire.AckBy(c.acked), wire.Payload("early")))
				outcome(p, c.subject+"-ack", f.Orig(ACK, wire.SeqBy(c.acked)))
			}
			moved(p)
		}),
	syn("passengers", "Do options that the tracker does not know change anything: MPTCP, MD5, AO, an experiment?",
		"tcp_options in nf_conntrack_proto_tcp.c; RFC 8684, 2385, 5925, 4727", func(p *probe.P) {
			for _, c := range []struct {
				subject string
				opt     wire.Option
			}{
				{"mptcp", wire.TCPOption(30, make([]byte, 10)...)},
				{"md5", wire.TCPOption(19, make([]byte, 16)...)},
				{"ao", wire.TCPOption(29, make([]byte, 14)...)},
				{"experiment", wire.TCPOption(253, 0, 0)},
			} {
				p.Flush()
				f := tcpFlow()
				p.Forth(f.Orig(SYN, c.opt, wire.WindowScale(5)))
				p.Back(f.Reply(SYN|ACK, c.opt, wire.WindowScale(6)))
				outcome(p, c.subject, f.Orig(ACK, c.opt))
				p.Text(c.subject, "scales", scales(p))
			}
			moved(p)
		}),
	syn("scales", "Which scales of windows are believed: the greatest there is, one beyond, and one of which the other side knows nothing?",
		"tcp_options in nf_conntrack_proto_tcp.c: TCP_MAX_WSCALE; RFC 7323, section 2.3", func(p *probe.P) {
			for _, c := range []struct {
				subject     string
				orig, reply int
			}{{"zero", 0, 0}, {"most", 14, 14}, {"beyond", 15, 14}, {"far-beyond", 255, 255}, {"orig-only", 7, -1}, {"reply-only", -1, 7}} {
				p.Flush()
				scaled(p, c.orig, c.reply)
				p.Text(c.subject, "scales", scales(p))
			}
		}),
	syn("ecn", "Do the flags of ECN on a SYN and its answer change anything?", "tcp_valid_flags in nf_conntrack_proto_tcp.c; RFC 3168",
		func(p *probe.P) {
			f := tcpFlow()
			outcome(p, "syn", f.Orig(SYN, wire.ECN()))
			outcomeBack(p, "synack", f.Reply(SYN|ACK, wire.ECN()))
			outcome(p, "ack", f.Orig(ACK, wire.ECN()))
			moved(p)
		}),
	syn("half-seen", "What is made of a handshake whose SYN was not seen?", synSource, func(p *probe.P) {
		f := tcpFlow()
		f.Orig(SYN)
		outcomeBack(p, "synack", f.Reply(SYN|ACK))
		outcome(p, "ack", f.Orig(ACK))
		outcomeBack(p, "reply-data", f.Reply(PSH|ACK, wire.Payload("data")))
		outcome(p, "reply-data-ack", f.Orig(ACK))
		moved(p)
	}),
}

// scales are the window scales of the entries, "7/7" for both directions.
func scales(p *probe.P) string {
	var all []string
	for _, e := range p.Entries() {
		all = append(all, fmt.Sprintf("%d/%d", e.Scales[0], e.Scales[1]))
	}
	return listOr("none", all)
}
