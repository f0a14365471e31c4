package suite

import (
	"net/netip"
	"slices"

	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/internal/probe"
	"github.com/ctmatrix/ctmatrix/guest/internal/wire"
)

// toShifted leads the ports from 8000 on to those from 9000 on, as DNAT
// --to-destination :9000-9099/8000 says.
var toShifted = lab.XtNAT{
	Target: "DNAT", TargetRevision: 2, Flags: lab.XtMapIPs | lab.XtProtoSpecified | lab.XtProtoOffset,
	From: server, To: server, Low: 9000, High: 9099, Base: 8000,
}

// toPrefix maps addresses to a prefix of 24 bits.
var toPrefix = lab.XtNAT{Target: "NETMAP", Flags: lab.XtMapIPs, From: netip.MustParseAddr("198.19.7.0"), To: netip.MustParseAddr("198.19.7.255")}

// xtNATs are targets that differ from a right one in one thing.
var xtNATs = []struct {
	name   string
	chain  lab.Chain
	target lab.XtNAT
}{
	{"snat", lab.XtNATPostrouting, lab.XtNAT{Target: "SNAT", Flags: lab.XtMapIPs, From: translated4, To: translated4}},
	{"snat-two-ranges", lab.XtNATPostrouting, lab.XtNAT{Target: "SNAT", Flags: lab.XtMapIPs, From: translated4, To: translated4, Ranges: 2}},
	{"snat-unknown-flag", lab.XtNATPostrouting, lab.XtNAT{Target: "SNAT", TargetRevision: 2, Flags: 1 << 20, From: translated4, To: translated4}},
	{"snat-prerouting", lab.XtNATPrerouting, lab.XtNAT{Target: "SNAT", Flags: lab.XtMapIPs, From: translated4, To: translated4}},
	{"snat-raw-table", lab.XtRawPrerouting, lab.XtNAT{Target: "SNAT", Flags: lab.XtMapIPs, From: translated4, To: translated4}},
	{"dnat-postrouting", lab.XtNATPostrouting, toShifted},
	{"masquerade", lab.XtNATPostrouting, lab.XtNAT{Target: "MASQUERADE"}},
	{"masquerade-address", lab.XtNATPostrouting, lab.XtNAT{Target: "MASQUERADE", Flags: lab.XtMapIPs}},
	{"masquerade-two-ranges", lab.XtNATPostrouting, lab.XtNAT{Target: "MASQUERADE", Ranges: 2}},
	{"masquerade-prerouting", lab.XtNATPrerouting, lab.XtNAT{Target: "MASQUERADE"}},
	{"redirect", lab.XtNATPrerouting, lab.XtNAT{Target: "REDIRECT"}},
	{"redirect-address", lab.XtNATPrerouting, lab.XtNAT{Target: "REDIRECT", Flags: lab.XtMapIPs}},
	{"redirect-postrouting", lab.XtNATPostrouting, lab.XtNAT{Target: "REDIRECT"}},
	{"netmap", lab.XtNATPostrouting, toPrefix},
	{"netmap-no-address", lab.XtNATPostrouting, lab.XtNAT{Target: "NETMAP"}},
}

var natXt = []probe.Probe{
	xtNATProbe("x-targets", "How do the targets of x_tables translate: a range of ports toShifted, a prefix mapped to another, a port of the box's own?",
		"xt_nat_target_v2 in xt_nat.c; NF_NAT_RANGE_PROTO_OFFSET in nf_nat_core.c; netmap_tg4 in xt_NETMAP.c", func(p *probe.P) {
			p.Add(lab.On(lab.XtNATPrerouting, lab.ToAddr(translated4), toShifted.Part()),
				lab.On(lab.XtNATPrerouting, lab.ToAddr(netip.MustParseAddr("203.0.113.77")), toPrefix.Part()))
			for _, c := range []struct {
				name string
				to   netip.AddrPort
			}{
				{"shift-first", netip.AddrPortFrom(translated4, 8000)},
				{"shift-last", netip.AddrPortFrom(translated4, 8099)},
				{"shift-past", netip.AddrPortFrom(translated4, 8100)},
				{"shift-below", netip.AddrPortFrom(translated4, 7999)},
				{"shift-of-range", netip.AddrPortFrom(translated4, 9050)},
				{"netmap", netip.MustParseAddrPort("203.0.113.77:53")},
			} {
				p.Flush()
				goes(p, c.name, wire.UDP(netip.AddrPortFrom(client, firstPort), c.to, "x"))
			}
		}),
	xtNATProbe("x-targets-refused", "Which targets of x_tables that translate does the kernel take, how does it refuse the others, and does it say why?",
		"xt_nat_checkentry_v0 in xt_nat.c and its fellows in xt_MASQUERADE.c, xt_REDIRECT.c and xt_NETMAP.c", func(p *probe.P) {
			for _, c := range xtNATs {
				p.Errno(c.name, p.Box.Rules.Add(lab.On(c.chain, c.target.Part())))
				p.ClearRules()
			}
			p.LogText("log", "xt_")
		}),
}

func xtNATProbe(name, question, source string, run func(*probe.P)) probe.Probe {
	asked := natProbe(name, question, source, nil, run)
	asked.Path = lab.Forward
	asked.Needs = append(slices.Clone(nat), "nft_compat", "xt_nat", "xt_MASQUERADE", "xt_REDIRECT", "xt_NETMAP")
	return asked
}
