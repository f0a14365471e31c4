package ct

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/ctmatrix/ctmatrix/guest/internal/nfnl"
	"github.com/ctmatrix/ctmatrix/guest/internal/wire"
)

// atOnce is how many entries are asked for before the answers are read: what a
// socket has room for, and some more.
const atOnce = 16

// Among returns the entries that the tuples lead to, in zone 0 and in either
// direction, as Entries would, and reports whether there are no others. To list
// them the kernel walks all the buckets, and most entries are few; asked for by
// their tuples they cost what they are. Like a list it refreshes nothing, is
// counted nowhere and leaves out what has expired (____nf_conntrack_find in
// nf_conntrack_core.c). Tuples that the kernel refuses lead nowhere.
func (t *Table) Among(tuples []wire.Tuple) (entries []Entry, all bool, err error) {
	entries, err = t.found(tuples)
	if err != nil {
		return nil, false, fmt.Errorf("look for conntrack entries: %w", err)
	}
	n, err := t.Counted()
	return inOrder(entries), n == len(entries) && !slices.ContainsFunc(entries, unlisted), err
}

// unlisted reports whether an entry may be one that is found and counted, and in no
// list: what is left of a clash is in the table by its reply only, with a timeout that
// stays (nf_ct_resolve_clash_harder in nf_conntrack_core.c).
func unlisted(e Entry) bool { return slices.Contains(e.Flags, fixedTimeout) }

// Counted is how many entries the kernel counts, which is what its limit is for.
// What has expired is counted until somebody meets it, and what is in no list yet
// or any more is, too.
func (t *Table) Counted() (n int, err error) {
	const entries = 1 // CTA_STATS_GLOBAL_ENTRIES
	if err = t.conn.Send(nfnl.Request(nfnl.Header{Kind: CtGetStats}, nil)); err == nil {
		err = t.conn.Answer(func(m nfnl.Message) error { n = int(number(nfnl.Attr(m.Attrs, entries))); return nil })
	}
	if err != nil {
		return 0, fmt.Errorf("read the count of conntrack entries: %w", err)
	}
	return n, nil
}

// found are the different entries that tuples lead to.
func (t *Table) found(tuples []wire.Tuple) ([]Entry, error) {
	var entries []Entry
	known := map[uint32]bool{} // by id
	for len(tuples) > 0 {
		some := tuples[:min(atOnce, len(tuples))]
		tuples = tuples[len(some):]
		var requests []byte
		for _, tuple := range some {
			head := nfnl.Header{Kind: CtGet, Family: familyOf(tuple.Src.Addr())}
			requests = append(requests, nfnl.Request(head, tupleAttr(tuple))...)
		}
		if err := t.conn.Send(requests); err != nil {
			return nil, err
		}
		for range some {
			err := t.conn.Answer(func(m nfnl.Message) error {
				attrs, said, err := decoded(m, CtNew)
				if err == nil && !known[said.Flow.ID] {
					known[said.Flow.ID] = true
					entries = append(entries, named(attrs, said))
				}
				return err
			})
			if refusal := (nfnl.Refusal{}); err != nil && !errors.As(err, &refusal) {
				return nil, err
			}
		}
	}
	return entries, nil
}

// tupleAttr is CTA_TUPLE_ORIG of a tuple.
func tupleAttr(t wire.Tuple) []byte {
	// The numbers of enum ctattr_ip and ctattr_l4proto.
	src, dst := uint16(1), uint16(2)
	if t.Src.Addr().Is6() {
		src, dst = 3, 4
	}
	ip := appendAttr(nil, src, t.Src.Addr().AsSlice()...)
	ip = appendAttr(ip, dst, t.Dst.Addr().AsSlice()...)
	proto := appendAttr(nil, 1, t.Proto)
	echo := uint16(4) // and type and code behind it
	switch t.Proto {
	case unix.IPPROTO_ICMPV6:
		echo = 7
		fallthrough
	case unix.IPPROTO_ICMP:
		proto = appendAttr(proto, echo, byte(t.ID>>8), byte(t.ID))
		proto = appendAttr(proto, echo+1, t.Type)
		proto = appendAttr(proto, echo+2, t.Code)
	default:
		proto = appendAttr(proto, 2, byte(t.Src.Port()>>8), byte(t.Src.Port()))
		proto = appendAttr(proto, 3, byte(t.Dst.Port()>>8), byte(t.Dst.Port()))
	}
	tuple := appendAttr(nil, unix.NLA_F_NESTED|1, ip...)
	tuple = appendAttr(tuple, unix.NLA_F_NESTED|2, proto...)
	return appendAttr(nil, unix.NLA_F_NESTED|tupleOrig, tuple...)
}

// appendAttr appends an attribute, filled up to a multiple of four bytes.
func appendAttr(b []byte, number uint16, payload ...byte) []byte {
	b = binary.NativeEndian.AppendUint16(b, uint16(4+len(payload)))
	b = binary.NativeEndian.AppendUint16(b, number)
	b = append(b, payload...)
	return append(b, make([]byte, -len(payload)&3)...)
}
