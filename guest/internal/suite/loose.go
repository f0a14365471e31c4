package suite

import (
	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/internal/probe"
)

const looseSource = tales + "; tcp_new in nf_conntrack_proto_tcp.c; Documentation/networking/nf_conntrack-sysctl.rst, nf_conntrack_tcp_loose"

// No seed of the boot reaches these rows: ten stray ACKs into an empty table
// meet nothing, and into a full one they meet only assured entries, which
// early_drop passes over. The sequence numbers of the ACKs are the client's own.
var loose = []probe.Probe{
	{
		Name:     "loose/on",
		Question: "Do stray ACKs create entries when tcp_loose is 1?",
		Source:   looseSource,
		Sysctls:  []probe.Sysctl{{Name: looseSysctl, Value: "1"}},
		Rules:    []lab.Rule{silence},
		Run:      strayACKs,
	},
	{
		Name:     "loose/off",
		Question: "Are stray ACKs invalid, and do they pass without an entry, when tcp_loose is 0?",
		Source:   looseSource,
		Sysctls:  []probe.Sysctl{{Name: looseSysctl, Value: "0"}},
		Rules:    []lab.Rule{silence},
		Run:      strayACKs,
	},
	{
		Name:     "loose/on-full",
		Question: "Does a full table drop stray ACKs when tcp_loose is 1?",
		Source:   looseSource,
		Sysctls:  []probe.Sysctl{roomy, {Name: looseSysctl, Value: "1"}},
		Run:      strayACKsWhenFull,
	},
	{
		Name:     "loose/off-full",
		Question: "Does a full table drop stray ACKs even when tcp_loose is 0 and they would create nothing?",
		Source:   looseSource + "; init_conntrack allocates before it asks the protocol",
		Sysctls:  []probe.Sysctl{roomy, {Name: looseSysctl, Value: "0"}},
		Run:      strayACKsWhenFull,
	},
}

func strayACKs(p *probe.P) {
	p.Through(origs(flows(10, firstPort, web), ACK)...)
	p.Timeout("ack")
	passage(p, "ack")
	tableOf(p, "ack", p.Entries())
	p.Count("answer", "suppressed", int(p.Meters()["replies"]))
	p.Delta("table", "drop", p.Stats().Drop)
	p.Delta("table", "invalid", p.Stats().Invalid)
}

func strayACKsWhenFull(p *probe.P) {
	listen(p)
	old := fill(p, 7)
	p.Mark()
	out := p.Through(origs(flows(10, firstPort, web), ACK)...)
	passage(p, "ack")
	p.Fate("answer", out)
	drops(p)
	// The control: an ACK that belongs to a flow of the full table passes.
	p.Mark()
	p.Through(origs(old, ACK)...)
	passage(p, "old-flow")
	tableOf(p, "old-flow", p.Entries())
}
