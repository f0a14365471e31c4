package lab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/ctmatrix/ctmatrix/guest/internal/nfnl"
)

// ToQueue hands packets to a queue. With bypass they go on where nobody listens.
func ToQueue(number uint16, bypass bool) Part {
	q := &expr.Queue{Num: number, Total: 1}
	text := fmt.Sprintf("queue to %d", number)
	if bypass {
		q.Flag, text = expr.QueueFlagBypass, text+" bypass"
	}
	return Part{text: text, exprs: []expr.Any{q}}
}

// Messages and attributes of include/uapi/linux/netfilter/nfnetlink_queue.h.
const (
	queuePacket  = unix.NFNL_SUBSYS_QUEUE<<8 | 0 // NFQNL_MSG_PACKET
	queueVerdict = unix.NFNL_SUBSYS_QUEUE<<8 | 1 // NFQNL_MSG_VERDICT
	queueConfig  = unix.NFNL_SUBSYS_QUEUE<<8 | 2 // NFQNL_MSG_CONFIG
	queueBatch   = unix.NFNL_SUBSYS_QUEUE<<8 | 3 // NFQNL_MSG_VERDICT_BATCH

	configCmd    = 1
	configParams = 2
	configLen    = 3
	configMask   = 4
	configFlags  = 5

	qPacketHdr  = 1
	qVerdictHdr = 2
	qMark       = 3
	qPayload    = 10
	qCT         = 11
	qCTInfo     = 12
	qPriority   = 21
)

// queueAttrs are the names of enum nfqnl_attr_type.
var queueAttrs = []string{
	"", "packet-hdr", "verdict-hdr", "mark", "timestamp", "ifindex-indev", "ifindex-outdev", "ifindex-physindev",
	"ifindex-physoutdev", "hwaddr", "payload", "ct", "ct-info", "cap-len", "skb-info", "exp", "uid", "gid", "secctx",
	"vlan", "l2hdr", "priority", "cgroup-classid",
}

// QueueFlags change what a queue does, of NFQA_CFG_F_*.
type QueueFlags uint32

// The flags.
const (
	QueueFailOpen  QueueFlags = 1 << 0 // packets go on when the queue is full
	QueueConntrack QueueFlags = 1 << 1 // packets come with their connection
)

// Verdict is what becomes of a packet of a queue.
type Verdict uint32

// The verdicts of include/uapi/linux/netfilter.h.
const (
	VerdictDrop   Verdict = 0
	VerdictAccept Verdict = 1
	VerdictStolen Verdict = 2
	VerdictQueue  Verdict = 3
	VerdictRepeat Verdict = 4
	VerdictStop   Verdict = 5
)

// Queue is a listener to a queue of the calling thread's namespace. Packets wait
// in the kernel until they get their verdict.
type Queue struct {
	number uint16
	conn   *nfnl.Conn
	came   []Held // packets that came while an answer was waited for
}

// Held is a packet that waits in a queue.
type Held struct {
	ID     uint32
	Data   []byte
	Attrs  []string // the names of what came with it
	CTInfo string   // what tracking thinks of it, or "none"
}

// OpenQueue listens to a queue that holds at most length packets.
func OpenQueue(number uint16, length uint32, flags QueueFlags) (*Queue, error) {
	conn, err := nfnl.Dial()
	if err != nil {
		return nil, err
	}
	q := &Queue{number: number, conn: conn}
	const bind, copyPacket = 1, 2
	params := append(binary.BigEndian.AppendUint32(nil, 0xffff), copyPacket)
	for _, attrs := range [][]netlink.Attribute{
		{{Type: configCmd, Data: []byte{bind, 0, 0, 0}}},
		{{Type: configParams, Data: params}},
		{Attr32(configLen, length)},
		{Attr32(configMask, uint32(flags)), Attr32(configFlags, uint32(flags))},
	} {
		if err := q.ask(queueConfig, attrs); err != nil {
			return nil, errors.Join(fmt.Errorf("listen to queue %d: %w", number, err), conn.Close())
		}
	}
	return q, nil
}

// queueModule has queues. It is used once more for each that has a listener.
const queueModule = "nfnetlink_queue"

// graceTicks bounds the wait for a grace period of RCU.
const graceTicks = 50

// Close leaves the queue. What waits in it is dropped, which the kernel does after a
// grace period, and then gives its module back (instance_destroy_rcu in
// net/netfilter/nfnetlink_queue.c). That is waited for: to packets whose rule goes
// before them, 6.1 says WARNING (nf_reinject). A queue that was left before is given
// back already, and nothing comes of the wait.
func (q *Queue) Close() error {
	before, counted := ModuleUses(queueModule)
	if err := q.conn.Close(); err != nil || counted != nil {
		return err
	}
	for range graceTicks {
		if now, err := ModuleUses(queueModule); err != nil || now < before {
			return err
		}
		if err := PassTicks(1); err != nil {
			return err
		}
	}
	return nil
}

// Configure changes the queue by attributes of enum nfqnl_attr_config. The error is
// the kernel's errno.
func (q *Queue) Configure(attrs ...netlink.Attribute) error { return q.ask(queueConfig, attrs) }

// ask sends a message and returns what the kernel answers.
func (q *Queue) ask(kind uint16, attrs []netlink.Attribute) error {
	body, err := netlink.MarshalAttributes(attrs)
	if err != nil {
		return err
	}
	head := nfnl.Header{Kind: kind, Flags: unix.NLM_F_ACK, Resource: q.number}
	if err := q.conn.Send(nfnl.Request(head, body)); err != nil {
		return err
	}
	return q.conn.Answers(q.arrived)
}

func (q *Queue) arrived(m nfnl.Message) error {
	q.came = append(q.came, heldOf(m.Attrs))
	return nil
}

// Take returns the packets that came into the queue since the last Take.
func (q *Queue) Take() ([]Held, error) {
	lost, err := q.conn.Arrived(q.arrived)
	if lost {
		err = errors.Join(unix.ENOBUFS, err)
	}
	if err != nil {
		return nil, fmt.Errorf("read queue %d: %w", q.number, err)
	}
	came := q.came
	q.came = nil
	return came, nil
}

// ctInfos are the names of enum ip_conntrack_info.
var ctInfos = map[uint32]string{0: "established", 1: "related", 2: "new", 3: "established-reply", 4: "related-reply", 7: "untracked"}

func heldOf(attrs []byte) Held {
	h := Held{Data: slices.Clone(nfnl.Attr(attrs, qPayload)), CTInfo: "none"}
	if hdr := nfnl.Attr(attrs, qPacketHdr); len(hdr) >= 4 {
		h.ID = binary.BigEndian.Uint32(hdr)
	}
	if info := nfnl.Attr(attrs, qCTInfo); len(info) == 4 {
		h.CTInfo = ctInfos[binary.BigEndian.Uint32(info)]
	}
	for kind, name := range queueAttrs {
		if kind > 0 && nfnl.Attr(attrs, uint16(kind)) != nil {
			h.Attrs = append(h.Attrs, name)
		}
	}
	return h
}

// VerdictOption is something that a verdict brings with it.
type VerdictOption func() netlink.Attribute

// WithMark gives the packet a mark.
func WithMark(mark uint32) VerdictOption {
	return func() netlink.Attribute { return Attr32(qMark, mark) }
}

// WithPriority gives the packet a priority.
func WithPriority(priority uint32) VerdictOption {
	return func() netlink.Attribute { return Attr32(qPriority, priority) }
}

// WithPayload puts other bytes in the packet's place, from its IP header on.
func WithPayload(data []byte) VerdictOption {
	return func() netlink.Attribute { return netlink.Attribute{Type: qPayload, Data: data} }
}

// WithCT changes the packet's connection: attributes of enum ctattr_type.
func WithCT(attrs ...netlink.Attribute) VerdictOption {
	return func() netlink.Attribute {
		data, err := netlink.MarshalAttributes(attrs)
		if err != nil {
			panic(fmt.Sprintf("lab: %d attributes of a connection: %v", len(attrs), err))
		}
		return netlink.Attribute{Type: unix.NLA_F_NESTED | qCT, Data: data}
	}
}

// Verdict says what becomes of a packet. When it returns, that has happened. The
// error is the kernel's errno.
func (q *Queue) Verdict(id uint32, v Verdict, opts ...VerdictOption) error {
	return q.verdict(queueVerdict, id, v, opts)
}

// VerdictUpTo says what becomes of all packets up to one.
func (q *Queue) VerdictUpTo(id uint32, v Verdict) error { return q.verdict(queueBatch, id, v, nil) }

func (q *Queue) verdict(kind uint16, id uint32, v Verdict, opts []VerdictOption) error {
	hdr := binary.BigEndian.AppendUint32(nil, uint32(v))
	attrs := []netlink.Attribute{{Type: qVerdictHdr, Data: binary.BigEndian.AppendUint32(hdr, id)}}
	for _, o := range opts {
		attrs = append(attrs, o())
	}
	return q.ask(kind, attrs)
}
