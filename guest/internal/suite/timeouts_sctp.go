package suite

import (
	"github.com/ctmatrix/ctmatrix/guest/internal/probe"
	"github.com/ctmatrix/ctmatrix/guest/internal/wire"
)

const (
	sctpSource = "sctp_timeouts and sctp_conntracks in nf_conntrack_proto_sctp.c; RFC 9260, section 4"
	dccpSource = "dccp_state_table and dccp_init_net in nf_conntrack_proto_dccp.c, which newer kernels no longer have; RFC 4340, section 8"
)

// toTag is the verification tag that the client's packets carry, and the server's
// to it: both have asked for it.
const toTag = wire.InitTag

// sctp are the chunks of an association up to a state, those that come back
// marked.
type sctp []struct {
	back  bool
	tag   uint32
	chunk wire.Chunk
}

func (s sctp) talk(p *probe.P) {
	for _, c := range s {
		if c.back {
			p.Back(wire.SCTP(tcpServer, tcpClient, c.tag, c.chunk))
		} else {
			p.Through(wire.SCTP(tcpClient, tcpServer, c.tag, c.chunk))
		}
	}
}

// sctpLives are the states of an association.
func sctpLives() []probe.Probe {
	var probes []probe.Probe
	for _, l := range []struct {
		name, question string
		talk           sctp
	}{
		{"init", "How long does the entry of an unanswered INIT live?", sctpHandshake[:1]},
		{"init-ack", "How long does an entry live behind the INIT ACK?", sctpHandshake[:2]},
		{"cookie-echo", "How long does an entry live behind the COOKIE ECHO?", sctpHandshake[:3]},
		{"established", "How long does the entry of an idle association live?", sctpHandshake},
		{"shutdown-sent", "How long does an entry live whose first side shuts down?", sctpShutdown[:5]},
		{"shutdown-recd", "How long does an entry live whose second side shuts down?", append(sctpHandshake[:4:4], sctp{{true, toTag, wire.Shutdown}}...)},
		{"shutdown-ack-sent", "How long does an entry live behind the SHUTDOWN ACK?", sctpShutdown[:6]},
		{"shutdown-complete", "How long does the entry of a closed association live?", sctpShutdown},
		{"abort", "How long does the entry of an aborted association live?", append(sctpHandshake[:4:4], sctp{{true, toTag, wire.Abort}}...)},
		{"heartbeat", "How long does an entry live that begins with a HEARTBEAT?", sctp{{false, toTag, wire.Heartbeat}}},
		{"heartbeat-replied", "How long does such an entry live when the HEARTBEAT was answered?", sctp{{false, toTag, wire.Heartbeat}, {true, toTag, wire.HeartbeatAck}}},
	} {
		probes = append(probes, life("sctp-"+l.name, l.question, sctpSource, l.talk.talk))
	}
	return probes
}

// dccp are the packets of a connection up to a state.
type dccp []struct {
	back     bool
	typ      wire.DCCPType
	seq, ack uint64
}

func (d dccp) talk(p *probe.P) {
	for _, c := range d {
		if c.back {
			p.Back(wire.DCCP(tcpServer, tcpClient, c.typ, c.seq, c.ack))
		} else {
			p.Through(wire.DCCP(tcpClient, tcpServer, c.typ, c.seq, c.ack))
		}
	}
}

// dccpLives are the states of a connection. A kernel that does not know the
// protocol gives all of them the generic time, and no state.
func dccpLives() []probe.Probe {
	whole := dccp{
		{false, wire.DCCPRequest, 1000, 0}, {true, wire.DCCPResponse, 2000, 1000}, {false, wire.DCCPAck, 1001, 2000},
		{true, wire.DCCPAck, 2001, 1001}, {true, wire.DCCPCloseReq, 2002, 1001}, {false, wire.DCCPClose, 1002, 2002},
		{true, wire.DCCPReset, 2003, 1002},
	}
	var probes []probe.Probe
	for i, l := range []struct{ name, question string }{
		{"request", "How long does the entry of an unanswered DCCP request live?"},
		{"respond", "How long does an entry live behind the response?"},
		{"partopen", "How long does an entry live behind the first acknowledgement?"},
		{"open", "How long does the entry of an idle DCCP connection live?"},
		{"closereq", "How long does an entry live whose server asks to close?"},
		{"closing", "How long does an entry live whose client closes?"},
		{"timewait", "How long does the entry of a closed DCCP connection live?"},
	} {
		probes = append(probes, life("dccp-"+l.name, l.question, dccpSource, whole[:i+1].talk))
	}
	return probes
}
