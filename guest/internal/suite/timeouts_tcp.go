package suite

import (
	"github.com/ctmatrix/ctmatrix/guest/internal/probe"
	"github.com/ctmatrix/ctmatrix/guest/internal/wire"
)

const tcpSource = "tcp_timeouts and nf_conntrack_tcp_packet in nf_conntrack_proto_tcp.c; RFC 9293, section 3.3.2"

// tcpLives are the states of a connection, each reached by the packets of both
// sides.
var tcpLives = []probe.Probe{
	life("tcp-syn-sent", "How long does the entry of an unanswered SYN live?", tcpSource,
		func(p *probe.P) { p.Through(tcpFlow().Orig(SYN)) }),
	life("tcp-syn-sent2", "How long does the entry of two SYNs that cross live?", tcpSource,
		func(p *probe.P) {
			f := tcpFlow()
			p.Through(f.Orig(SYN))
			p.Back(f.Reply(SYN))
		}),
	life("tcp-syn-recv", "How long does the entry of an unfinished handshake live?", tcpSource,
		func(p *probe.P) {
			f := tcpFlow()
			p.Through(f.Orig(SYN))
			p.Back(f.Reply(SYN | ACK))
		}),
	life("tcp-established", "Does the entry of an idle connection live for five days, and no longer?", tcpSource,
		func(p *probe.P) { established(p) }),
	life("tcp-unacknowledged", "How long does an entry live whose data nobody acknowledges?", tcpSource,
		func(p *probe.P) { p.Through(established(p).Orig(PSH|ACK, wire.Payload("data"))) }),
	life("tcp-retrans", "How long does an entry live whose data was sent three times over?", tcpSource,
		func(p *probe.P) {
			data := established(p).Orig(PSH|ACK, wire.Payload("data"))
			p.Through(data, data, data, data)
		}, probe.Sysctl{Name: "net.netfilter.nf_conntrack_tcp_timeout_max_retrans", Value: "200"}),
	life("tcp-fin-wait", "How long does an entry live after the first FIN?", tcpSource,
		func(p *probe.P) { closing(p) }),
	life("tcp-close-wait", "How long does an entry live whose first FIN was acknowledged?", tcpSource,
		func(p *probe.P) { p.Back(closing(p).Reply(ACK)) }),
	life("tcp-last-ack", "How long does an entry live after the second FIN?", tcpSource,
		func(p *probe.P) { lastACK(p) }),
	life("tcp-time-wait", "How long does the entry of a closed connection live?", tcpSource,
		func(p *probe.P) { p.Through(lastACK(p).Orig(ACK)) }),
	life("tcp-close", "How long does the entry of a connection live that was reset?", tcpSource,
		func(p *probe.P) { p.Through(established(p).Orig(RST)) }),
}

// closing is a connection of which the side that opened it has said its FIN.
func closing(p *probe.P) *wire.Flow {
	f := established(p)
	p.Through(f.Orig(FIN | ACK))
	return f
}

// lastACK is one of which both sides have, and the first was acknowledged.
func lastACK(p *probe.P) *wire.Flow {
	f := closing(p)
	p.Back(f.Reply(ACK))
	p.Back(f.Reply(FIN | ACK))
	return f
}
