package probe

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ctmatrix/ctmatrix/guest/internal/ct"
	"github.com/ctmatrix/ctmatrix/guest/internal/wire"
)

// asked is a table that is asked for entries by tuples, and holds others, too.
type asked struct {
	fakeTable
	others int
	tuples []wire.Tuple
	lists  int
}

func (a *asked) Among(tuples []wire.Tuple) ([]ct.Entry, bool, error) {
	a.tuples = tuples
	return a.entries, a.others == 0, nil
}

func (a *asked) Entries() ([]ct.Entry, error) {
	a.lists++
	return append(make([]ct.Entry, a.others), a.entries...), nil
}

// The table is listed only where it may hold what the probe has not sent.
func TestEntriesOfTalk(t *testing.T) {
	a, b := netip.MustParseAddrPort("198.18.0.2:10000"), netip.MustParseAddrPort("198.19.0.2:53")
	table := &asked{fakeTable: fakeTable{entries: []ct.Entry{{Proto: "udp"}}}}
	p := newP(table)
	if p.Entries(); table.lists != 1 {
		t.Error("where nothing was sent, the table was not listed")
	}
	p.talk.heard([]wire.Packet{wire.UDP(a, b, "x"), wire.UDP(b, a, "y"), wire.UDP(a, b, "z"), {Data: []byte{0x45}}})
	if n := p.Held(); n != 1 || table.lists != 1 {
		t.Errorf("%d entries, %d lists, want 1 and 1", n, table.lists)
	}
	want := []wire.Tuple{{Proto: 17, Src: a, Dst: b}}
	if diff := cmp.Diff(want, table.tuples, cmpopts.EquateComparable(netip.AddrPort{})); diff != "" {
		t.Error(diff)
	}
	table.others = 2
	if n := p.Held(); n != 3 || table.lists != 2 {
		t.Errorf("%d entries, %d lists, want 3 and 2", n, table.lists)
	}
	p.Flush()
	if p.talk.worthAsking() {
		t.Error("of an empty table something is remembered")
	}
	for i := range uint16(mostTuples + 1) {
		p.talk.heard([]wire.Packet{wire.UDP(netip.AddrPortFrom(a.Addr(), i), b, "x")})
	}
	if p.talk.worthAsking() {
		t.Errorf("%d tuples are worth asking for", len(p.talk.tuples))
	}
}
