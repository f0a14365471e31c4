// Package ct reads conntrack's table, statistics and events of one network
// namespace over netlink. It is the only user of ti-mo/conntrack.
//
// A Table belongs to the namespace of the thread that opened it and stays with
// it wherever it is used from. Nothing here is safe for concurrent use.
package ct

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/mdlayher/netlink"
	"github.com/ti-mo/conntrack"
	"golang.org/x/sys/unix"

	"github.com/ctmatrix/ctmatrix/guest/internal/nfnl"
)

// Table is a connection to the conntrack table of a namespace. It asks the kernel
// itself, and leaves only what entries say to ti-mo/conntrack: to open a connection of
// that library takes longer than to list a table.
type Table struct{ conn *nfnl.Conn }

// Open connects to the table of the calling thread's namespace. The kernel
// needs nf_conntrack_netlink for it.
func Open() (*Table, error) {
	conn, err := nfnl.Dial()
	if err != nil {
		return nil, err
	}
	return &Table{conn.Short()}, nil
}

// Close closes the connection.
func (t *Table) Close() error { return t.conn.Close() }

// ask sends a request and calls each with the answers, up to the end of the list that it
// asks for or the acknowledgement.
func (t *Table) ask(h nfnl.Header, attrs []byte, each func(nfnl.Message) error) error {
	if err := t.conn.Send(nfnl.Request(h, attrs)); err != nil {
		return err
	}
	return t.conn.Answers(each)
}

// list asks for a list and calls each with the attributes of its messages, which stay,
// and what they say. What they are is given, since lists of expectations call themselves
// otherwise.
func (t *Table) list(request, answer uint16, each func([]byte, conntrack.Event)) error {
	return t.ask(nfnl.Header{Kind: request, Flags: unix.NLM_F_DUMP}, nil, func(m nfnl.Message) error {
		attrs, said, err := decoded(m, answer)
		if err == nil {
			each(attrs, said)
		}
		return err
	})
}

// decoded is a copy of a message's attributes, and what they say.
func decoded(m nfnl.Message, kind uint16) (attrs []byte, said conntrack.Event, err error) {
	message := append([]byte{m.Family, unix.NFNETLINK_V0, 0, 0}, m.Attrs...)
	err = said.Unmarshal(netlink.Message{Header: netlink.Header{Type: netlink.HeaderType(kind)}, Data: message})
	return message[4:], said, err
}

// command has something done, which the kernel acknowledges.
func (t *Table) command(kind uint16, family byte, attrs ...netlink.Attribute) error {
	body, err := netlink.MarshalAttributes(attrs)
	if err != nil {
		return fmt.Errorf("encode request: %w", err)
	}
	head := nfnl.Header{Kind: kind, Flags: unix.NLM_F_ACK, Family: family}
	return t.ask(head, body, func(nfnl.Message) error { return nil })
}

// Flush empties the table.
func (t *Table) Flush() error {
	if err := t.command(CtDelete, unix.AF_UNSPEC); err != nil {
		return fmt.Errorf("flush conntrack table: %w", err)
	}
	return nil
}

// The numbers of enum ctattr_type that name an entry, or are changed.
const (
	tupleOrig  = 1
	tupleReply = 2
	protoInfo  = 4
	inZone     = 18 // which a kernel without zones refuses
)

// naming is what names an entry to the kernel: the tuples as it told them.
func (e Entry) naming() []netlink.Attribute {
	return []netlink.Attribute{
		{Type: unix.NLA_F_NESTED | tupleOrig, Data: e.tuples[0]}, {Type: unix.NLA_F_NESTED | tupleReply, Data: e.tuples[1]},
	}
}

// Delete takes one entry out of the table.
func (t *Table) Delete(e Entry) error {
	attrs := e.naming()
	if e.Zone != 0 {
		attrs = append(attrs, netlink.Attribute{Type: inZone, Data: binary.BigEndian.AppendUint16(nil, e.Zone)})
	}
	if err := t.command(CtDelete, familyOf(e.Orig.Src.Addr()), attrs...); err != nil {
		return fmt.Errorf("delete conntrack entry %s: %w", e.Orig, err)
	}
	return nil
}

// Entry is one confirmed connection.
type Entry struct {
	Proto   string // "tcp", "udp", "icmp", or the number
	Orig    Tuple
	Reply   Tuple
	State   string // of TCP, SCTP and DCCP, by the name /proc/net/nf_conntrack gives it; else ""
	Flags   []string
	Seconds uint32   // left to live, rounded down by the kernel
	Scales  [2]uint8 // window scales of the original and the reply direction, of TCP only

	Mark  uint32
	Label []byte // bits; nil where the entry has none
	// Zone is that of both directions; where a zone is of one direction only, it
	// is in Zones, of the original and the reply direction.
	Zone  uint16
	Zones [2]uint16

	// Counters of the original and the reply direction; zero where accounting
	// is off. Timestamps are zero where they are off.
	Counters    [2]Counter
	Start, Stop time.Time

	tuples [2][]byte // as the kernel told them, of the original and the reply direction
}

// Counter is what a direction of a connection carried, from the IP header on.
type Counter struct{ Packets, Bytes uint64 }

// SetTCPState changes the state of a TCP entry to that of a number. It asks the
// kernel as it is: a state that there is none of is the kernel's to refuse.
func (t *Table) SetTCPState(e Entry, state uint8) error {
	// CTA_PROTOINFO_TCP with a state and the scales of both windows.
	tcp, err := netlink.MarshalAttributes([]netlink.Attribute{{Type: 1, Data: []byte{state}}, {Type: 2, Data: []byte{0}}, {Type: 3, Data: []byte{0}}})
	if err != nil {
		return fmt.Errorf("encode request: %w", err)
	}
	info, err := netlink.MarshalAttributes([]netlink.Attribute{{Type: unix.NLA_F_NESTED | 1, Data: tcp}})
	if err != nil {
		return fmt.Errorf("encode request: %w", err)
	}
	attrs := append(e.naming(), netlink.Attribute{Type: unix.NLA_F_NESTED | protoInfo, Data: info})
	if err := t.command(CtNew, familyOf(e.Orig.Src.Addr()), attrs...); err != nil {
		return fmt.Errorf("set state %d: %w", state, err)
	}
	return nil
}

// Tuple is one direction of a connection.
type Tuple struct{ Src, Dst netip.AddrPort }

// String has the canonical form of a row of kind tuple.
func (t Tuple) String() string { return t.Src.String() + " -> " + t.Dst.String() }

// String has the canonical form of a row of kind entry: the state, if the
// protocol has one, and the status bits that describe the connection.
func (e Entry) String() string {
	words := []string{e.Proto}
	if e.State != "" {
		words = append(words, e.State)
	}
	return strings.Join(append(words, e.Flags...), " ")
}

// tcpStates are the names of enum tcp_conntrack as tcp_conntrack_names in
// net/netfilter/nf_conntrack_proto_tcp.c prints them.
var tcpStates = []string{
	"NONE", "SYN_SENT", "SYN_RECV", "ESTABLISHED", "FIN_WAIT", "CLOSE_WAIT",
	"LAST_ACK", "TIME_WAIT", "CLOSE", "SYN_SENT2",
}

// sctpStates are the names of enum sctp_conntrack as in
// net/netfilter/nf_conntrack_proto_sctp.c. Kernels without HEARTBEAT_ACKED end
// before it.
var sctpStates = []string{
	"NONE", "CLOSED", "COOKIE_WAIT", "COOKIE_ECHOED", "ESTABLISHED", "SHUTDOWN_SENT",
	"SHUTDOWN_RECD", "SHUTDOWN_ACK_SENT", "HEARTBEAT_SENT", "HEARTBEAT_ACKED",
}

// dccpStates are the names of enum ct_dccp_states as in
// net/netfilter/nf_conntrack_proto_dccp.c.
var dccpStates = []string{
	"NONE", "REQUEST", "RESPOND", "PARTOPEN", "OPEN", "CLOSEREQ", "CLOSING", "TIMEWAIT", "IGNORE", "INVALID",
}

// statusBits are the bits of enum ip_conntrack_status that tell connections
// apart, in the order they are printed. IPS_CONFIRMED is left out: every entry
// of the table has it.
var statusBits = []struct {
	bit  conntrack.Status
	name string
}{
	{conntrack.StatusExpected, "expected"},
	{conntrack.StatusAssured, "assured"},
	{conntrack.StatusSrcNAT, "snat"},
	{conntrack.StatusDstNAT, "dnat"},
	{conntrack.StatusFixedTimeout, fixedTimeout},
	{conntrack.StatusHelper, "helper"},
	{conntrack.StatusOffload, "offload"},
}

const fixedTimeout = "fixed-timeout"

func flags(s conntrack.Status) []string {
	var out []string
	if s&conntrack.StatusSeenReply == 0 {
		out = append(out, "unreplied")
	}
	for _, b := range statusBits {
		if s&b.bit != 0 {
			out = append(out, b.name)
		}
	}
	return out
}

var protocols = map[uint8]string{
	unix.IPPROTO_TCP: "tcp", unix.IPPROTO_UDP: "udp", unix.IPPROTO_ICMP: "icmp", unix.IPPROTO_ICMPV6: "icmpv6",
	unix.IPPROTO_SCTP: "sctp", unix.IPPROTO_DCCP: "dccp", unix.IPPROTO_GRE: "gre", unix.IPPROTO_UDPLITE: "udplite",
}

func protocol(n uint8) string {
	if name, ok := protocols[n]; ok {
		return name
	}
	return fmt.Sprint(n)
}

// Entries lists the table, sorted by original tuple, since the kernel's own
// order is that of its seeded hash.
func (t *Table) Entries() ([]Entry, error) {
	var entries []Entry
	err := t.list(CtGet, CtNew, func(attrs []byte, said conntrack.Event) {
		entries = append(entries, named(attrs, said))
	})
	if err != nil {
		return nil, fmt.Errorf("dump conntrack table: %w", err)
	}
	return inOrder(entries), nil
}

// named is an entry that can be named to the kernel.
func named(attrs []byte, said conntrack.Event) Entry {
	e := entry(said.Flow)
	e.tuples = [2][]byte{nfnl.Attr(attrs, tupleOrig), nfnl.Attr(attrs, tupleReply)}
	return e
}

// inOrder sorts entries by their original tuples.
func inOrder(entries []Entry) []Entry {
	// What is sorted is small: an entry is some hundred bytes.
	order := make([]*Entry, len(entries))
	for i := range entries {
		order[i] = &entries[i]
	}
	slices.SortFunc(order, func(a, b *Entry) int {
		if c := strings.Compare(a.Proto, b.Proto); c != 0 {
			return c
		}
		if c := a.Orig.Src.Compare(b.Orig.Src); c != 0 {
			return c
		}
		return a.Orig.Dst.Compare(b.Orig.Dst)
	})
	sorted := make([]Entry, len(entries))
	for i, e := range order {
		sorted[i] = *e
	}
	return sorted
}

// Count is how many entries Entries would list, and cheaper: it reads none of them.
func (t *Table) Count() (int, error) {
	n := 0
	err := t.ask(nfnl.Header{Kind: CtGet, Flags: unix.NLM_F_DUMP}, nil, func(nfnl.Message) error { n++; return nil })
	if err != nil {
		return 0, fmt.Errorf("count the entries of the conntrack table: %w", err)
	}
	return n, nil
}

func entry(f *conntrack.Flow) Entry {
	e := Entry{
		Proto: protocol(f.TupleOrig.Proto.Protocol),
		Orig:  tuple(f.TupleOrig), Reply: tuple(f.TupleReply),
		Flags: flags(f.Status), Seconds: f.Timeout,
		Counters: [2]Counter{
			{f.CountersOrig.Packets, f.CountersOrig.Bytes},
			{f.CountersReply.Packets, f.CountersReply.Bytes},
		},
		Mark: f.Mark, Label: f.Labels, Zone: f.Zone, Zones: [2]uint16{f.TupleOrig.Zone, f.TupleReply.Zone},
		Start: f.Timestamp.Start, Stop: f.Timestamp.Stop,
	}
	switch info := f.ProtoInfo; {
	case info.TCP != nil:
		e.State = state(info.TCP.State, tcpStates)
		e.Scales = [2]uint8{info.TCP.OriginalWindowScale, info.TCP.ReplyWindowScale}
	case info.SCTP != nil:
		e.State = state(info.SCTP.State, sctpStates)
	case info.DCCP != nil:
		e.State = state(info.DCCP.State, dccpStates)
	}
	return e
}

// state is the name of a state, or its number where it has none.
func state(n uint8, names []string) string {
	if int(n) < len(names) {
		return names[n]
	}
	return fmt.Sprintf("state-%d", n)
}

func tuple(t conntrack.Tuple) Tuple {
	return Tuple{
		Src: netip.AddrPortFrom(t.IP.SourceAddress, t.Proto.SourcePort),
		Dst: netip.AddrPortFrom(t.IP.DestinationAddress, t.Proto.DestinationPort),
	}
}
