package suite

import (
	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/internal/probe"
	"github.com/ctmatrix/ctmatrix/guest/internal/wire"
)

const fullSource = tales + "; __nf_conntrack_alloc and early_drop in nf_conntrack_core.c"

var tableFull = []probe.Probe{
	{
		Name:     "table-full/syn",
		Question: "What becomes of ten SYNs when the table takes seven?",
		Source:   fullSource,
		Sysctls:  limit(7),
		Rules:    []lab.Rule{silence},
		Run: func(p *probe.P) {
			undisturbed(p, func(first uint16) {
				p.Through(origs(flows(10, first, web), SYN)...)
			})
			passage(p, "syn")
			tableOf(p, "syn", p.Entries())
			drops(p)
			p.LogText("log", "table full")
		},
	},
	{
		Name:     "table-full/flood",
		Question: "Does the limit hold against 300 SYNs when the table takes 99, and are the newcomers dropped rather than the old evicted?",
		Source:   fullSource,
		Sysctls:  limit(99), // at 100 the collector would evict, too: see limit
		Rules:    []lab.Rule{silence},
		Run: func(p *probe.P) {
			p.Through(origs(flows(300, firstPort, web), SYN)...)
			// Which of the newcomers evicts an unreplied entry depends on the
			// hash's seed; that each of the 201 too many is either dropped or
			// evicts one does not. An eviction of two at once, where they share
			// a bucket, leaves a place that the next newcomer takes: it shows
			// only if the last ones do it, once in a million boots.
			s := p.Stats()
			p.Count("syn", "raw", int(p.Meters()["raw"]))
			p.Count("syn", "entries", p.Held())
			p.Delta("table", "drop+early_drop", s.Drop+s.EarlyDrop)
			// With 198 tuples in 262144 buckets, 8 of which each newcomer looks
			// at, 1.2 evictions are to be expected. More than 20 come once in
			// 1e18 boots, or from a kernel that looks further.
			p.Flag("table", "evictions-rare", s.EarlyDrop <= 20)
		},
	},
	{
		Name:     "table-full/assured",
		Question: "What becomes of ten SYNs when assured entries fill the table, and of the packets of those?",
		Source:   fullSource,
		Sysctls:  []probe.Sysctl{roomy},
		Run: func(p *probe.P) {
			// Assured entries are no victims, wherever the hash's seed put
			// them: early_drop is 0 for another reason than luck.
			listen(p)
			old := fill(p, 7)
			p.Mark()
			out := p.Through(tenSYNs()...)
			passage(p, "syn")
			p.Fate("syn", out)
			drops(p)
			p.Mark()
			p.Through(origs(old, ACK|wire.PSH, wire.Payload("still here"))...)
			passage(p, "old-flow")
			tableOf(p, "old-flow", p.Entries())
		},
	},
	{
		Name:     "table-full/room-again",
		Question: "Is a SYN let in again as soon as one entry of a full table ends?",
		Source:   fullSource,
		Sysctls:  []probe.Sysctl{roomy},
		Run: func(p *probe.P) {
			listen(p)
			fill(p, 7)
			newcomers := flows(2, firstPort, web)
			p.Fate("before", p.Through(newcomers[0].Orig(SYN)))
			// The first by its tuple, whatever the order of the hash. All are
			// assured, so that no newcomer evicts any.
			p.Delete(p.Entries()[0])
			p.Count("room", "entries", p.Held())
			p.Fate("after", p.Through(newcomers[1].Orig(SYN)))
			tableOf(p, "after", p.Entries())
		},
	},
}
