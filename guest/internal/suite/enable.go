package suite

import (
	"time"

	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/internal/probe"
)

const enableSource = tales + "; nf_ct_netns_get in nf_conntrack_proto.c and its callers"

// xt are the modules behind an x_tables extension in an nftables rule.
func xt(extension string) []string { return []string{"nft_compat", "x_tables", extension} }

// users are rules whose presence may make a namespace track. None of them
// touches a packet of the experiment: they are behind a match that no packet
// fulfils, or in a chain that those packets do not use.
var users = []struct {
	name, question string
	needs          []string
	rules          []lab.Rule
}{
	{"module", "the module alone, without any rule", nil, nil},
	{"notrack", "a notrack statement", nil, []lab.Rule{lab.On(lab.RawPrerouting, lab.Never, lab.Notrack)}},
	{"ct-expression", "a ct state expression", nil, []lab.Rule{lab.On(lab.FilterForward, lab.CtState("new"), lab.Accept)}},
	{"xt-ct", "the x_tables CT target", xt("xt_CT"), []lab.Rule{lab.On(lab.XtRawPrerouting, lab.Never, lab.XtCT())}},
	{"xt-notrack", "the x_tables CT target with --notrack", xt("xt_CT"), []lab.Rule{lab.On(lab.XtRawPrerouting, lab.Never, lab.XtNotrack())}},
	{"xt-conntrack", "the x_tables conntrack match", xt("xt_conntrack"), []lab.Rule{lab.On(lab.XtRawPrerouting, lab.Never, lab.XtConntrackNew(), lab.Accept)}},
	{"nat-chain", "an empty chain of type nat", []string{"nf_nat", "nft_chain_nat"}, []lab.Rule{lab.On(lab.NATPrerouting)}},
	{"nat-rule", "a redirect rule in a chain of type nat", []string{"nf_nat", "nft_chain_nat", "nft_redir"}, []lab.Rule{lab.On(lab.NATPrerouting, lab.Never, lab.Redirect(8080))}},
	{"helper-object", "a ct helper object that no rule assigns", []string{"nf_conntrack_ftp"}, []lab.Rule{lab.On(lab.FilterForward, lab.HelperObject())}},
	{"helper", "a rule that assigns a ct helper", []string{"nf_conntrack_ftp", "nft_objref"}, []lab.Rule{lab.On(lab.FilterForward, lab.HelperObject(), lab.Never, lab.AssignHelper())}},
	{"flowtable-object", "a flowtable that no rule uses", []string{"nf_flow_table", "nf_flow_table_inet"}, []lab.Rule{lab.On(lab.FilterForward, lab.Flowtable(lab.NearName))}},
	{"flowtable", "a rule that adds to a flowtable", []string{"nf_flow_table", "nf_flow_table_inet", "nft_flow_offload"}, []lab.Rule{lab.On(lab.FilterForward, lab.Flowtable(lab.NearName), lab.Never, lab.FlowAdd())}},
}

// No seed of the boot reaches these rows: ten SYNs make entries in a table that
// has room for them, or make none. Entries outlive the second that
// enable/last-user-goes waits, wherever the collector is in its round: it takes
// only what is expired, and a SYN's entry lives two minutes.
var enable = enables()

func enables() []probe.Probe {
	probes := []probe.Probe{{
		Name:      "enable/nothing",
		Question:  "What is there of tracking before its module is loaded?",
		Source:    enableSource,
		Only:      probe.Initial,
		Bare:      true,
		Untouched: true,
		Rules:     []lab.Rule{silence},
		Run: func(p *probe.P) {
			p.Through(tenSYNs()...)
			m := p.Meters()
			p.Count("syn", "raw", int(m["raw"]))
			p.Count("syn", "mangle", int(m["mangle"]))
			_, err := lab.ReadSysctl(maxSysctl)
			p.Errno("max-read", err)
		},
	}}
	for _, u := range users {
		probes = append(probes, probe.Probe{
			Name:     "enable/" + u.name,
			Question: "Does a namespace track because of " + u.question + "?",
			Source:   enableSource,
			Bare:     true,
			Needs:    u.needs,
			Rules:    append([]lab.Rule{silence}, u.rules...),
			Run:      tracked,
		})
	}
	return append(probes, probe.Probe{
		Name:     "enable/last-user-goes",
		Question: "What becomes of entries when the last rule that made the namespace track goes?",
		Source:   enableSource + "; nf_ct_netns_put",
		Bare:     true,
		Rules:    []lab.Rule{silence},
		Run: func(p *probe.P) {
			fs := flows(10, firstPort, web)
			p.Add(lab.On(lab.ManglePrerouting, lab.CtState("new"), lab.Accept))
			p.Through(origs(fs, SYN)...)
			tableOf(p, "before", p.Entries())
			p.ClearRules()
			p.Wait(time.Second)
			tableOf(p, "after", p.Entries())
			p.Through(origs(flows(10, 20000, web), SYN)...)
			p.Count("later", "entries", p.Held())
		},
	})
}

func tracked(p *probe.P) {
	p.Through(tenSYNs()...)
	m := p.Meters()
	p.Count("syn", "raw", int(m["raw"]))
	p.Count("syn", "mangle", int(m["mangle"]))
	tableOf(p, "syn", p.Entries())
}
