// Package ct reads conntrack's table, statistics and events of one network
// namespace over netlink. It is the only user of ti-mo/conntrack.
//
// A Table belongs to the namespace of the thread that opened it and stays with
// it wherever it is used from. Nothing here is safe for concurrent use.
package ct

import (
	"cmp"
	"errors"
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

// Table is a connection to the conntrack table of a namespace.
type Table struct {
	conn *conntrack.Conn
	raw  *nfnl.Conn // for what ti-mo/conntrack leaves out
}

// dumpSize is how much of the table is read at once. The kernel makes room for as
// much, and clears it, however little there is to read (netlink_dump in
// net/netlink/af_netlink.c).
const dumpSize = 8 << 10

// Open connects to the table of the calling thread's namespace. The kernel
// needs nf_conntrack_netlink for it.
func Open() (*Table, error) {
	conn, err := conntrack.Dial(&netlink.Config{MessageBufferSize: dumpSize})
	if err != nil {
		return nil, fmt.Errorf("open conntrack netlink: %w", err)
	}
	raw, err := nfnl.Dial()
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return &Table{conn, raw.Short()}, nil
}

// Close closes the connection.
func (t *Table) Close() error { return errors.Join(t.conn.Close(), t.raw.Close()) }

// Flush empties the table.
func (t *Table) Flush() error {
	if err := t.conn.Flush(); err != nil {
		return fmt.Errorf("flush conntrack table: %w", err)
	}
	return nil
}

// Delete takes one entry out of the table.
func (t *Table) Delete(e Entry) error {
	if err := t.conn.Delete(conntrack.Flow{TupleOrig: e.flow.TupleOrig, TupleReply: e.flow.TupleReply, Zone: e.flow.Zone}); err != nil {
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

	flow conntrack.Flow // as it was read, to name the entry to the kernel
}

// Counter is what a direction of a connection carried, from the IP header on.
type Counter struct{ Packets, Bytes uint64 }

// SetTCPState changes the state of a TCP entry to that of a number. It asks the
// kernel as it is: a state that there is none of is the kernel's to refuse.
func (t *Table) SetTCPState(e Entry, state uint8) error {
	err := t.conn.Update(conntrack.Flow{
		TupleOrig: e.flow.TupleOrig, TupleReply: e.flow.TupleReply,
		ProtoInfo: conntrack.ProtoInfo{TCP: &conntrack.ProtoInfoTCP{State: state}},
	})
	if err != nil {
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
	{conntrack.StatusFixedTimeout, "fixed-timeout"},
	{conntrack.StatusHelper, "helper"},
	{conntrack.StatusOffload, "offload"},
}

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
	flows, err := t.conn.Dump(nil)
	if err != nil {
		return nil, fmt.Errorf("dump conntrack table: %w", err)
	}
	// What is sorted is small: an entry is some hundred bytes.
	order := make([]*conntrack.Flow, len(flows))
	for i := range flows {
		order[i] = &flows[i]
	}
	slices.SortFunc(order, func(a, b *conntrack.Flow) int {
		x, y := &a.TupleOrig, &b.TupleOrig
		if x.Proto.Protocol != y.Proto.Protocol {
			return strings.Compare(protocol(x.Proto.Protocol), protocol(y.Proto.Protocol))
		}
		return cmp.Or(
			x.IP.SourceAddress.Compare(y.IP.SourceAddress), cmp.Compare(x.Proto.SourcePort, y.Proto.SourcePort),
			x.IP.DestinationAddress.Compare(y.IP.DestinationAddress), cmp.Compare(x.Proto.DestinationPort, y.Proto.DestinationPort),
		)
	})
	entries := make([]Entry, len(flows))
	for i, f := range order {
		entries[i] = entry(*f)
	}
	return entries, nil
}

// Count is how many entries Entries would list, and cheaper: it reads none of them.
func (t *Table) Count() (int, error) {
	n := 0
	err := t.raw.Send(nfnl.Request(nfnl.Header{Kind: CtGet, Flags: unix.NLM_F_DUMP}, nil))
	if err == nil {
		err = t.raw.Answers(func(nfnl.Message) error { n++; return nil })
	}
	if err != nil {
		return 0, fmt.Errorf("count the entries of the conntrack table: %w", err)
	}
	return n, nil
}

func entry(f conntrack.Flow) Entry {
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
		flow: f,
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
