package lab

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/ctmatrix/ctmatrix/guest/internal/nfnl"
)

// nfnetlink asks netfilter's subsystems for lists. It is as small as that is,
// since it is used many times between any two probes.
type nfnetlink struct{ *nfnl.Conn }

// dialNfnetlink connects to the subsystems of the calling thread's namespace.
func dialNfnetlink() (*nfnetlink, error) {
	conn, err := nfnl.Dial()
	if err != nil {
		return nil, err
	}
	return &nfnetlink{conn.Short()}, nil
}

// request sends a message and calls each, if there is one, with the answers.
func (c *nfnetlink) request(kind uint16, flags uint16, attrs []byte, each func(nfnl.Message)) error {
	if err := c.Send(nfnl.Request(nfnl.Header{Kind: kind, Flags: flags}, attrs)); err != nil {
		return err
	}
	return c.Answers(func(m nfnl.Message) error {
		if each != nil {
			each(m)
		}
		return nil
	})
}

// stringAttr makes an attribute that is a string.
func stringAttr(kind uint16, value string) []byte {
	b := binary.NativeEndian.AppendUint16(nil, uint16(4+len(value)+1))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = append(append(b, value...), 0)
	return append(b, make([]byte, -len(b)&3)...)
}

// text is an attribute that is a string.
func text(b []byte) string { return unix.ByteSliceToString(b) }

// The messages of include/uapi/linux/netfilter/nfnetlink*.h that are used here:
// a subsystem in the upper byte, a message in the lower.
const (
	ctDelete     = unix.NFNL_SUBSYS_CTNETLINK<<8 | 2         // IPCTNL_MSG_CT_DELETE
	ctStats      = unix.NFNL_SUBSYS_CTNETLINK<<8 | 5         // IPCTNL_MSG_CT_GET_STATS
	expGet       = unix.NFNL_SUBSYS_CTNETLINK_EXP<<8 | 1     // IPCTNL_MSG_EXP_GET
	expDelete    = unix.NFNL_SUBSYS_CTNETLINK_EXP<<8 | 2     // IPCTNL_MSG_EXP_DELETE
	tableGet     = unix.NFNL_SUBSYS_NFTABLES<<8 | 1          // NFT_MSG_GETTABLE
	policyGet    = unix.NFNL_SUBSYS_CTNETLINK_TIMEOUT<<8 | 1 // IPCTNL_MSG_TIMEOUT_GET
	policyDelete = unix.NFNL_SUBSYS_CTNETLINK_TIMEOUT<<8 | 2 // IPCTNL_MSG_TIMEOUT_DELETE
	helperGet    = unix.NFNL_SUBSYS_CTHELPER<<8 | 1          // NFNL_MSG_CTHELPER_GET
	helperDelete = unix.NFNL_SUBSYS_CTHELPER<<8 | 2          // NFNL_MSG_CTHELPER_DEL
)

// readTracking counts entries and expectations. The count of entries includes
// what is in no dump, because it is not yet confirmed or already dying.
func (c *nfnetlink) readTracking(s *State) error {
	const global = 1 // CTA_STATS_GLOBAL_ENTRIES
	entries := 0
	err := c.request(ctStats, unix.NLM_F_ACK, nil, func(m nfnl.Message) {
		if n := nfnl.Attr(m.Attrs, global); len(n) == 4 {
			entries = int(binary.BigEndian.Uint32(n))
		}
	})
	if errors.Is(err, unix.EINVAL) {
		return nil // nf_conntrack_netlink is not loaded
	}
	if err != nil {
		return fmt.Errorf("count conntrack entries: %w", err)
	}
	s.count(KindEntries, entries, "conntrack entries")
	return c.readExpectations(s)
}

func (c *nfnetlink) readExpectations(s *State) error {
	expectations := 0
	if err := c.request(expGet, unix.NLM_F_DUMP, nil, func(nfnl.Message) { expectations++ }); err != nil {
		return fmt.Errorf("list expectations: %w", err)
	}
	s.count(KindExpectations, expectations, "expectations")
	return nil
}

// families are the names nft has for NFPROTO_*.
var families = map[byte]string{
	unix.NFPROTO_INET: "inet", unix.NFPROTO_IPV4: "ip", unix.NFPROTO_ARP: "arp",
	unix.NFPROTO_NETDEV: "netdev", unix.NFPROTO_BRIDGE: "bridge", unix.NFPROTO_IPV6: "ip6",
}

// readTables lists the tables of nf_tables, and of each how many chains, sets
// and objects it has.
func (c *nfnetlink) readTables(s *State) error {
	err := c.request(tableGet, unix.NLM_F_DUMP, nil, func(m nfnl.Message) {
		name := families[m.Family] + " " + text(nfnl.Attr(m.Attrs, unix.NFTA_TABLE_NAME))
		s.add(KindNFTable, Fact{Name: name, Value: fmt.Sprintf("%x", nfnl.Attr(m.Attrs, unix.NFTA_TABLE_USE)), thing: m.Family})
	})
	if err != nil {
		return fmt.Errorf("list nf_tables: %w", err)
	}
	s.sorted(KindNFTable)
	return nil
}
