package ct

import (
	"fmt"
	"strings"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Stats are the statistics of a namespace, summed over its CPUs. Which CPU
// counted is no behaviour of conntrack's. What a kernel does not count is zero.
type Stats struct {
	Found, Invalid, Insert, InsertFailed, Drop, EarlyDrop, Error uint32
	SearchRestart, ClashResolve, ChainTooLong                    uint32
}

// getStatsCPU is IPCTNL_MSG_CT_GET_STATS_CPU of enum cntl_msg_types in
// include/uapi/linux/netfilter/nfnetlink_conntrack.h.
const getStatsCPU = 4

// counters are the statistics by their attribute, enum ctattr_stats_cpu of the
// same header, in the order in which they are written.
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
	answers, err := t.raw.Execute(netlink.Message{
		Header: netlink.Header{Type: unix.NFNL_SUBSYS_CTNETLINK<<8 | getStatsCPU, Flags: netlink.Request | netlink.Dump},
		Data:   make([]byte, 4), // struct nfgenmsg
	})
	if err != nil {
		return Stats{}, fmt.Errorf("read conntrack statistics: %w", err)
	}
	var sum Stats
	for _, a := range answers {
		if err := sum.add(a.Data); err != nil {
			return Stats{}, fmt.Errorf("understand conntrack statistics: %w", err)
		}
	}
	return sum, nil
}

// add adds a message of one CPU.
func (s *Stats) add(message []byte) error {
	if len(message) < 4 {
		return fmt.Errorf("message of %d bytes", len(message))
	}
	ad, err := netlink.NewAttributeDecoder(message[4:])
	if err != nil {
		return err
	}
	for ad.Next() {
		for _, c := range counters {
			if c.attr == ad.Type() && len(ad.Bytes()) == 4 {
				b := ad.Bytes()
				*c.of(s) += uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
			}
		}
	}
	return ad.Err()
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
