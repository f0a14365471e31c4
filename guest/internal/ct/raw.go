package ct

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/ctmatrix/ctmatrix/guest/internal/nfnl"
)

// Raw speaks ctnetlink without a library between: it sends requests that none
// would, and tells which attributes an answer has.
type Raw struct{ conn *nfnl.Conn }

// Message is what the kernel answers, or tells by itself.
type Message struct{ nfnl.Message }

func messageOf(m nfnl.Message) Message {
	m.Attrs = slices.Clone(m.Attrs)
	return Message{m}
}

// The requests of include/uapi/linux/netfilter/nfnetlink_conntrack.h and
// nfnetlink_cttimeout.h.
const (
	CtNew            = unix.NFNL_SUBSYS_CTNETLINK<<8 | 0
	CtGet            = unix.NFNL_SUBSYS_CTNETLINK<<8 | 1
	CtDelete         = unix.NFNL_SUBSYS_CTNETLINK<<8 | 2
	CtGetZero        = unix.NFNL_SUBSYS_CTNETLINK<<8 | 3
	CtGetStatsCPU    = unix.NFNL_SUBSYS_CTNETLINK<<8 | 4
	CtGetStats       = unix.NFNL_SUBSYS_CTNETLINK<<8 | 5
	CtGetDying       = unix.NFNL_SUBSYS_CTNETLINK<<8 | 6
	CtGetUnconfirmed = unix.NFNL_SUBSYS_CTNETLINK<<8 | 7
	ExpNew           = unix.NFNL_SUBSYS_CTNETLINK_EXP<<8 | 0
	ExpGet           = unix.NFNL_SUBSYS_CTNETLINK_EXP<<8 | 1
	ExpDelete        = unix.NFNL_SUBSYS_CTNETLINK_EXP<<8 | 2
	ExpGetStatsCPU   = unix.NFNL_SUBSYS_CTNETLINK_EXP<<8 | 3
	TimeoutNew       = unix.NFNL_SUBSYS_CTNETLINK_TIMEOUT<<8 | 0
	TimeoutGet       = unix.NFNL_SUBSYS_CTNETLINK_TIMEOUT<<8 | 1
	TimeoutDelete    = unix.NFNL_SUBSYS_CTNETLINK_TIMEOUT<<8 | 2
	TimeoutSet       = unix.NFNL_SUBSYS_CTNETLINK_TIMEOUT<<8 | 3
	TimeoutDefault   = unix.NFNL_SUBSYS_CTNETLINK_TIMEOUT<<8 | 4
	HelperNew        = unix.NFNL_SUBSYS_CTHELPER<<8 | 0
	HelperGet        = unix.NFNL_SUBSYS_CTHELPER<<8 | 1
	HelperDelete     = unix.NFNL_SUBSYS_CTHELPER<<8 | 2
)

// OpenRaw connects to netfilter netlink of the calling thread's namespace, and
// listens to groups of NFNLGRP_*, if any.
func OpenRaw(groups ...int) (*Raw, error) {
	conn, err := nfnl.Dial(groups...)
	if err != nil {
		return nil, err
	}
	return &Raw{conn}, nil
}

// Close ends the connection.
func (r *Raw) Close() error { return r.conn.Close() }

// Room bounds what the socket holds, in bytes as the kernel counts them.
func (r *Raw) Room(bytes int) error {
	return r.conn.Set(unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, bytes)
}

// Reliable asks the kernel to keep events that the socket has no room for.
func (r *Raw) Reliable() error {
	return r.conn.Set(unix.SOL_NETLINK, unix.NETLINK_BROADCAST_ERROR, 1)
}

// Ask sends a request and returns the answers, and the errno that the kernel
// ends with: nil where it is content. With NLM_F_DUMP in flags it lists.
func (r *Raw) Ask(kind, flags uint16, family byte, attrs ...netlink.Attribute) ([]Message, error) {
	return r.AskVersion(unix.NFNETLINK_V0, kind, flags, family, attrs...)
}

// AskVersion is Ask with a version of nfnetlink.
func (r *Raw) AskVersion(version byte, kind, flags uint16, family byte, attrs ...netlink.Attribute) ([]Message, error) {
	body, err := netlink.MarshalAttributes(attrs)
	if err != nil {
		return nil, fmt.Errorf("encode request: %w", err)
	}
	return r.ask(nfnl.Header{Kind: kind, Flags: flags, Family: family, Version: version}, body)
}

// ask is Ask with the attributes as they are on the wire.
func (r *Raw) ask(head nfnl.Header, attrs []byte) ([]Message, error) {
	head.Flags |= unix.NLM_F_ACK
	if err := r.conn.Send(nfnl.Request(head, attrs)); err != nil {
		return nil, err
	}
	var all []Message
	err := r.conn.Answers(func(m nfnl.Message) error {
		m.Kind = head.Kind // answers about expectations call themselves otherwise
		all = append(all, messageOf(m))
		return nil
	})
	return all, err
}

// Told returns what the kernel told of by itself since the last call, and whether
// some of it was lost.
func (r *Raw) Told() (events []Message, lost bool, err error) {
	lost, err = r.conn.Arrived(func(m nfnl.Message) error {
		events = append(events, messageOf(m))
		return nil
	})
	if err != nil {
		return events, lost, fmt.Errorf("receive events: %w", err)
	}
	return events, lost, nil
}

// naming is what the attributes at one place of a message are called, by their
// numbers, with those inside of them.
type naming map[uint16]struct {
	name   string
	inside naming
}

func plain(names ...string) naming {
	n := naming{}
	for i, name := range names {
		n[uint16(i+1)] = struct {
			name   string
			inside naming
		}{name, nil}
	}
	return n
}

// with gives names to what is inside of an attribute.
func (n naming) with(number uint16, inside naming) naming {
	at := n[number]
	at.inside = inside
	n[number] = at
	return n
}

// The attributes of enum ctattr_* in include/uapi/linux/netfilter/nfnetlink_conntrack.h.
var (
	tupleAttrs = plain("ip", "proto", "zone").
			with(1, plain("v4-src", "v4-dst", "v6-src", "v6-dst")).
			with(2, plain("num", "src-port", "dst-port", "icmp-id", "icmp-type", "icmp-code", "icmpv6-id", "icmpv6-type", "icmpv6-code"))
	counterAttrs = plain("packets", "bytes", "packets-32", "bytes-32", "pad")
	protoAttrs   = plain("tcp", "dccp", "sctp").
			with(1, plain("state", "wscale-orig", "wscale-reply", "flags-orig", "flags-reply")).
			with(2, plain("state", "role", "handshake-seq", "pad")).
			with(3, plain("state", "vtag-orig", "vtag-reply"))
	ctAttrs = plain("tuple-orig", "tuple-reply", "status", "protoinfo", "help", "nat-src", "timeout", "mark",
		"counters-orig", "counters-reply", "use", "id", "nat-dst", "tuple-master", "seq-adj-orig", "seq-adj-reply",
		"secmark", "zone", "secctx", "timestamp", "mark-mask", "labels", "labels-mask", "synproxy", "filter",
		"status-mask", "timestamp-event").
		with(1, tupleAttrs).with(2, tupleAttrs).with(4, protoAttrs).with(5, plain("name", "info")).
		with(9, counterAttrs).with(10, counterAttrs).with(14, tupleAttrs).
		with(15, plain("correction-pos", "offset-before", "offset-after")).
		with(16, plain("correction-pos", "offset-before", "offset-after")).
		with(20, plain("start", "stop", "pad")).with(24, plain("isn", "its", "tsoff"))
	expAttrs = plain("master", "tuple", "mask", "timeout", "id", "help-name", "zone", "flags", "class", "nat", "fn").
			with(1, tupleAttrs).with(2, tupleAttrs).with(3, tupleAttrs).with(10, plain("dir", "tuple"))
	statsCPUAttrs = plain("searched", "found", "new", "invalid", "ignore", "delete", "delete-list", "insert",
		"insert-failed", "drop", "early-drop", "error", "search-restart", "clash-resolve", "chain-toolong")
	statsAttrs    = plain("entries", "max-entries")
	expStatsAttrs = plain("new", "create", "delete")
	timeoutAttrs  = plain("name", "l3proto", "l4proto", "data", "use")
	policyAttrs   = plain("name", "max", "timeout")
	helperAttrs   = plain("name", "tuple", "queue", "policy", "priv-data-len", "status").
			with(2, plain("l3proto", "l4proto")).
			with(4, plain("number", "first", "second", "third", "fourth").with(2, policyAttrs).with(3, policyAttrs))
)

// naming is by what a message's attributes are named.
func (m Message) naming() naming {
	switch m.Kind {
	case CtGetStatsCPU:
		return statsCPUAttrs
	case CtGetStats:
		return statsAttrs
	case ExpGetStatsCPU:
		return expStatsAttrs
	case ExpNew, ExpGet, ExpDelete:
		return expAttrs
	case TimeoutNew, TimeoutGet, TimeoutSet, TimeoutDefault:
		return timeoutAttrs
	case HelperNew, HelperGet:
		return helperAttrs
	}
	return ctAttrs
}

// Names lists the attributes of a message in their order, with what is inside of
// them: "tuple-orig(ip(v4-src v4-dst) proto(num src-port dst-port)) status".
func (m Message) Names() string { return names(m.Attrs, m.naming()) }

// Brief is Names without what is inside of tuples.
func (m Message) Brief() string {
	brief := naming{}
	for number, a := range m.naming() {
		if a.inside != nil && a.inside[1].name == tupleAttrs[1].name {
			a.inside = nil
		}
		brief[number] = a
	}
	return names(m.Attrs, brief)
}

func names(b []byte, in naming) string {
	var words []string
	whole := nfnl.Attributes(b, func(number uint16, payload []byte) {
		word := in[number].name
		if word == "" {
			word = fmt.Sprintf("attribute-%d", number)
		}
		if inside := in[number].inside; inside != nil {
			word += "(" + names(payload, inside) + ")"
		}
		words = append(words, word)
	})
	if !whole {
		words = append(words, "damaged")
	}
	return strings.Join(words, " ")
}

// Attr is the payload of a message's attribute, or nil.
func (m Message) Attr(number uint16) []byte { return nfnl.Attr(m.Attrs, number) }

// List sends a request for a list and calls each with every message of it. The
// kernel goes on with the list only as it is read.
func (r *Raw) List(kind uint16, family byte, each func(Message) error) error {
	head := nfnl.Header{Kind: kind, Flags: unix.NLM_F_DUMP, Family: family}
	if err := r.conn.Send(nfnl.Request(head, nil)); err != nil {
		return err
	}
	return r.conn.Answers(func(m nfnl.Message) error { return each(messageOf(m)) })
}

// SourcePort is the source port of the original tuple of an entry, or 0.
func (m Message) SourcePort() uint16 {
	const proto, srcPort = 2, 2
	p := nfnl.Attr(nfnl.Attr(m.Attr(tupleOrig), proto), srcPort)
	if len(p) != 2 {
		return 0
	}
	return binary.BigEndian.Uint16(p)
}

// Protocol is the protocol of the original tuple of an entry, with the version of
// IP where that is 6: "udp", "udp v6".
func (m Message) Protocol() string {
	const ip, proto, num, v6Src = 1, 2, 1, 3
	tuple := m.Attr(tupleOrig)
	n := nfnl.Attr(nfnl.Attr(tuple, proto), num)
	if len(n) != 1 {
		return "none"
	}
	name := protocol(n[0])
	if nfnl.Attr(nfnl.Attr(tuple, ip), v6Src) != nil {
		name += " v6"
	}
	return name
}

// Leave ends the listening to a group.
func (r *Raw) Leave(group int) error {
	return r.conn.Set(unix.SOL_NETLINK, unix.NETLINK_DROP_MEMBERSHIP, group)
}
