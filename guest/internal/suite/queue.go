package suite

import (
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/internal/probe"
	"github.com/ctmatrix/ctmatrix/guest/internal/wire"
)

const (
	queueSource   = "nfqnl_enqueue_packet and nfqnl_recv_verdict in nfnetlink_queue.c"
	queueNumber   = 7
	queueNeeds    = "nft_queue"
	queueListener = "nfnetlink_queue"
)

// queued are packets that wait in a queue behind tracking, before they confirm
// their connections.
var queueing = lab.On(lab.FilterForward, lab.ToQueue(queueNumber, false))

// waiting is a listener to the queue.
type waiting struct {
	p *probe.P
	q *lab.Queue
}

func listenQueue(p *probe.P, length uint32, flags lab.QueueFlags) waiting {
	q, err := lab.OpenQueue(queueNumber, length, flags)
	p.Must(err)
	p.Cleanup(q.Close)
	return waiting{p, q}
}

// hold sends a packet of the client's side and returns it as it waits.
func (w waiting) hold(pkt wire.Packet) lab.Held {
	w.p.Forth(pkt)
	return w.one()
}

func (w waiting) holdBack(pkt wire.Packet) lab.Held {
	w.p.Back(pkt)
	return w.one()
}

func (w waiting) one() lab.Held {
	held, err := w.q.Take()
	w.p.Must(err)
	if len(held) != 1 {
		w.p.Broken("%d packets wait, want one", len(held))
	}
	return held[0]
}

// accept lets a packet go and returns what came out at the server's side.
func (w waiting) accept(h lab.Held, opts ...lab.VerdictOption) []wire.Seen {
	w.p.Must(w.q.Verdict(h.ID, lab.VerdictAccept, opts...))
	return w.p.Forth()
}

// queue asks what a packet, and its connection, that waited in a queue are then.
var queue = append([]probe.Probe{
	inQueue("attributes", "What does the kernel tell of a packet that waits in a queue, and what of its connection?", queueSource+" (nfqnl_build_packet_message)", func(p *probe.P) {
		p.Add(queueing)
		w := listenQueue(p, 10, lab.QueueConntrack)
		f := tcpFlow()
		tell := func(subject string, h lab.Held) {
			p.Text(subject, "class", h.CTInfo)
			p.Text(subject, "attributes", strings.Join(h.Attrs, ", "))
		}
		first := w.hold(f.Orig(SYN))
		tell("syn", first)
		w.accept(first)
		answer := w.holdBack(f.Reply(SYN | ACK))
		tell("synack", answer)
		p.Must(w.q.Verdict(answer.ID, lab.VerdictAccept))
		tell("stray-rst", w.hold(talkers(versions[0], 2)[1].Orig(RST)))
		p.Add(lab.On(lab.RawPrerouting, lab.Notrack))
		tell("untracked", w.hold(f.Orig(ACK)))
	}),
	inQueue("verdicts", "What becomes of a packet by each verdict, and which verdicts does the kernel refuse?", queueSource, func(p *probe.P) {
		p.Add(queueing)
		w := listenQueue(p, 10, 0)
		for _, v := range []struct {
			name    string
			verdict lab.Verdict
		}{
			{"drop", lab.VerdictDrop}, {"accept", lab.VerdictAccept}, {"stolen", lab.VerdictStolen},
			{"queue-elsewhere", lab.VerdictQueue | 9<<16}, {"queue-elsewhere-bypass", lab.VerdictQueue | 9<<16 | 0x8000},
			{"repeat", lab.VerdictRepeat}, {"stop", lab.VerdictStop}, {"unknown", 6}, {"huge", 0xff},
		} {
			p.Flush()
			h := w.hold(tcpFlow().Orig(SYN))
			p.Errno(v.name, w.q.Verdict(h.ID, v.verdict))
			p.Fate(v.name, p.Forth())
			p.Entry(v.name, p.Entries())
			again, err := w.q.Take()
			p.Must(err)
			p.Count(v.name, "waiting", len(again))
			p.Must(w.drop(h, again))
		}
		p.Errno("no-such-packet", w.q.Verdict(12345, lab.VerdictAccept))
	}),
	inQueue("batch", "Which packets does a verdict for many let go?", queueSource+" (nfqnl_recv_verdict_batch)", func(p *probe.P) {
		p.Add(queueing)
		w := listenQueue(p, 10, 0)
		var ids []uint32
		for _, f := range talkers(versions[0], 4) {
			ids = append(ids, w.hold(f.Orig(SYN)).ID)
		}
		p.Errno("second", w.q.VerdictUpTo(ids[1], lab.VerdictAccept))
		p.Fate("second", p.Forth())
		p.Errno("second-again", w.q.VerdictUpTo(ids[1], lab.VerdictAccept))
		p.Errno("fourth", w.q.VerdictUpTo(ids[3], lab.VerdictDrop))
		p.Fate("fourth", p.Forth())
		p.Count("table", "entries", p.Held())
	}),
	inQueue("nobody", "What becomes of packets for a queue that nobody listens to, or whose listener went, with a bypass and without?", "nf_queue and nft_queue_eval; NF_VERDICT_FLAG_QUEUE_BYPASS", func(p *probe.P) {
		outcome(p, "control", tcpFlow().Orig(SYN))
		p.Flush()
		p.Add(queueing)
		outcome(p, "nobody", tcpFlow().Orig(SYN))
		reload(p, append(lab.Classing(""), lab.On(lab.FilterForward, lab.ToQueue(queueNumber, true)))...)
		outcome(p, "bypass", tcpFlow().Orig(SYN))
		p.Flush()
		q, err := lab.OpenQueue(queueNumber, 10, 0)
		p.Must(err)
		outcome(p, "waits", tcpFlow().Orig(SYN))
		p.Must(q.Close())
		p.Fate("listener-goes", p.Forth())
		p.Entry("listener-goes", p.Entries())
	}),
	inQueue("full", "What becomes of a packet that a full queue has no room for, and with fail-open?", queueSource+" (NFQA_CFG_F_FAIL_OPEN)", func(p *probe.P) {
		p.Add(queueing)
		fs := talkers(versions[0], 4)
		q, err := lab.OpenQueue(queueNumber, 1, 0)
		p.Must(err)
		p.Fate("first", p.Forth(fs[0].Orig(SYN)))
		p.Fate("second", p.Forth(fs[1].Orig(SYN)))
		p.Must(q.Close())
		w := listenQueue(p, 1, lab.QueueFailOpen)
		p.Fate("fail-open-first", p.Forth(fs[2].Orig(SYN)))
		p.Fate("fail-open-second", p.Forth(fs[3].Orig(SYN)))
		p.Entry("table", p.Entries())
		held, err := w.q.Take()
		p.Must(err)
		p.Count("waiting", "packets", len(held))
	}),
	inQueue("mark", "Does a verdict set the packet's mark, and its connection's, labels and time?", queueSource+"; ctnetlink_glue_parse", queueMarks),
	inQueue("payload", "Which changes of a packet does a verdict take, and what comes out?", queueSource+`; nfqnl_mangle and nfqnl_validate_ip4`, queuePayload),
	inQueue("flushed", "What becomes of a packet whose connection is deleted while it waits: a new one, and one of an established connection?", "nf_conntrack_update and nf_ct_iterate_cleanup; nfqnl_enqueue_packet", func(p *probe.P) {
		p.Add(queueing)
		w := listenQueue(p, 10, 0)
		f := tcpFlow()
		h := w.hold(f.Orig(SYN))
		p.Flush()
		p.Fate("new", w.accept(h))
		p.Entry("new", p.Entries())
		h = w.holdBack(f.Reply(SYN | ACK))
		p.Flush()
		p.Must(w.q.Verdict(h.ID, lab.VerdictAccept))
		p.Fate("reply", p.Back())
		p.Entry("reply", p.Entries())
	}),
	inQueue("object-gone", "Are packets dropped that wait when a timeout policy, or a helper's object, is deleted?", "nft_ct_timeout_obj_destroy and nft_ct_helper_obj_destroy in nft_ct.c (nf_queue_nf_hook_drop)", func(p *probe.P) {
		for _, o := range []struct {
			name  string
			kind  lab.ObjectKind
			attrs []netlink.Attribute
		}{
			{"timeout", lab.TimeoutObject, lab.TimeoutPolicy(unix.IPPROTO_TCP, map[uint16]uint32{1: 10})},
			{"helper", lab.HelperObjectKind, helperPolicy("ftp", unix.IPPROTO_TCP)},
		} {
			// The class rules go on using tracking, whose hooks stay.
			reload(p, append(lab.Classing(""), queueing)...)
			other := lab.OtherTable(lab.FilterForward) // where no chain goes with the object
			p.Must(p.Box.Rules.TryObject(other, "goes", o.kind, o.attrs...))
			q, err := lab.OpenQueue(queueNumber, 10, 0)
			p.Must(err)
			w := waiting{p, q}
			fs := talkers(versions[0], 2)
			h := w.hold(fs[0].Orig(SYN))
			p.Wait(time.Second)
			p.Errno(o.name+"-kept", q.Verdict(h.ID, lab.VerdictAccept))
			h = w.hold(fs[1].Orig(SYN))
			p.Must(p.Box.Rules.RemoveTable(other))
			p.Wait(time.Second)
			p.Errno(o.name+"-gone", q.Verdict(h.ID, lab.VerdictAccept))
			p.Fate(o.name+"-gone", p.Forth())
			p.Must(q.Close())
		}
	}, "nf_conntrack_ftp"),
}, queueMore...)

// inQueue is a probe of the family.
func inQueue(name, question, source string, run func(*probe.P), needs ...string) probe.Probe {
	return probe.Probe{
		Name: "queue/" + name, Question: question, Source: source,
		Path: lab.Forward, Only: probe.Initial, Needs: append([]string{queueNeeds, queueListener}, needs...),
		Timed: name == "object-gone", Run: run,
	}
}

// drop drops what still waits of packets, by their numbers.
func (w waiting) drop(h lab.Held, again []lab.Held) error {
	for _, left := range append(again, h) {
		if err := w.q.Verdict(left.ID, lab.VerdictDrop); err != nil && probe.ErrnoName(err) != "ENOENT" {
			return err
		}
	}
	return nil
}

func queueMarks(p *probe.P) {
	p.Add(queueing, lab.On(lab.Postrouting, lab.PacketMark(5), lab.Meter("marked")))
	p.Add(lab.On(lab.FilterInput, lab.Never, lab.CtSet("label", make([]byte, 16)))) // so that there are labels
	w := listenQueue(p, 10, lab.QueueConntrack)
	f := tcpFlow()
	p.Mark()
	w.accept(w.hold(f.Orig(SYN)), lab.WithMark(5))
	p.Count("packet", "marked", int(p.Meters()["marked"]))
	keys := []lab.Key{keyNamed(p, "mark"), keyNamed(p, "label")}
	readKeys(p, lab.Postrouting, keys...)
	change := func(subject string, attrs ...netlink.Attribute) {
		h := w.holdBack(f.Reply(SYN | ACK))
		p.Mark()
		p.Errno(subject, w.q.Verdict(h.ID, lab.VerdictAccept, lab.WithCT(attrs...)))
		p.Fate(subject, p.Back())
		p.Timeout(subject)
		for _, k := range keys {
			said, err := p.Box.Rules.Said(lab.Postrouting, k)
			p.Must(err)
			p.Text(subject, k.Name, listOr("none", said))
		}
	}
	change("mark", lab.Attr32(ctaMark, 0x77))
	change("timeout", lab.Attr32(ctaTimeout, 1000))
	change("labels", netlink.Attribute{Type: ctaLabels, Data: append([]byte{4}, make([]byte, 15)...)})
	change("short-mark", netlink.Attribute{Type: ctaMark, Data: []byte{1}})
}

func queuePayload(p *probe.P) {
	p.Add(queueing)
	w := listenQueue(p, 10, 0)
	from, to := versions[0].udp()
	right := wire.UDP(from, to, "0123456789")
	for _, c := range []struct {
		name   string
		change func([]byte) []byte
	}{
		{"same", func(b []byte) []byte { return b }},
		{"other-text", func(b []byte) []byte { b[len(b)-1] = 'x'; return wire.Packet{Data: b}.Mended().Data }},
		{"longer", func(b []byte) []byte { return wire.UDP(from, to, "0123456789 and more").Data }},
		{"shorter", func(b []byte) []byte { return wire.UDP(from, to, "0123").Data }},
		{"other-port", func(b []byte) []byte { return wire.UDP(from, port(to, 99), "0123456789").Data }},
		{"other-address", func(b []byte) []byte { return wire.UDP(from, addr(to, versions[0].router()), "0123456789").Data }},
		{"other-proto", func(b []byte) []byte { b[9] = unix.IPPROTO_TCP; return wire.Packet{Data: b}.Resummed().Data }},
		{"other-ttl", func(b []byte) []byte { b[8]--; return wire.Packet{Data: b}.Resummed().Data }},
		{"options", func([]byte) []byte { return right.WithOptions(1, 1, 1, 1).Data }},
		{"fragment", func(b []byte) []byte { b[6] |= 1 << 5; return wire.Packet{Data: b}.Resummed().Data }},
		{"version-6", func(b []byte) []byte { b[0] = 0x65; return b }},
		{"length-less", func(b []byte) []byte {
			binary.BigEndian.PutUint16(b[2:], 24)
			return wire.Packet{Data: b}.Resummed().Data
		}},
		{"length-more", func(b []byte) []byte {
			binary.BigEndian.PutUint16(b[2:], 400)
			return wire.Packet{Data: b}.Resummed().Data
		}},
		{"header-only", func(b []byte) []byte { return wire.Packet{Data: b}.Shorten(4).Data }},
		{"ip-header-cut", func(b []byte) []byte { return b[:12] }},
	} {
		p.Flush()
		h := w.hold(right)
		p.Errno(c.name, w.q.Verdict(h.ID, lab.VerdictAccept, lab.WithPayload(c.change(h.Data))))
		var texts []string
		for _, s := range p.Forth() {
			texts = append(texts, fmt.Sprintf("%d bytes to %s", len(s.Data), s.Dst))
		}
		p.Text(c.name, "packet", listOr("none", texts))
		p.Text(c.name, "orig", origsOf(p))
	}
}

// origsOf are the original tuples of the entries there are.
func origsOf(p *probe.P) string {
	var tuples []string
	for _, e := range p.Entries() {
		tuples = append(tuples, e.Orig.String())
	}
	return listOr("none", tuples)
}
