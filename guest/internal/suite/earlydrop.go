package suite

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/ctmatrix/ctmatrix/guest/internal/ct"
	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/internal/probe"
	"github.com/ctmatrix/ctmatrix/guest/internal/wire"
)

const evictSource = "early_drop_list in nf_conntrack_core.c: what is assured, or another namespace's, is no victim"

// crowdSize entries in 512 buckets, the fewest that there can be: eight buckets
// in a row, which is how far a newcomer looks for a victim, are without an entry
// once in 1e13 boots. So whether there is a victim is a matter of who may be one,
// not of the hash's seed; how many go at once is luck, and in no row.
const crowdSize = 1024

// crowded is a table that the crowd fills.
var crowded = []probe.Sysctl{
	{Name: bucketsSysctl, Value: "512"},
	{Name: maxSysctl, Value: fmt.Sprint(crowdSize)},
}

// forgotten waits until the collector has come by. A newcomer that was dropped
// makes it evict when it next does, in whatever table it finds then, and the last
// probe may have had one.
func forgotten(p *probe.P) { p.Wait(5 * time.Minute) }

// crowds fill the table with entries of one kind.
var crowds = []struct {
	name, question string
	fill           func(*probe.P)
}{
	{"unreplied", "whose SYNs nobody answered", func(p *probe.P) {
		p.Forth(origs(crowdFlows(), SYN)...)
	}},
	{"unfinished", "whose handshakes are not finished", func(p *probe.P) {
		fs := crowdFlows()
		p.Forth(origs(fs, SYN)...)
		p.Back(replies(fs, SYN|ACK)...)
	}},
	{"picked-up", "that were picked up in their middle and have no reply", func(p *probe.P) {
		p.Forth(origs(crowdFlows(), ACK)...)
	}},
	{"established", "that are established and assured", func(p *probe.P) { handshakes(p) }},
	{"closing", "that both sides have closed", func(p *probe.P) {
		fs := handshakes(p)
		p.Forth(origs(fs, FIN|ACK)...)
		p.Back(replies(fs, FIN|ACK)...)
		p.Forth(origs(fs, ACK)...)
	}},
	{"reset", "that were reset", func(p *probe.P) {
		p.Forth(origs(handshakes(p), RST)...)
	}},
	{"udp-unreplied", "of datagrams that nobody answered", func(p *probe.P) { p.Forth(datagrams(false)...) }},
	{"udp-replied", "of datagrams that were answered at once", func(p *probe.P) {
		p.Forth(datagrams(false)...)
		p.Back(datagrams(true)...)
	}},
	{"udp-stream", "of datagrams that are a stream", func(p *probe.P) {
		p.Forth(datagrams(false)...)
		p.Back(datagrams(true)...)
		p.Wait(3 * time.Second)
		p.Forth(datagrams(false)...)
	}},
	{"echo", "of echo requests", func(p *probe.P) {
		request := wire.Echo(client, server, false, 0, 1)
		var pkts []wire.Packet
		for id := range uint16(crowdSize) {
			pkts = append(pkts, request.WithID(id))
		}
		p.Forth(pkts...)
	}},
}

var earlyDrop = join(evictions(), []probe.Probe{
	{
		Name:     "early-drop/other-namespace",
		Question: "Does a newcomer evict entries of another namespace where its own are all assured?",
		Source:   evictSource,
		Path:     lab.Forward,
		Only:     probe.Initial,
		Sysctls:  crowded,
		Timed:    true,
		Run: func(p *probe.P) {
			forgotten(p)
			p.Forth(origs(crowdFlows(), SYN)...)
			p.InChild(func(c *probe.P) {
				c.Add(lab.Classing(lab.NearName)...)
				listen(c)
				fill(c, 7)
				c.Mark()
				c.Fate("newcomer", c.Through(tcpTo(web).Orig(SYN)))
				c.Delta("child", "drop", c.Stats().Drop)
				c.Flag("child", "evicts", c.Stats().EarlyDrop > 0)
				c.Count("child", "entries", c.Held())
			})
			p.Count("initial", "entries", p.Held())
		},
	},
	evictionEvents("events", "where somebody listened when it was made", true),
	evictionEvents("events-late", "where nobody listened when it was made", false),
	collects("established", func(p *probe.P, fs []*wire.Flow) {}),
	collects("closed", func(p *probe.P, fs []*wire.Flow) {
		p.Forth(origs(fs, FIN|ACK)...)
		p.Back(replies(fs, FIN|ACK)...)
		p.Forth(origs(fs, ACK)...)
	}),
	collects("half-closed", func(p *probe.P, fs []*wire.Flow) { p.Forth(origs(fs, FIN|ACK)...) }),
	collects("reset", func(p *probe.P, fs []*wire.Flow) { p.Forth(origs(fs, RST)...) }),
})

// evictions ask of each crowd whether a newcomer finds a victim in it.
func evictions() []probe.Probe {
	var probes []probe.Probe
	for _, c := range crowds {
		probes = append(probes, probe.Probe{
			Name:     "early-drop/" + c.name,
			Question: "Does a newcomer evict an entry where the table is full of those " + c.question + "?",
			Source:   evictSource,
			Path:     lab.Forward,
			Only:     probe.Initial,
			Timed:    true,
			Sysctls:  crowded,
			Run: func(p *probe.P) {
				forgotten(p)
				c.fill(p)
				if n := p.Counted(); n != crowdSize {
					p.Broken("%d entries in the crowd, want %d", n, crowdSize)
				}
				p.Mark()
				f := newcomer()
				p.Fate("newcomer", p.Forth(f.Orig(SYN)))
				p.Class("newcomer")
				p.Flag("newcomer", "tracked", p.Has(f.Tuple()))
				s := p.Stats()
				p.Delta("table", "drop", s.Drop)
				p.Flag("table", "evicts", s.EarlyDrop > 0)
			},
		})
	}
	return probes
}

// evictionEvents asks for the events of an eviction. When one listens matters
// since events are made only where somebody does (commit 90d1daa45849).
func evictionEvents(name, when string, early bool) probe.Probe {
	return probe.Probe{
		Name:     "early-drop/" + name,
		Question: "Is there a destroy event of an entry that a newcomer evicts, " + when + ", and a new one of the newcomer?",
		Source:   "nf_ct_delete, called from early_drop_list in nf_conntrack_core.c; nf_ct_ecache_ext_add",
		Path:     lab.Forward,
		Only:     probe.Initial,
		Timed:    true,
		Sysctls:  crowded,
		Run: func(p *probe.P) {
			forgotten(p)
			var take func() []ct.Event
			syns := origs(crowdFlows(), SYN)
			if early {
				take = p.Listen()
				for block := range slices.Chunk(syns, 128) { // what the socket holds
					p.Forth(block...)
					take()
				}
			} else {
				p.Forth(syns...)
				take = p.Listen()
			}
			p.Forth(newcomer().Orig(SYN))
			kinds := map[string]bool{}
			for _, e := range take() {
				kinds[e.Type] = true
			}
			for _, kind := range []string{"new", "update", "destroy"} {
				p.Flag("events", kind, kinds[kind])
			}
		},
	}
}

// collects asks what the collector takes from a full table of a hundred assured
// entries, in a state that end brings them to, after a newcomer was dropped. It
// stops at 95 %, whichever entries it meets first. Each lives for days.
func collects(name string, end func(*probe.P, []*wire.Flow)) probe.Probe {
	const days = "1000000"
	pr := probe.Probe{
		Name:     "early-drop/collected-" + name,
		Question: "After a newcomer was dropped, does the collector make room in a table full of assured entries that are " + name + "?",
		Source:   "gc_worker and gc_worker_can_early_drop in nf_conntrack_core.c; tcp_can_early_drop",
		Path:     lab.Forward,
		Only:     probe.Initial,
		Timed:    true,
		Sysctls:  []probe.Sysctl{fewBuckets, {Name: maxSysctl, Value: "100"}},
		Run: func(p *probe.P) {
			forgotten(p)
			fs := forwardFlows(100)
			shake(p, fs)
			end(p, fs)
			p.Count("before", "entries", p.Held())
			p.Mark()
			p.Fate("newcomer", p.Forth(newcomer().Orig(SYN)))
			p.Delta("table", "drop", p.Stats().Drop)
			p.Wait(10 * time.Minute) // the collector comes each minute or sooner
			p.Count("after", "entries", p.Held())
			p.Flag("table", "evicts", p.Stats().EarlyDrop > 0)
			p.Fate("again", p.Forth(newcomer().Orig(SYN)))
		},
	}
	for _, s := range []string{"established", "close", "time_wait", "fin_wait", "close_wait", "last_ack", "unacknowledged", "max_retrans"} {
		pr.Sysctls = append(pr.Sysctls, probe.Sysctl{Name: "net.netfilter.nf_conntrack_tcp_timeout_" + s, Value: days})
	}
	return pr
}

// newcomer is a connection that is in no crowd.
func newcomer() *wire.Flow {
	return wire.TCP(netip.AddrPortFrom(client.Next(), firstPort), tcpServer)
}

func tcpTo(to netip.AddrPort) *wire.Flow { return wire.TCP(tcpClient, to) }

func forwardFlows(n int) []*wire.Flow { return flows(n, firstPort, tcpServer) }

func crowdFlows() []*wire.Flow { return forwardFlows(crowdSize) }

// replies makes the next packet of each flow in the reply direction.
func replies(fs []*wire.Flow, flags wire.Flags) []wire.Packet {
	return wire.Replies(fs, flags)
}

// handshakes takes the crowd through handshakes.
func handshakes(p *probe.P) []*wire.Flow {
	fs := crowdFlows()
	shake(p, fs)
	return fs
}

func shake(p *probe.P, fs []*wire.Flow) {
	p.Forth(origs(fs, SYN)...)
	p.Back(replies(fs, SYN|ACK)...)
	p.Forth(origs(fs, ACK)...)
}

// datagrams are one of each of a crowd of conversations, or their answers.
func datagrams(back bool) []wire.Packet {
	say := wire.UDP(netip.AddrPortFrom(client, firstPort), udpServer, "x").FromPort
	if back {
		say = wire.UDP(udpServer, netip.AddrPortFrom(client, firstPort), "x").ToPort
	}
	var pkts []wire.Packet
	for i := range uint16(crowdSize) {
		pkts = append(pkts, say(firstPort+i))
	}
	return pkts
}
