package ct

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/mdlayher/netlink"
	"github.com/ti-mo/conntrack"
	"golang.org/x/sys/unix"

	"github.com/ctmatrix/ctmatrix/guest/internal/nfnl"
	"github.com/ctmatrix/ctmatrix/guest/internal/wire"
)

// Finder looks up entries by what packets say. It reads the answers itself:
// ti-mo/conntrack (v0.6) leaves the acknowledgement of a Get unread, which the
// next request then takes for its answer.
type Finder struct{ raw *Raw }

// OpenFinder connects to the table of the calling thread's namespace.
func OpenFinder() (*Finder, error) {
	raw, err := OpenRaw()
	if err != nil {
		return nil, err
	}
	return &Finder{raw}, nil
}

// Close closes the connection.
func (f *Finder) Close() error { return f.raw.Close() }

// Found is an entry that a packet led to.
type Found struct {
	Text    string // as Entry has it
	Seconds uint32 // left to live, rounded down by the kernel
	ID      uint32 // tells it from any other that had the same tuples
}

// Find asks for the entry that has the tuple in one of its directions, in a zone;
// nil where there is none. Asking refreshes nothing and is counted nowhere.
func (f *Finder) Find(t wire.Tuple, zone uint16) (*Found, error) {
	tuple, err := tupleAttr(t)
	if err != nil {
		return nil, err
	}
	attrs := []netlink.Attribute{tuple}
	if zone != 0 {
		attrs = append(attrs, netlink.Attribute{Type: inZone, Data: binary.BigEndian.AppendUint16(nil, zone)})
	}
	answers, err := f.raw.Ask(CtGet, 0, familyOf(t.Src.Addr()), attrs...)
	switch {
	case errors.Is(err, unix.ENOENT):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("look for a conntrack entry: %w", err)
	case len(answers) != 1:
		return nil, fmt.Errorf("look for a conntrack entry: %d answers", len(answers))
	}
	return found(answers[0], t.Proto), nil
}

func familyOf(a netip.Addr) byte {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// tupleAttr is CTA_TUPLE_ORIG of a tuple.
func tupleAttr(t wire.Tuple) (netlink.Attribute, error) {
	// The numbers of enum ctattr_ip and ctattr_l4proto.
	ip := []netlink.Attribute{{Type: 1, Data: t.Src.Addr().AsSlice()}, {Type: 2, Data: t.Dst.Addr().AsSlice()}}
	if t.Src.Addr().Is6() {
		ip[0].Type, ip[1].Type = 3, 4
	}
	word := func(n uint16) []byte { return binary.BigEndian.AppendUint16(nil, n) }
	proto := []netlink.Attribute{{Type: 1, Data: []byte{t.Proto}}}
	switch t.Proto {
	case unix.IPPROTO_ICMP:
		proto = append(proto, netlink.Attribute{Type: 4, Data: word(t.ID)},
			netlink.Attribute{Type: 5, Data: []byte{t.Type}}, netlink.Attribute{Type: 6, Data: []byte{t.Code}})
	case unix.IPPROTO_ICMPV6:
		proto = append(proto, netlink.Attribute{Type: 7, Data: word(t.ID)},
			netlink.Attribute{Type: 8, Data: []byte{t.Type}}, netlink.Attribute{Type: 9, Data: []byte{t.Code}})
	default:
		proto = append(proto, netlink.Attribute{Type: 2, Data: word(t.Src.Port())}, netlink.Attribute{Type: 3, Data: word(t.Dst.Port())})
	}
	var parts []netlink.Attribute
	for i, inside := range [][]netlink.Attribute{ip, proto} {
		data, err := netlink.MarshalAttributes(inside)
		if err != nil {
			return netlink.Attribute{}, fmt.Errorf("encode tuple: %w", err)
		}
		parts = append(parts, netlink.Attribute{Type: unix.NLA_F_NESTED | uint16(i+1), Data: data})
	}
	data, err := netlink.MarshalAttributes(parts)
	if err != nil {
		return netlink.Attribute{}, fmt.Errorf("encode tuple: %w", err)
	}
	return netlink.Attribute{Type: unix.NLA_F_NESTED | 1, Data: data}, nil
}

// found reads what an answer says of an entry.
func found(m Message, proto uint8) *Found {
	// The numbers of enum ctattr_type.
	const status, timeout, id = 3, 7, 12
	words := []string{protocol(proto)}
	for number, names := range map[uint16][]string{1: tcpStates, 2: dccpStates, 3: sctpStates} {
		if s := nfnl.Attr(nfnl.Attr(m.Attr(protoInfo), number), 1); len(s) == 1 {
			words = append(words, state(s[0], names))
		}
	}
	words = append(words, flags(conntrack.Status(number(m.Attr(status))))...)
	return &Found{Text: strings.Join(words, " "), Seconds: number(m.Attr(timeout)), ID: number(m.Attr(id))}
}

// number is an attribute of four bytes, or 0.
func number(b []byte) uint32 {
	if len(b) != 4 {
		return 0
	}
	return binary.BigEndian.Uint32(b)
}
