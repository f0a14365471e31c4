package ct

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Raw speaks ctnetlink without a library between: it sends requests that none
// would, and tells which attributes an answer has.
type Raw struct {
	fd  int
	buf []byte
}

// Message is what the kernel answers, or tells by itself.
type Message struct {
	Kind  uint16 // NFNL_SUBSYS_* << 8 | IPCTNL_MSG_*
	Flags uint16 // NLM_F_*
	Attrs []byte
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
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, fmt.Errorf("open netfilter netlink: %w", err)
	}
	r := &Raw{fd: fd, buf: make([]byte, 1<<16)}
	err = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 5})
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	}
	for _, g := range groups {
		if err == nil {
			err = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, g)
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open netfilter netlink: %w", err), r.Close())
	}
	return r, nil
}

// Close ends the connection.
func (r *Raw) Close() error { return unix.Close(r.fd) }

// Room bounds what the socket holds, in bytes as the kernel counts them.
func (r *Raw) Room(bytes int) error {
	return unix.SetsockoptInt(r.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, bytes)
}

// Reliable asks the kernel to keep events that the socket has no room for.
func (r *Raw) Reliable() error {
	return unix.SetsockoptInt(r.fd, unix.SOL_NETLINK, unix.NETLINK_BROADCAST_ERROR, 1)
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
	msg := make([]byte, unix.SizeofNlMsghdr, unix.SizeofNlMsghdr+4+len(body))
	binary.NativeEndian.PutUint32(msg, uint32(cap(msg)))
	binary.NativeEndian.PutUint16(msg[4:], kind)
	binary.NativeEndian.PutUint16(msg[6:], unix.NLM_F_REQUEST|unix.NLM_F_ACK|flags)
	msg = append(append(msg, family, version, 0, 0), body...)
	if _, err := unix.Write(r.fd, msg); err != nil {
		return nil, err
	}
	var all []Message
	for {
		n, err := unix.Read(r.fd, r.buf)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return all, err
		}
		got, done, err := messages(r.buf[:n])
		for _, m := range got {
			m.Kind = kind // answers about expectations call themselves otherwise
			all = append(all, m)
		}
		if done || err != nil {
			return all, err
		}
	}
}

// Told returns what the kernel told of by itself since the last call. ENOBUFS
// among it, that events were lost, is reported by the flag.
func (r *Raw) Told() (events []Message, lost bool, err error) {
	for {
		n, _, err := unix.Recvfrom(r.fd, r.buf, unix.MSG_DONTWAIT)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return events, lost, nil
		case errors.Is(err, unix.ENOBUFS):
			lost = true
			continue
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return events, lost, fmt.Errorf("receive events: %w", err)
		}
		got, _, err := messages(r.buf[:n])
		if err != nil {
			return events, lost, fmt.Errorf("receive events: %w", err)
		}
		events = append(events, got...)
	}
}

// messages takes a datagram apart. It is done at the end of a list and at an
// acknowledgement, whose errno it returns.
func messages(b []byte) (all []Message, done bool, err error) {
	for len(b) >= unix.SizeofNlMsghdr {
		size := int(binary.NativeEndian.Uint32(b))
		if size < unix.SizeofNlMsghdr || size > len(b) {
			return all, true, fmt.Errorf("netlink message claims %d of %d bytes", size, len(b))
		}
		kind, body := binary.NativeEndian.Uint16(b[4:]), b[unix.SizeofNlMsghdr:size]
		switch {
		case kind == unix.NLMSG_DONE:
			return all, true, nil
		case kind == unix.NLMSG_ERROR && len(body) >= 4:
			if errno := -int32(binary.NativeEndian.Uint32(body)); errno != 0 {
				return all, true, unix.Errno(errno)
			}
			return all, true, nil
		case len(body) >= 4:
			all = append(all, Message{kind, binary.NativeEndian.Uint16(b[6:]), slices.Clone(body[4:])})
		}
		b = b[min((size+3)&^3, len(b)):]
	}
	return all, false, nil
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
	const mask = 1<<14 - 1 // NLA_TYPE_MASK
	var words []string
	for len(b) >= 4 {
		size := int(binary.NativeEndian.Uint16(b))
		if size < 4 || size > len(b) {
			return strings.Join(append(words, "damaged"), " ")
		}
		number := binary.NativeEndian.Uint16(b[2:]) & mask
		word := in[number].name
		if word == "" {
			word = fmt.Sprintf("attribute-%d", number)
		}
		if inside := in[number].inside; inside != nil {
			word += "(" + names(b[4:size], inside) + ")"
		}
		words = append(words, word)
		b = b[min((size+3)&^3, len(b)):]
	}
	return strings.Join(words, " ")
}

// Attr is the payload of a message's attribute, or nil.
func (m Message) Attr(number uint16) []byte {
	b := m.Attrs
	for len(b) >= 4 {
		size := int(binary.NativeEndian.Uint16(b))
		if size < 4 || size > len(b) {
			return nil
		}
		if binary.NativeEndian.Uint16(b[2:])&(1<<14-1) == number {
			return b[4:size]
		}
		b = b[min((size+3)&^3, len(b)):]
	}
	return nil
}

// List sends a request for a list and calls each with every message of it. The
// kernel goes on with the list only as it is read.
func (r *Raw) List(kind uint16, family byte, each func(Message) error) error {
	msg := make([]byte, unix.SizeofNlMsghdr+4)
	binary.NativeEndian.PutUint32(msg, uint32(len(msg)))
	binary.NativeEndian.PutUint16(msg[4:], kind)
	binary.NativeEndian.PutUint16(msg[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	msg[unix.SizeofNlMsghdr] = family
	if _, err := unix.Write(r.fd, msg); err != nil {
		return err
	}
	for {
		n, err := unix.Read(r.fd, r.buf)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		got, done, err := messages(r.buf[:n])
		if err != nil {
			return err
		}
		for _, m := range got {
			if err := each(m); err != nil {
				return err
			}
		}
		if done {
			return nil
		}
	}
}

// SourcePort is the source port of the original tuple of an entry, or 0.
func (m Message) SourcePort() uint16 {
	const tupleOrig, proto, srcPort = 1, 2, 2
	p := Message{Attrs: Message{Attrs: m.Attr(tupleOrig)}.Attr(proto)}.Attr(srcPort)
	if len(p) != 2 {
		return 0
	}
	return binary.BigEndian.Uint16(p)
}

// Protocol is the protocol of the original tuple of an entry, with the version of
// IP where that is 6: "udp", "udp v6".
func (m Message) Protocol() string {
	const tupleOrig, ip, proto, num, v6Src = 1, 1, 2, 1, 3
	tuple := Message{Attrs: m.Attr(tupleOrig)}
	n := Message{Attrs: tuple.Attr(proto)}.Attr(num)
	if len(n) != 1 {
		return "none"
	}
	name := protocol(n[0])
	if (Message{Attrs: tuple.Attr(ip)}).Attr(v6Src) != nil {
		name += " v6"
	}
	return name
}

// Leave ends the listening to a group.
func (r *Raw) Leave(group int) error {
	return unix.SetsockoptInt(r.fd, unix.SOL_NETLINK, unix.NETLINK_DROP_MEMBERSHIP, group)
}
