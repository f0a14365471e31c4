package suite

import (
	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/internal/probe"
)

// No seed of the boot reaches these rows. The table has room, so that nothing is
// evicted wherever the hash puts ten entries, and a chain is too long only from
// 50 on (MIN_CHAINLEN). Entries are listed in order of their tuples. Initial
// sequence numbers of the box are answered, not recorded, and tracking compares
// them modulo 2^32. Timeouts are read so that the phase of the tick does not show.
var baseline = []probe.Probe{
	{
		Name:     "baseline/ten-syns",
		Question: "What do ten SYNs to a box that keeps silent leave in the table?",
		Source:   tales,
		Rules:    []lab.Rule{silence},
		Run: func(p *probe.P) {
			out := p.Through(tenSYNs()...)
			p.Timeout("syn")
			passage(p, "syn")
			tableOf(p, "syn", p.Entries())
			p.Fate("answer", out)
			p.Count("answer", "suppressed", int(p.Meters()["replies"]))
			p.Delta("table", "drop", p.Stats().Drop)
		},
	},
	{
		Name:     "baseline/closed-port",
		Question: "What is left of ten SYNs that a closed port answers with a reset?",
		Source:   tales + "; nf_conntrack_tcp_packet in nf_conntrack_proto_tcp.c: a reset to an unreplied entry ends it",
		Run: func(p *probe.P) {
			out := p.Through(tenSYNs()...)
			passage(p, "syn")
			tableOf(p, "syn", p.Entries())
			p.Fate("answer", out)
		},
	},
	{
		Name:     "baseline/listener",
		Question: "What do ten SYNs to a listening socket leave, before the third packet?",
		Source:   tales,
		Run: func(p *probe.P) {
			listen(p)
			out := p.Through(tenSYNs()...)
			p.Timeout("syn")
			passage(p, "syn")
			tableOf(p, "syn", p.Entries())
			p.Fate("answer", out)
		},
	},
	{
		Name:     "baseline/handshake",
		Question: "What does a whole handshake make of ten entries?",
		Source:   "Documentation/networking/nf_conntrack-sysctl.rst, nf_conntrack_tcp_timeout_established",
		Run: func(p *probe.P) {
			listen(p)
			establish(p, flows(10, firstPort, web))
			p.Timeout("flow")
			passage(p, "flow")
			tableOf(p, "flow", p.Entries())
		},
	},
}
