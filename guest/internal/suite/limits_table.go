package suite

import (
	"net/netip"

	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/internal/probe"
	"github.com/ctmatrix/ctmatrix/guest/internal/wire"
)

const resizeSource = "nf_conntrack_hash_resize in nf_conntrack_core.c; nf_conntrack_hash_sysctl in nf_conntrack_standalone.c"

// tableLimits ask about the table itself. What the seed of the hash decides, which
// entries meet, is asked where it does not matter.
var tableLimits = []probe.Probe{
	{
		Name:     "limits/resize",
		Question: "Are entries kept, found and listed when the table is resized, up and down?",
		Source:   resizeSource + "; selftest conntrack_resize.sh",
		Path:     lab.Forward,
		Only:     probe.Initial,
		Sysctls:  []probe.Sysctl{{Name: bucketsSysctl, Value: "512"}},
		Run: func(p *probe.P) {
			fs := forwardFlows(300)
			shake(p, fs)
			for _, size := range []struct{ subject, buckets string }{{"same", "512"}, {"up", "4096"}, {"down", "1024"}} {
				p.Set(bucketsSysctl, size.buckets)
				p.Mark()
				p.Count(size.subject, "listed", p.Listed())
				p.Text(size.subject, "counted", read(p, "net.netfilter.nf_conntrack_count"))
				p.Forth(origs(fs, ACK)...)
				p.Class(size.subject)
			}
		},
	},
	{
		Name:     "limits/buckets-written",
		Question: "How many buckets are there after a number was written, and does the limit of entries follow?",
		Source:   resizeSource + "; nf_ct_alloc_hashtable: whole pages",
		Only:     probe.Initial,
		Sysctls:  []probe.Sysctl{{Name: maxSysctl, Value: "1000"}, {Name: bucketsSysctl, Value: "4096"}},
		Run: func(p *probe.P) {
			for _, c := range []struct{ subject, value string }{
				{"one", "1"}, {"page-less-one", "511"}, {"page", "512"}, {"page-and-one", "513"}, {"many", "100000"},
				{"zero", "0"}, {"negative", "-1"}, {"no-number", "many"}, {"empty", ""}, {"two-numbers", "512 1024"},
			} {
				p.Set(bucketsSysctl, "4096")
				p.Errno(c.subject, lab.WriteSysctl(bucketsSysctl, c.value))
				p.Text(c.subject, "buckets", read(p, bucketsSysctl))
			}
			p.Text("max", "value", read(p, maxSysctl))
		},
	},
	{
		Name:     "limits/one",
		Question: "Is a limit of one a limit of one?",
		Source:   fullSource,
		Path:     lab.Forward,
		Only:     probe.Initial,
		Sysctls:  []probe.Sysctl{roomy},
		Run: func(p *probe.P) {
			established(p) // assured: no victim
			p.Set(maxSysctl, "1")
			step(p, "second", newcomer().Orig(SYN))
			outcome(p, "first", tcpFlow().Orig(ACK, wire.Seq(wire.OrigISN+1), wire.Ack(wire.ReplyISN+1)))
			moved(p)
		},
	},
	{
		Name:     "limits/lowered",
		Question: "What becomes of the entries that are there when the limit is set below their number, and of newcomers, until enough have ended?",
		Source:   fullSource,
		Path:     lab.Forward,
		Only:     probe.Initial,
		Sysctls:  []probe.Sysctl{roomy},
		Run: func(p *probe.P) {
			fs := forwardFlows(10)
			shake(p, fs)
			p.Set(maxSysctl, "7")
			p.Count("lowered", "entries", p.Held())
			p.Mark()
			p.Forth(origs(fs, ACK)...)
			p.Class("old")
			for _, left := range []struct {
				subject string
				n       int
			}{{"eight", 8}, {"seven", 7}, {"six", 6}} {
				for entries := p.Entries(); len(entries) > left.n; entries = p.Entries() {
					p.Delete(entries[0])
				}
				p.Mark()
				p.Fate("newcomer-to-"+left.subject, p.Forth(newcomer().Orig(SYN)))
				p.Delta("newcomer-to-"+left.subject, "drop", p.Stats().Drop)
			}
		},
	},
	{
		Name:     "limits/chain",
		Question: "Is an entry refused whose bucket is too long, and does the packet die?",
		Source:   "__nf_conntrack_confirm in nf_conntrack_core.c: MIN_CHAINLEN and MAX_CHAINLEN (commit d7e7747ac5c2)",
		Path:     lab.Forward,
		Only:     probe.Initial,
		Sysctls:  []probe.Sysctl{{Name: bucketsSysctl, Value: "512"}, {Name: maxSysctl, Value: "100000"}},
		Run: func(p *probe.P) {
			// Twelve thousand entries put 47 tuples into each of 512 buckets on
			// average, and 60 into some whatever the seed: kernels that bound a
			// chain do so between 50 and 81. How many are refused is luck.
			const many = 12_000
			passed := 0
			for block := range 6 {
				from := netip.AddrFrom4([4]byte{198, 18, 1, byte(block)})
				first := wire.UDP(netip.AddrPortFrom(from, firstPort), udpServer, "x")
				var pkts []wire.Packet
				for i := range uint16(many / 6) {
					pkts = append(pkts, first.FromPort(firstPort+i))
				}
				passed += len(p.Forth(pkts...))
			}
			s := p.Stats()
			p.Flag("table", "refuses", s.ChainTooLong > 0)
			p.Flag("packets", "die", passed < many)
			p.Flag("packets", "counted", passed+int(s.ChainTooLong) == many)
			p.Flag("entries", "those-that-passed", p.Counted() == passed)
			p.Delta("table", "drop", s.Drop)
		},
	},
	{
		Name:     "limits/expectations",
		Question: "How many expectations are allowed by default for the buckets there are?",
		Source:   "nf_conntrack_expect_init in nf_conntrack_expect.c: a bucket for 256 of the table's, four expectations each",
		Only:     probe.Initial,
		Run: func(p *probe.P) {
			p.Count("max", "per-256-buckets", number(p, "net.netfilter.nf_conntrack_expect_max")/(number(p, bucketsSysctl)/256))
		},
	},
	{
		Name:     "limits/alias",
		Question: "Is net.nf_conntrack_max the same limit as net.netfilter.nf_conntrack_max?",
		Source:   "nf_ct_netfilter_table in nf_conntrack_standalone.c; selftest conntrack_resize.sh",
		Only:     probe.Initial,
		Run: func(p *probe.P) {
			const alias = "net.nf_conntrack_max"
			p.Set(maxSysctl, "262000")
			p.Text("alias", "value", read(p, alias))
			p.Set(alias, "261000")
			p.Text("max", "value", read(p, maxSysctl))
		},
	},
	{
		Name:     "limits/child-global",
		Question: "Can a child namespace see and change what holds for all: buckets, the limits of entries and of expectations, by either name?",
		Source:   limitsSource + "; selftest conntrack_resize.sh",
		Only:     probe.Initial,
		Sysctls: []probe.Sysctl{
			{Name: bucketsSysctl, Value: "4096"}, {Name: maxSysctl, Value: "5000"}, {Name: "net.netfilter.nf_conntrack_expect_max", Value: "100"},
		},
		Run: func(p *probe.P) {
			global := []struct{ subject, name, value string }{
				{"buckets", bucketsSysctl, "8192"}, {"max", maxSysctl, "5001"},
				{"expect-max", "net.netfilter.nf_conntrack_expect_max", "101"}, {"alias", "net.nf_conntrack_max", "5002"},
			}
			p.InChild(func(c *probe.P) {
				for _, g := range global {
					value, err := lab.ReadSysctl(g.name)
					c.Errno(g.subject+"-read", err)
					c.Text(g.subject+"-read", "value", value)
					c.Errno(g.subject+"-write", lab.WriteSysctl(g.name, g.value))
				}
			})
			for _, g := range global {
				p.Text(g.subject+"-initial", "value", read(p, g.name))
			}
		},
	},
}
