package ct

import (
	"encoding/binary"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ctmatrix/ctmatrix/guest/internal/nfnl"
)

// Stats are the statistics of a namespace, summed over its CPUs. Which CPU
// counted is no behaviour of conntrack's. What a kernel does not count is zero.
type Stats struct {
	Found, Invalid, Insert, InsertFailed, Drop, EarlyDrop, Error uint32
	SearchRestart, ClashResolve, ChainTooLong                    uint32
}

// counters are the statistics by their attribute, enum ctattr_stats_cpu of
// include/uapi/linux/netfilter/nfnetlink_conntrack.h, in the order in which they are
// written.
var counters = []struct {
	attr uint16
	name string
	of   func(*Stats) *uint32
}{
	{2, "found", func(s *Stats) *uint32 { return &s.Found }},
	{4, "invalid", func(s *Stats) *uint32 { return &s.Invalid }},
	{8, "insert", func(s *Stats) *uint32 { return &s.Insert }},
	{9, "insert_failed", func(s *Stats) *uint32 { return &s.InsertFailed }},
	{10, "drop", func(s *Stats) *uint32 { return &s.Drop }},
	{11, "early_drop", func(s *Stats) *uint32 { return &s.EarlyDrop }},
	{12, "error", func(s *Stats) *uint32 { return &s.Error }},
	{13, "search_restart", func(s *Stats) *uint32 { return &s.SearchRestart }},
	{14, "clash_resolve", func(s *Stats) *uint32 { return &s.ClashResolve }},
	{15, "chain_toolong", func(s *Stats) *uint32 { return &s.ChainTooLong }},
}

// Stats reads the statistics. It reads the attributes itself, since
// ti-mo/conntrack drops the newer ones.
func (t *Table) Stats() (Stats, error) {
	var sum Stats
	head := nfnl.Header{Kind: CtGetStatsCPU, Flags: unix.NLM_F_DUMP}
	err := t.ask(head, nil, func(m nfnl.Message) error { return sum.add(m.Attrs) })
	if err != nil {
		return Stats{}, fmt.Errorf("read conntrack statistics: %w", err)
	}
	return sum, nil
}

// add adds the attributes of one CPU.
func (s *Stats) add(attrs []byte) error {
	whole := nfnl.Attributes(attrs, func(number uint16, value []byte) {
		for _, c := range counters {
			if c.attr == number && len(value) == 4 {
				*c.of(s) += binary.BigEndian.Uint32(value)
			}
		}
	})
	if !whole {
		return fmt.Errorf("%d bytes are no attributes", len(attrs))
	}
	return nil
}

// Sub returns what s counted since before.
func (s Stats) Sub(before Stats) Stats {
	for _, c := range counters {
		*c.of(&s) -= *c.of(&before)
	}
	return s
}

// String names the statistics that are not zero, or is "none".
func (s Stats) String() string {
	var parts []string
	for _, c := range counters {
		if n := *c.of(&s); n != 0 {
			parts = append(parts, fmt.Sprintf("%s %d", c.name, n))
		}
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}
