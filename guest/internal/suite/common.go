package suite

import (
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/ctmatrix/ctmatrix/guest/internal/ct"
	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/internal/probe"
	"github.com/ctmatrix/ctmatrix/guest/internal/wire"
)

// The names of flags, so that bodies read as conversations.
const (
	SYN = wire.SYN
	ACK = wire.ACK
	RST = wire.RST
)

// firstPort is the source port of the first client of an experiment.
const firstPort = 10000

// tales is where the founding experiments were first written up.
const tales = `"Conntrack tales - one thousand and one flows" (2020)`

// web is the port of the box that experiments talk to; other is one that
// nothing listens on.
var (
	web    = netip.AddrPortFrom(lab.Server, 80)
	client = netip.MustParseAddr("198.18.0.2")
	server = netip.MustParseAddr("198.19.0.2") // behind the far link
)

// flows makes n connections from the client, source ports from first upwards.
func flows(n int, first uint16, to netip.AddrPort) []*wire.Flow {
	fs := make([]*wire.Flow, n)
	for i := range fs {
		fs[i] = wire.TCP(netip.AddrPortFrom(client, first+uint16(i)), to)
	}
	return fs
}

// origs makes the next packet of each flow in the original direction.
func origs(fs []*wire.Flow, flags wire.Flags, opts ...wire.Option) []wire.Packet {
	return wire.Origs(fs, flags, opts...)
}

// tenSYNs is the founding experiment's traffic.
func tenSYNs() []wire.Packet { return origs(flows(10, firstPort, web), SYN) }

// silence keeps the box from answering, so that entries stay as the client's
// packets left them; what it would have said is counted as "replies".
var silence = lab.On(lab.RawOutput, lab.Out(lab.NearName), lab.Proto("tcp"), lab.Sport(80), lab.Meter("replies"), lab.Drop)

// Limits of the table. A full table looks for a victim in eight hash buckets
// from that of a new tuple on (early_drop in nf_conntrack_core.c), and which
// tuples lie there follows from a seed drawn at boot: with buckets in plenty
// there is hardly any in reach. With a limit of 100 or more the collector evicts,
// too, once a newcomer was dropped and the table is at 95 % (gc_worker): when it
// comes by is a matter of its phase. Below 100 it does not, since its threshold,
// max / 100 * 95 in whole numbers, is 0.
const (
	maxSysctl     = "net.netfilter.nf_conntrack_max"
	bucketsSysctl = "net.netfilter.nf_conntrack_buckets"
	looseSysctl   = "net.netfilter.nf_conntrack_tcp_loose"
	cookiesSysctl = "net.ipv4.tcp_syncookies"
)

// roomy spreads entries over so many buckets that they do not meet.
var roomy = probe.Sysctl{Name: bucketsSysctl, Value: "262144"}

// limit bounds the table, without luck in what a full one does.
func limit(n int) []probe.Sysctl {
	return []probe.Sysctl{roomy, {Name: maxSysctl, Value: fmt.Sprint(n)}}
}

// passage records how many packets came in, before and after tracking, and what
// class they had.
func passage(p *probe.P, subject string) {
	m := p.Meters()
	p.Count(subject, "raw", int(m["raw"]))
	p.Count(subject, "mangle", int(m["mangle"]))
	p.Class(subject)
}

// tableOf records the entries of a subject and how many there are.
func tableOf(p *probe.P, subject string, entries []ct.Entry) {
	p.Count(subject, "entries", len(entries))
	p.Entry(subject, entries)
}

// drops records what a full table did to newcomers.
func drops(p *probe.P) {
	s := p.Stats()
	p.Delta("table", "drop", s.Drop)
	p.Delta("table", "early_drop", s.EarlyDrop)
	p.Delta("table", "insert_failed", s.InsertFailed)
	p.Count("log", "table-full", p.LogLines("table full"))
}

// undisturbed asks a question that the seeded hash may spoil: it asks again
// with other ports while the statistics say that an entry was evicted because
// it lay near a newcomer.
//
// Each of the three SYNs that a table of seven has no room for looks at 8 of
// 262144 buckets for one of 14 tuples, two for an entry: one time in 780 one of
// them finds a victim. Other ports are other buckets, so that three attempts in a
// row are spoilt one time in 5e8, and that many boots it takes until a row
// flickers. What this cannot see is a kernel that evicts sometimes, at 20 times
// the rate or less: table-full/flood counts evictions and would tell. A kernel
// that always evicts is recorded as it is, by the third attempt.
func undisturbed(p *probe.P, ask func(first uint16)) {
	for _, first := range []uint16{firstPort, 20000, 30000} {
		p.Flush()
		p.Mark()
		ask(first)
		if p.Stats().EarlyDrop == 0 {
			return
		}
	}
}

// establish takes flows through a real handshake with the box's listener, which
// makes their entries assured.
func establish(p *probe.P, fs []*wire.Flow) {
	out := p.Through(origs(fs, SYN)...)
	answers := map[netip.AddrPort]wire.Seen{}
	for _, s := range out {
		answers[s.Dst] = s
	}
	var acks []wire.Packet
	for _, f := range fs {
		answer, ok := answers[f.OrigAddr()]
		if !ok || answer.Flags != SYN|ACK {
			p.Broken("no SYN+ACK for %s", f.OrigAddr())
		}
		f.HeardReply(answer)
		acks = append(acks, f.Orig(ACK))
	}
	p.Through(acks...)
}

// fill fills the table with n assured entries, which nothing evicts, and sets
// the limit to what is then there.
func fill(p *probe.P, n int) []*wire.Flow {
	fs := flows(n, 40000, web)
	establish(p, fs)
	entries := p.Entries()
	if len(entries) != n {
		p.Broken("%d entries after %d handshakes", len(entries), n)
	}
	p.Set(maxSysctl, fmt.Sprint(n))
	return fs
}

// listen opens a listening socket in the box for the rest of the probe.
func listen(p *probe.P) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	p.Must(err)
	p.Cleanup(func() error { return unix.Close(fd) })
	p.Must(unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1))
	p.Must(unix.Bind(fd, &unix.SockaddrInet4{Port: int(web.Port()), Addr: web.Addr().As4()}))
	p.Must(unix.Listen(fd, 1024))
}
