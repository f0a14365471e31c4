package ct

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"

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
	attrs := tupleAttr(t)
	if zone != 0 {
		attrs = appendAttr(attrs, inZone, byte(zone>>8), byte(zone))
	}
	answers, err := f.raw.ask(nfnl.Header{Kind: CtGet, Family: familyOf(t.Src.Addr())}, attrs)
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
