package lab

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// nfnetlink asks netfilter's subsystems for lists. It is as small as that is,
// since it is used many times between any two probes.
type nfnetlink struct {
	fd  int
	buf []byte
}

// dialNfnetlink connects to the subsystems of the calling thread's namespace.
func dialNfnetlink() (*nfnetlink, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, fmt.Errorf("open netfilter netlink: %w", err)
	}
	if err := unix.Connect(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("open netfilter netlink: %w", err)
	}
	// The kernel answers before the request returns, so that a wait for an
	// answer means that something is wrong.
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 5}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("open netfilter netlink: %w", err)
	}
	return &nfnetlink{fd: fd, buf: make([]byte, 1<<15)}, nil
}

func (c *nfnetlink) close() error { return unix.Close(c.fd) }

// nfgenmsgLen is the size of struct nfgenmsg, which every message begins with.
const nfgenmsgLen = 4

// request sends a message without attributes and calls each with the payloads
// of the answers: the family and the attributes.
func (c *nfnetlink) request(kind uint16, flags uint16, attrs []byte, each func(family byte, attrs []byte)) error {
	msg := make([]byte, unix.SizeofNlMsghdr+nfgenmsgLen, unix.SizeofNlMsghdr+nfgenmsgLen+len(attrs))
	msg = append(msg, attrs...)
	binary.NativeEndian.PutUint32(msg, uint32(len(msg)))
	binary.NativeEndian.PutUint16(msg[4:], kind)
	binary.NativeEndian.PutUint16(msg[6:], unix.NLM_F_REQUEST|flags)
	if _, err := unix.Write(c.fd, msg); err != nil {
		return err
	}
	for {
		n, err := unix.Read(c.fd, c.buf)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		done, err := answers(c.buf[:n], each)
		if done || err != nil {
			return err
		}
	}
}

// answers takes one datagram apart. It is done at the end of a list and at an
// acknowledgement.
func answers(b []byte, each func(family byte, attrs []byte)) (done bool, err error) {
	for len(b) >= unix.SizeofNlMsghdr {
		size := int(binary.NativeEndian.Uint32(b))
		if size < unix.SizeofNlMsghdr || size > len(b) {
			return true, fmt.Errorf("netlink message claims %d of %d bytes", size, len(b))
		}
		body := b[unix.SizeofNlMsghdr:size]
		switch kind := binary.NativeEndian.Uint16(b[4:]); {
		case kind == unix.NLMSG_DONE:
			return true, nil
		case kind == unix.NLMSG_ERROR && len(body) >= 4:
			if errno := -int32(binary.NativeEndian.Uint32(body)); errno != 0 {
				return true, unix.Errno(errno)
			}
			return true, nil
		case len(body) >= nfgenmsgLen:
			each(body[0], body[nfgenmsgLen:])
		}
		b = b[min((size+3)&^3, len(b)):]
	}
	return false, nil
}

// attrType is what of an attribute's type is not a flag: NLA_TYPE_MASK of
// include/uapi/linux/netlink.h.
const attrType = 1<<14 - 1

// attr returns the payload of the first attribute of a type.
func attr(b []byte, want uint16) []byte {
	const header = 4
	for len(b) >= header {
		size := int(binary.NativeEndian.Uint16(b))
		if size < header || size > len(b) {
			return nil
		}
		if binary.NativeEndian.Uint16(b[2:])&attrType == want {
			return b[header:size]
		}
		b = b[min((size+3)&^3, len(b)):]
	}
	return nil
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
	err := c.request(ctStats, unix.NLM_F_ACK, nil, func(_ byte, attrs []byte) {
		if n := attr(attrs, global); len(n) == 4 {
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
	if err := c.request(expGet, unix.NLM_F_DUMP, nil, func(byte, []byte) { expectations++ }); err != nil {
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
	err := c.request(tableGet, unix.NLM_F_DUMP, nil, func(family byte, attrs []byte) {
		name := families[family] + " " + text(attr(attrs, unix.NFTA_TABLE_NAME))
		s.add(KindNFTable, Fact{Name: name, Value: fmt.Sprintf("%x", attr(attrs, unix.NFTA_TABLE_USE)), thing: family})
	})
	if err != nil {
		return fmt.Errorf("list nf_tables: %w", err)
	}
	s.sorted(KindNFTable)
	return nil
}
