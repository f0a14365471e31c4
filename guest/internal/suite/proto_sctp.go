package suite

import (
	"fmt"
	"strings"
	"time"

	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/internal/probe"
	"github.com/ctmatrix/ctmatrix/guest/internal/wire"
)

const sctpTags = "nf_conntrack_sctp_packet in nf_conntrack_proto_sctp.c; RFC 9260, section 8.5"

// chunks are the chunks that a tracker tells apart, in the order of its tables.
var chunks = []struct {
	name string
	typ  wire.Chunk
}{
	{"init", wire.Init}, {"init-ack", wire.InitAck}, {"abort", wire.Abort}, {"shutdown", wire.Shutdown},
	{"shutdown-ack", wire.ShutdownAck}, {"error", wire.SCTPErr}, {"cookie-echo", wire.CookieEcho},
	{"cookie-ack", wire.CookieAck}, {"shutdown-complete", wire.ShutdownComplete},
	{"heartbeat", wire.Heartbeat}, {"heartbeat-ack", wire.HeartbeatAck}, {"data", wire.SCTPData},
}

// sctpShutdown is an association from its beginning to its end.
var (
	sctpHandshake = sctp{
		{false, 0, wire.Init}, {true, toTag, wire.InitAck}, {false, toTag, wire.CookieEcho}, {true, toTag, wire.CookieAck},
	}
	sctpShutdown = append(sctpHandshake[:4:4], sctp{
		{false, toTag, wire.Shutdown}, {true, toTag, wire.ShutdownAck}, {false, toTag, wire.ShutdownComplete},
	}...)
)

// sctpStates are the states of the tracker with what leads there.
var sctpStates = []struct {
	name string
	talk sctp
}{
	{"nothing", nil},
	{"closed", sctpHandshake[:1]},
	{"cookie-wait", sctpHandshake[:2]},
	{"cookie-echoed", sctpHandshake[:3]},
	{"established", sctpHandshake},
	{"shutdown-sent", sctpShutdown[:5]},
	{"shutdown-recd", append(sctpHandshake[:4:4], sctp{{true, toTag, wire.Shutdown}}...)},
	{"shutdown-ack-sent", sctpShutdown[:6]},
	{"shut-down", sctpShutdown},
	{"heartbeat-sent", sctp{{false, toTag, wire.Heartbeat}}},
}

// sctpPacket makes a packet of one side with the tag that the other asked for, or
// none if the chunk is an INIT.
func sctpPacket(back bool, chunk wire.SCTPChunk) wire.Packet {
	tag := uint32(toTag)
	if chunk.Type == wire.Init {
		tag = 0
	}
	return sctpTagged(back, tag, chunk)
}

func sctpTagged(back bool, tag uint32, chunks ...wire.SCTPChunk) wire.Packet {
	from, to := tcpClient, tcpServer
	if back {
		from, to = to, from
	}
	return wire.SCTPBundle(from, to, tag, chunks...)
}

// sent sends a packet of one side and is what became of it: "established: sctp
// ESTABLISHED assured 210 s".
func sent(p *probe.P, subject string, back bool, pkt wire.Packet) {
	p.Mark()
	if back {
		p.Outcome(subject, p.Back(pkt))
	} else {
		p.Outcome(subject, p.Forth(pkt))
	}
}

// protoSCTP ask the tracker of SCTP.
var protoSCTP = append(sctpTransitions(), []probe.Probe{
	protocol("sctp-tags", "Which chunks does the tracker take with a wrong verification tag, or with the other side's and the T bit?", sctpTags, sctpWrongTags),
	protocol("sctp-bundles", "What becomes of packets with chunks that may not stand together, that claim a wrong length, or that are cut?", "do_basic_checks and sctp_new in nf_conntrack_proto_sctp.c", sctpBundles),
	protocol("sctp-collision", "Both sides begin at once and an INIT ACK comes late: does the association go on?", "selftest conntrack_sctp_collision.sh, first case; nf_conntrack_sctp_packet", func(p *probe.P) {
		sctpCollides(p, false)
	}),
	protocol("sctp-stale-init", "Both sides begin at once and an INIT comes late, and then an INIT ACK: does the association go on?", "selftest conntrack_sctp_collision.sh, second case; nf_conntrack_sctp_packet", func(p *probe.P) {
		sctpCollides(p, true)
	}),
	protocol("sctp-restart", "A side that lost its state begins anew: does the tracker take its new tag?", sctpTags, func(p *probe.P) {
		sctpHandshake.talk(p)
		sent(p, "init", false, sctpPacket(false, wire.InitOf(wire.Init, 0x9999)))
		sent(p, "init-ack", true, sctpTagged(true, 0x9999, wire.InitOf(wire.InitAck, 0x8888)))
		sent(p, "cookie-echo", false, sctpTagged(false, 0x8888, wire.SCTPChunk{Type: wire.CookieEcho}))
		sent(p, "cookie-ack", true, sctpTagged(true, 0x9999, wire.SCTPChunk{Type: wire.CookieAck}))
		sent(p, "data-old-tag", false, sctpTagged(false, toTag, wire.SCTPChunk{Type: wire.SCTPData}))
		sent(p, "data-new-tag", false, sctpTagged(false, 0x8888, wire.SCTPChunk{Type: wire.SCTPData}))
	}),
	protocol("sctp-heartbeat", "A HEARTBEAT with another tag on a known path, and its answer: whose tag is taken, and what of an answer that nobody asked for?", `nf_conntrack_sctp_packet; "netfilter: conntrack: sctp: use distinct states for new SCTP connections" and "netfilter: conntrack: allow sctp hearbeat after connection re-use"`, func(p *probe.P) {
		sctpHandshake.talk(p)
		sent(p, "ack-unasked", true, sctpTagged(true, 0x7777, wire.SCTPChunk{Type: wire.HeartbeatAck}))
		sent(p, "other-tag", false, sctpTagged(false, 0x7777, wire.SCTPChunk{Type: wire.Heartbeat}))
		sent(p, "ack-own-side", false, sctpTagged(false, 0x6666, wire.SCTPChunk{Type: wire.HeartbeatAck}))
		sent(p, "ack", true, sctpTagged(true, 0x6666, wire.SCTPChunk{Type: wire.HeartbeatAck}))
		sent(p, "data-old-tag", true, sctpTagged(true, toTag, wire.SCTPChunk{Type: wire.SCTPData}))
		sent(p, "data-new-tag", true, sctpTagged(true, 0x6666, wire.SCTPChunk{Type: wire.SCTPData}))
	}),
	protocol("sctp-init-again", "Does an INIT that is sent again give the entry more time?", `nf_conntrack_sctp_packet; "netfilter: conntrack: don't refresh sctp entries in closed state"`, func(p *probe.P) {
		sent(p, "first", false, sctpPacket(false, wire.InitOf(wire.Init, toTag)))
		p.Wait(4 * time.Second)
		p.Mark()
		out := p.Forth(sctpPacket(false, wire.InitOf(wire.Init, toTag)))
		p.Fate("again", out)
		p.Timeout("again")
	}),
}...)

// sctpTransitions ask what each chunk does in each state, from either side.
func sctpTransitions() []probe.Probe {
	var probes []probe.Probe
	for _, s := range sctpStates {
		ask := protocol("sctp-in-"+s.name, "What does each chunk do in the state "+strings.ToUpper(strings.ReplaceAll(s.name, "-", "_"))+" of an SCTP association, from either side?",
			"sctp_conntracks in nf_conntrack_proto_sctp.c", func(p *probe.P) {
				for _, back := range []bool{false, true} {
					side := map[bool]string{false: "orig-", true: "reply-"}[back]
					for _, c := range chunks {
						p.Flush()
						s.talk.talk(p)
						sent(p, side+c.name, back, sctpPacket(back, wire.SCTPChunk{Type: c.typ}))
					}
				}
			})
		probes = append(probes, ask)
	}
	return probes
}

// protocol is a probe of the family that forwards.
func protocol(name, question, source string, run func(*probe.P)) probe.Probe {
	return probe.Probe{
		Name: "proto/" + name, Question: question, Source: source,
		Path: lab.Forward6, Only: probe.Initial, Timed: name == "sctp-init-again", Run: run,
	}
}

func sctpWrongTags(p *probe.P) {
	for _, c := range chunks[1:] { // an INIT has none
		for _, t := range []struct {
			name  string
			tag   uint32
			flags byte
		}{{"wrong", 0x5555, 0}, {"wrong-t", 0x5555, wire.TBit}, {"zero", 0, 0}} {
			p.Flush()
			sctpHandshake.talk(p)
			sent(p, fmt.Sprintf("%s-%s", c.name, t.name), false, sctpTagged(false, t.tag, wire.SCTPChunk{Type: c.typ, Flags: t.flags}))
		}
	}
	p.Flush()
	sctpHandshake.talk(p)
	sent(p, "init-tagged", false, sctpTagged(false, toTag, wire.SCTPChunk{Type: wire.Init}))
	for _, c := range []wire.Chunk{wire.Abort, wire.ShutdownComplete} {
		name := map[wire.Chunk]string{wire.Abort: "abort", wire.ShutdownComplete: "shutdown-complete"}[c]
		// The two tags differ, so that it shows whose is meant.
		tags := func() {
			p.Flush()
			p.Forth(sctpPacket(false, wire.InitOf(wire.Init, 0x1111)))
			p.Back(sctpTagged(true, 0x1111, wire.InitOf(wire.InitAck, 0x2222)))
			p.Forth(sctpTagged(false, 0x2222, wire.SCTPChunk{Type: wire.CookieEcho}))
			p.Back(sctpTagged(true, 0x1111, wire.SCTPChunk{Type: wire.CookieAck}))
		}
		for _, t := range []struct {
			name  string
			tag   uint32
			flags byte
		}{{"own", 0x2222, 0}, {"own-t", 0x2222, wire.TBit}, {"peer", 0x1111, 0}, {"peer-t", 0x1111, wire.TBit}} {
			tags()
			sent(p, name+"-"+t.name, false, sctpTagged(false, t.tag, wire.SCTPChunk{Type: c, Flags: t.flags}))
		}
	}
}

func sctpBundles(p *probe.P) {
	begin := wire.InitOf(wire.Init, toTag)
	data := wire.SCTPChunk{Type: wire.SCTPData}
	for _, b := range []struct {
		name   string
		begun  bool
		tag    uint32
		chunks []wire.SCTPChunk
	}{
		{"init-and-data", false, 0, []wire.SCTPChunk{begin, data}},
		{"data-and-init", false, 0, []wire.SCTPChunk{data, begin}},
		{"two-inits", false, 0, []wire.SCTPChunk{begin, begin}},
		{"echo-and-data", true, toTag, []wire.SCTPChunk{{Type: wire.CookieEcho}, data}},
		{"data-and-echo", true, toTag, []wire.SCTPChunk{data, {Type: wire.CookieEcho}}},
		{"sack-and-data", true, toTag, []wire.SCTPChunk{{Type: wire.SCTPSack}, data}},
		{"data-and-abort", true, toTag, []wire.SCTPChunk{data, {Type: wire.Abort}}},
		{"shutdown-complete-and-data", true, toTag, []wire.SCTPChunk{{Type: wire.ShutdownComplete}, data}},
		{"unknown-chunk", true, toTag, []wire.SCTPChunk{{Type: 0x3f}}},
		{"unknown-first", false, toTag, []wire.SCTPChunk{{Type: 0x3f}}},
		{"short-init", false, 0, []wire.SCTPChunk{{Type: wire.Init, Value: []byte{0, 0}}}},
		{"no-chunk", true, toTag, nil},
	} {
		p.Flush()
		if b.begun {
			sctpHandshake.talk(p)
		}
		sent(p, b.name, false, sctpTagged(false, b.tag, b.chunks...))
	}
	p.Flush()
	sctpHandshake.talk(p)
	const lengthAt = 20 + 12 + 3 // the lower byte of the first chunk's length
	sent(p, "length-0", false, sctpTagged(false, toTag, data).Set(lengthAt, 0).Mended())
	sent(p, "length-3", false, sctpTagged(false, toTag, data).Set(lengthAt, 3).Mended())
	sent(p, "length-beyond", false, sctpTagged(false, toTag, data).Set(lengthAt, 200).Mended())
}

// sctpCollides plays the captures of the selftest: the client is its SERVER,
// whose INIT is answered before its own INIT ACK to the other's INIT arrives.
func sctpCollides(p *probe.P, staleInit bool) {
	const mine, theirs, late = 0x1111, 0x2222, 0x3333
	sent(p, "init", false, sctpPacket(false, wire.InitOf(wire.Init, mine)))
	sent(p, "init-ack", true, sctpTagged(true, mine, wire.InitOf(wire.InitAck, theirs)))
	sent(p, "cookie-echo", false, sctpTagged(false, theirs, wire.SCTPChunk{Type: wire.CookieEcho}))
	sent(p, "cookie-ack", true, sctpTagged(true, mine, wire.SCTPChunk{Type: wire.CookieAck}))
	if staleInit {
		sent(p, "late-init", true, sctpPacket(true, wire.InitOf(wire.Init, theirs)))
	}
	sent(p, "late-init-ack", false, sctpTagged(false, theirs, wire.InitOf(wire.InitAck, late)))
	sent(p, "data", false, sctpTagged(false, theirs, wire.SCTPChunk{Type: wire.SCTPData}))
	sent(p, "data-back", true, sctpTagged(true, mine, wire.SCTPChunk{Type: wire.SCTPData}))
}
