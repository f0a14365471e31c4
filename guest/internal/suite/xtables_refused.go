package suite

import (
	"golang.org/x/sys/unix"

	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/internal/probe"
)

// offered are rules of which the kernel takes some.
var offered = []struct {
	name, table string
	rule        lab.XtRule
}{
	{"control", "filter", matched(ctstate(xtNew))},
	{"no-such-match", "filter", matched(lab.Extension{Name: "nothing"})},
	{"no-such-revision", "filter", matched(lab.Extension{Name: "conntrack", Revision: 9, Info: make([]byte, 164)})},
	{"short-match", "filter", matched(lab.Extension{Name: "conntrack", Revision: 3, Info: make([]byte, 100)})},
	{"long-match", "filter", matched(lab.Extension{Name: "conntrack", Revision: 3, Info: make([]byte, 200)})},
	{"state-0", "filter", matched(ctstate(0))},
	{"state-unknown", "filter", matched(ctstate(1 << 15))},
	{"connbytes-unknown-unit", "filter", matched(lab.XtConnbytes(1, 2, 3, 0))},
	{"connbytes-unknown-direction", "filter", matched(lab.XtConnbytes(1, 2, 0, 3))},
	{"connlimit-unknown-flag", "filter", matched(lab.XtConnlimit([4]byte{}, 1, 1<<7))},
	{"connlabel-127", "filter", matched(lab.Extension{Name: "connlabel", Info: lab.Words32(127)})},
	{"connlabel-128", "filter", matched(lab.Extension{Name: "connlabel", Info: lab.Words32(128)})},
	{"connlabel-unknown-option", "filter", matched(lab.Extension{Name: "connlabel", Info: lab.Words32(1<<18 | 1)})},
	{"helper-match", "filter", matched(lab.Extension{Name: "helper", Info: append(lab.Words32(0), make([]byte, 32)...)})},
	{"ct-in-mangle", "mangle", aimed(0, lab.XtTargetCT{Revision: 2})},
	{"ct-unknown-flag", "raw", aimed(0, lab.XtTargetCT{Flags: 1 << 5, Revision: 2})},
	{"ct-revision-1-flag", "raw", aimed(0, lab.XtTargetCT{Flags: 1 << 2, Revision: 1})},
	{"ct-zone-highest", "raw", aimed(0, lab.XtTargetCT{Zone: 1<<16 - 1, Revision: 2})},
	{"ct-unknown-event", "raw", aimed(0, lab.XtTargetCT{Events: 1 << 30, Revision: 2})},
	{"ct-helper", "raw", aimed(unix.IPPROTO_TCP, lab.XtTargetCT{Helper: "ftp", Revision: 2})},
	{"ct-helper-other-proto", "raw", aimed(unix.IPPROTO_UDP, lab.XtTargetCT{Helper: "ftp", Revision: 2})},
	{"ct-helper-any-proto", "raw", aimed(0, lab.XtTargetCT{Helper: "ftp", Revision: 2})},
	{"ct-helper-unknown", "raw", aimed(unix.IPPROTO_TCP, lab.XtTargetCT{Helper: "nobody", Revision: 2})},
	{"ct-helper-unended", "raw", aimed(unix.IPPROTO_TCP, lab.XtTargetCT{Helper: "sixteen-letters!", Revision: 2})},
	{"ct-timeout-unknown", "raw", aimed(unix.IPPROTO_TCP, lab.XtTargetCT{TimeoutPol: "nobody", Revision: 2})},
	{"ct-timeout-any-proto", "raw", aimed(0, lab.XtTargetCT{TimeoutPol: "nobody", Revision: 2})},
	{"ct-timeout-notrack", "raw", aimed(unix.IPPROTO_TCP, lab.XtTargetCT{Flags: 1, TimeoutPol: "nobody", Revision: 2})},
	{"notrack-target", "raw", lab.XtRule{Hook: lab.HookPrerouting, Target: &lab.Extension{Name: "NOTRACK"}}},
	{"connmark-unknown-mode", "mangle", lab.XtRule{Hook: lab.HookPrerouting,
		Target: &lab.Extension{Name: "CONNMARK", Revision: 1, Info: lab.Words32(1, 1, 1, 7)}}},
	{"connmark-shift-31", "mangle", marked(0, 31)},
	{"connmark-shift-32", "mangle", marked(0, 32)},
	{"connmark-shift-nowhere", "mangle", marked(2, 1)},
	{"connmark-in-raw", "raw", lab.XtRule{Hook: lab.HookPrerouting,
		Target: &lab.Extension{Name: "CONNMARK", Revision: 1, Info: lab.Words32(1, 1, 1, 0)}}},
}

func matched(m lab.Extension) lab.XtRule {
	return lab.XtRule{Hook: lab.HookOutput, Matches: []lab.Extension{m}}
}

// marked sets a mark and shifts it; struct xt_connmark_tginfo2.
func marked(direction, bits byte) lab.XtRule {
	return lab.XtRule{Hook: lab.HookPrerouting, Target: &lab.Extension{
		Name: "CONNMARK", Revision: 2, Info: append(lab.Words32(1, 1, 1), direction, bits, 0, 0),
	}}
}

func aimed(proto uint8, t lab.XtTargetCT) lab.XtRule {
	target := t.Extension()
	return lab.XtRule{Hook: lab.HookPrerouting, Proto: proto, Target: &target}
}

var xtablesRefused = []probe.Probe{
	xtables1("rules", "Which rules of x_tables that have to do with tracking does the kernel take, and how does it refuse the others?",
		"xt_ct_tg_check in xt_CT.c; the checkentry functions of the matches", withCounters,
		[]string{"iptable_raw", "iptable_mangle", "iptable_filter", "xt_conntrack", "xt_CT", "xt_connbytes", "xt_connlimit", "xt_connlabel", "xt_connmark", "xt_helper", "nf_conntrack_ftp", "nfnetlink_cttimeout"},
		func(p *probe.P) {
			t, err := lab.OpenIptables()
			p.Must(err)
			p.Cleanup(t.Close)
			for _, o := range offered {
				p.Errno(o.name, t.Replace(o.table, o.rule))
				p.Must(t.Replace(o.table))
			}
		}),
}
