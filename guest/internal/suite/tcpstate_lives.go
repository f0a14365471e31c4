package suite

import (
	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/internal/probe"
	"github.com/ctmatrix/ctmatrix/guest/internal/wire"
)

// lives are whole connections, of which every packet is looked at.
var lives = []probe.Probe{
	{
		Name:     "tcp-state/life",
		Question: "What is made of each packet of a connection that is opened, used and closed, over both versions of IP?",
		Source:   stateSource + "; RFC 9293, section 3.3.2",
		Path:     lab.Forward6,
		Only:     probe.Initial,
		Run: func(p *probe.P) {
			for _, v := range versions {
				p.Flush()
				f := v.tcp()
				outcome(p, v.name+"-syn", f.Orig(SYN))
				outcomeBack(p, v.name+"-synack", f.Reply(SYN|ACK))
				outcome(p, v.name+"-ack", f.Orig(ACK))
				outcome(p, v.name+"-data", f.Orig(PSH|ACK, wire.Payload("data")))
				outcomeBack(p, v.name+"-data-ack", f.Reply(ACK))
				outcome(p, v.name+"-fin", f.Orig(FIN|ACK))
				outcomeBack(p, v.name+"-fin-ack", f.Reply(ACK))
				outcomeBack(p, v.name+"-reply-fin", f.Reply(FIN|ACK))
				outcome(p, v.name+"-reply-fin-ack", f.Orig(ACK))
			}
			moved(p)
		},
	},
	state("server-closes", "Is the connection closed the same way where the other side says its FIN first?", stateSource,
		func(p *probe.P) {
			f := established(p)
			outcomeBack(p, "reply-fin", f.Reply(FIN|ACK))
			outcome(p, "reply-fin-ack", f.Orig(ACK))
			outcome(p, "data", f.Orig(PSH|ACK, wire.Payload("still to say")))
			outcomeBack(p, "data-ack", f.Reply(ACK))
			outcome(p, "fin", f.Orig(FIN|ACK))
			outcomeBack(p, "fin-ack", f.Reply(ACK))
			moved(p)
		}),
	state("half-close", "May the other side go on sending after the first FIN, and for how long?", stateSource,
		func(p *probe.P) {
			f := closing(p)
			outcomeBack(p, "fin-ack", f.Reply(ACK))
			outcomeBack(p, "reply-data", f.Reply(PSH|ACK, wire.Payload("still to say")))
			outcome(p, "reply-data-ack", f.Orig(ACK))
			outcome(p, "data-after-fin", f.Orig(PSH|ACK, wire.Payload("more")))
			moved(p)
		}),
	state("both-close", "What becomes of the entry where both sides say FIN before either heard the other's?", stateSource,
		func(p *probe.P) {
			f := established(p)
			fin := f.Orig(FIN | ACK)
			other := f.Reply(FIN|ACK, wire.Ack(wire.OrigISN+1))
			outcome(p, "fin", fin)
			outcomeBack(p, "reply-fin", other)
			outcome(p, "reply-fin-ack", f.Orig(ACK))
			outcomeBack(p, "fin-ack", f.Reply(ACK))
			moved(p)
		}),
	state("both-open", "Do two SYNs that cross become one established connection?",
		stateSource+"; RFC 9293, section 3.5: simultaneous open", func(p *probe.P) {
			f := tcpFlow()
			outcome(p, "syn", f.Orig(SYN))
			outcomeBack(p, "reply-syn", f.Reply(SYN))
			outcome(p, "synack", f.Orig(SYN|ACK, wire.Seq(wire.OrigISN)))
			outcomeBack(p, "reply-synack", f.Reply(SYN|ACK, wire.Seq(wire.ReplyISN), wire.Ack(wire.OrigISN+1)))
			outcome(p, "data", f.Orig(PSH|ACK, wire.Payload("data"), wire.Seq(wire.OrigISN+1), wire.Ack(wire.ReplyISN+1)))
			outcomeBack(p, "data-ack", f.Reply(ACK, wire.Seq(wire.ReplyISN+1), wire.Ack(wire.OrigISN+5)))
			moved(p)
		}),
	reopens("reopen-higher", "After TIME_WAIT, is a SYN with a higher number a new connection, and does its handshake work?", timeWait, 500_000),
	reopens("reopen-lower", "After TIME_WAIT, is a SYN with a lower number a new connection, too?", timeWait, -500_000),
	reopens("reopen-closed", "After a RST, is a SYN with a lower number a new connection?", func(p *probe.P) *wire.Flow {
		f := established(p)
		p.Through(f.Orig(RST))
		return f
	}, -500_000),
	reopens("reopen-unfinished", "Is a SYN with a higher number a new connection while the last one's close is not acknowledged?", lastACK, 500_000),
	state("reopen-reply", "May the other side open a new connection from the ports of one in TIME_WAIT, and whose entry is it?", stateSource,
		func(p *probe.P) {
			timeWait(p)
			f := wire.TCP(tcpServer, tcpClient)
			f.Skip(wire.ReplyISN - wire.OrigISN + 500_000)
			outcomeBack(p, "syn", f.Orig(SYN))
			outcome(p, "synack", f.Reply(SYN|ACK))
			outcomeBack(p, "ack", f.Orig(ACK))
			moved(p)
			p.Text("entry", "orig", originalOf(p))
		}),
	state("reopen-reset", "Who may open a new connection from the ports of one that was reset: who sent the RST, or who got it?",
		stateSource+": an aborted connection is reopened by the side that aborted it", func(p *probe.P) {
			for _, c := range []struct {
				subject string
				orig    bool // the client sends the RST
			}{{"by-orig", true}, {"by-reply", false}} {
				reset := func() {
					p.Flush()
					if f := acknowledged(p); c.orig {
						p.Forth(f.Orig(RST))
					} else {
						p.Back(f.Reply(RST))
					}
				}
				reset()
				outcome(p, c.subject+"-syn", tcpFlow().Orig(SYN, wire.SeqBy(500_000)))
				reset()
				outcomeBack(p, c.subject+"-reply-syn", wire.TCP(tcpServer, tcpClient).Orig(SYN, wire.Seq(wire.ReplyISN+500_000)))
			}
			moved(p)
		}),
	state("reopen-event", "Is the old entry destroyed and a new one made when a connection is reopened after TIME_WAIT?",
		stateSource+", nf_ct_kill before NF_REPEAT", func(p *probe.P) {
			take := p.Listen()
			f := timeWait(p)
			take()
			f.Skip(500_000)
			p.Through(f.Orig(SYN))
			p.Events("syn", take())
		}),
}

// reopens is a probe of a handshake that begins where another connection of the
// same ports has ended, by numbers above or below its.
func reopens(name, question string, reach func(*probe.P) *wire.Flow, by int) probe.Probe {
	return state(name, question, stateSource+"; RFC 9293, section 3.6.1", func(p *probe.P) {
		reach(p)
		f := tcpFlow()
		f.Skip(uint32(by))
		outcome(p, "syn", f.Orig(SYN))
		outcomeBack(p, "synack", f.Reply(SYN|ACK, wire.SeqBy(by)))
		outcome(p, "ack", f.Orig(ACK, wire.AckBy(by)))
		moved(p)
	})
}

// originalOf is who spoke first, by each entry.
func originalOf(p *probe.P) string {
	var tuples []string
	for _, e := range p.Entries() {
		tuples = append(tuples, e.Orig.String())
	}
	return listOr("none", tuples)
}

// pickups are connections that are seen from their middle on.
var pickups = []probe.Probe{
	picksUp("1"), picksUp("0"),
	state("pickup-assured", "After how many packets of both sides is a connection picked up in its middle assured, and how long does it live?",
		"tcp_new and nf_conntrack_tcp_packet in nf_conntrack_proto_tcp.c", func(p *probe.P) {
			f := midway()
			outcome(p, "ack", f.Orig(ACK))
			outcomeBack(p, "reply-ack", f.Reply(ACK))
			outcome(p, "data", f.Orig(PSH|ACK, wire.Payload("data")))
			outcomeBack(p, "data-ack", f.Reply(ACK))
			moved(p)
		}),
	state("pickup-reversed", "Which side is the original one where the server's packet is seen first, and does the connection work?", stateSource,
		func(p *probe.P) {
			f := midway()
			outcomeBack(p, "reply-data", f.Reply(PSH|ACK, wire.Payload("data")))
			outcome(p, "ack", f.Orig(ACK))
			outcomeBack(p, "reply-data-again", f.Reply(PSH|ACK, wire.Payload("data")))
			p.Text("entry", "orig", originalOf(p))
			moved(p)
		}),
	state("pickup-fin", "How long does an entry live whose first packet seen is a FIN, and does the rest of the close go through?", stateSource,
		func(p *probe.P) {
			f := midway()
			outcome(p, "fin", f.Orig(FIN|ACK))
			outcomeBack(p, "reply-fin", f.Reply(FIN|ACK))
			outcome(p, "ack", f.Orig(ACK))
			moved(p)
		}),
}

// midway is a connection of which nothing was seen.
func midway() *wire.Flow {
	f := tcpFlow()
	f.Skip(1000)
	return f
}

// picksUp asks which packets begin an entry in the middle of a connection.
func picksUp(value string) probe.Probe {
	return state("pickup-loose-"+value, "With tcp_loose at "+value+", which first packets make an entry, and in which state?",
		"tcp_new in nf_conntrack_proto_tcp.c; nf_conntrack_tcp_loose in nf_conntrack-sysctl.rst", func(p *probe.P) {
			outcome(p, "syn", midway().Orig(SYN)) // the control
			for _, a := range asks[2:] {
				p.Flush()
				outcome(p, a.name, midway().Orig(a.flags, a.opts...))
			}
			p.Flush()
			outcome(p, "rst", midway().Orig(RST))
			moved(p)
		}, probe.Sysctl{Name: looseSysctl, Value: value})
}
