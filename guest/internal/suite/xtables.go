package suite

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/ctmatrix/ctmatrix/guest/internal/ct"
	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/internal/probe"
	"github.com/ctmatrix/ctmatrix/guest/internal/wire"
)

// xtables ask the same of the legacy tables of x_tables as rules does of
// nf_tables. They run in a child namespace, with which its tables go.
var xtables = slices.Concat(xtablesRefused, []probe.Probe{
	xtables1("enable", "Which legacy tables and rules make a namespace track?", "conntrack_mt_check in xt_conntrack.c; xt_ct_tg_check in xt_CT.c; nf_ct_netns_get", nil,
		[]string{"iptable_raw", "xt_conntrack", "xt_state", "xt_CT", "xt_connmark"}, xtablesEnable),
	xtables1("matches", "Which matches of x_tables does each kind of packet fulfil?", "conntrack_mt in xt_conntrack.c; state_mt in xt_state.c", nil,
		[]string{"iptable_raw", "xt_conntrack", "xt_state", "xt_CT"}, xtablesMatches),
	xtables1("ct-target", "What does the CT target do to the first packet of a connection, and to its events?", "xt_ct_target in xt_CT.c", nil,
		[]string{"iptable_raw", "xt_CT"}, xtablesCT),
	wearing(policyModule, xtables1("ct-timeout", "What becomes of a timeout policy, and of connections that have it from the CT target, when it is deleted?",
		"xt_ct_set_timeout in xt_CT.c; cttimeout_del_timeout in nfnetlink_cttimeout.c", nil,
		[]string{"iptable_raw", "xt_CT", policyModule}, xtablesTimeout)),
	xtables1("connmark", "What does the CONNMARK target leave in the mark of a connection?", "connmark_tg_shift in xt_connmark.c", withoutCounters,
		[]string{"iptable_mangle", "xt_connmark"}, xtablesConnmark),
	xtables1("connbytes", "From which packet on does the connbytes match match, and does it switch accounting on?", "connbytes_mt in xt_connbytes.c", withoutCounters,
		[]string{"iptable_mangle", "xt_connbytes"}, xtablesConnbytes),
	xtables1("connlabel", "Does the connlabel match set and find a label?", "connlabel_mt in xt_connlabel.c", withoutCounters,
		[]string{"iptable_mangle", "xt_connlabel"}, xtablesConnlabel),
	xtables1("connlimit", "Which new connections of one address does the connlimit match stop?", "connlimit_mt in xt_connlimit.c; __nf_conncount_add in nf_conncount.c", nil,
		[]string{"iptable_filter", "xt_connlimit", "xt_conntrack"}, func(p *probe.P) {
			legacy(p, "filter", lab.XtRule{
				Hook: lab.HookForward, Proto: unix.IPPROTO_TCP, Drop: true,
				Matches: []lab.Extension{ctstate(xtNew), lab.XtConnlimit([4]byte{255, 255, 255, 255}, 3, 0)},
			})
			counting(p, versions[0])
		}),
})

// xtables1 is a probe of the family.
func xtables1(name, question, source string, sysctls []probe.Sysctl, needs []string, run func(*probe.P)) probe.Probe {
	return probe.Probe{
		Name: "x-tables/" + name, Question: question, Source: source,
		Path: lab.Forward, Only: probe.Child, Sysctls: sysctls,
		Needs: append([]string{"x_tables", "ip_tables"}, needs...),
		Bare:  name == "enable",
		Run:   run,
	}
}

// The states that a match is asked for, of XT_CONNTRACK_STATE_* in
// include/uapi/linux/netfilter/xt_conntrack.h.
const (
	xtInvalid     = 1
	xtEstablished = 2
	xtRelated     = 4
	xtNew         = 8
	xtUntracked   = 256
)

func ctstate(states uint16) lab.Extension {
	return lab.XtConntrackMatch{Asks: lab.XtState, State: states}.Extension()
}

// stateMatch is the older match that knows states only; its bit for what is
// untracked is another.
func stateMatch(states uint32) lab.Extension {
	return lab.Extension{Name: "state", Info: lab.Words32(states)}
}

// asked are matches of the conntrack and the state match.
var asked = []struct {
	name  string
	match lab.Extension
}{
	{"NEW", ctstate(xtNew)},
	{"ESTABLISHED", ctstate(xtEstablished)},
	{"RELATED", ctstate(xtRelated)},
	{"INVALID", ctstate(xtInvalid)},
	{"UNTRACKED", ctstate(xtUntracked)},
	{"not NEW", lab.XtConntrackMatch{Asks: lab.XtState, Inverted: lab.XtState, State: xtNew}.Extension()},
	{"ctstatus EXPECTED", lab.XtConntrackMatch{Asks: lab.XtStatus, Status: 1}.Extension()},
	{"ctstatus SEEN_REPLY", lab.XtConntrackMatch{Asks: lab.XtStatus, Status: 2}.Extension()},
	{"ctstatus ASSURED", lab.XtConntrackMatch{Asks: lab.XtStatus, Status: 4}.Extension()},
	{"ctstatus CONFIRMED", lab.XtConntrackMatch{Asks: lab.XtStatus, Status: 8}.Extension()},
	{"ctdir ORIGINAL", lab.XtConntrackMatch{Asks: lab.XtDirection}.Extension()},
	{"ctdir REPLY", lab.XtConntrackMatch{Asks: lab.XtDirection, Inverted: lab.XtDirection}.Extension()},
	{"ctproto tcp", lab.XtConntrackMatch{Asks: lab.XtProto, Proto: unix.IPPROTO_TCP}.Extension()},
	{"ctorigsrc client", lab.XtConntrackMatch{Asks: lab.XtOrigSrc, OrigSrc: client}.Extension()},
	{"ctorigdstport 80", lab.XtConntrackMatch{Asks: lab.XtOrigDport, OrigDport: 80}.Extension()},
	{"ctexpire 1:200", lab.XtConntrackMatch{Asks: lab.XtExpires, Expires: [2]uint32{1, 200}}.Extension()},
	{"ctexpire 0", lab.XtConntrackMatch{Asks: lab.XtExpires}.Extension()},
	{"state NEW", stateMatch(8)},
	{"state ESTABLISHED", stateMatch(2)},
	{"state RELATED", stateMatch(4)},
	{"state INVALID", stateMatch(1)},
	{"state UNTRACKED", stateMatch(64)},
}

// legacy puts rules into a legacy table for the rest of the probe and returns
// how to read how many packets fulfilled each since it did last.
func legacy(p *probe.P, table string, rules ...lab.XtRule) func() []uint64 {
	t, err := lab.OpenIptables()
	p.Must(err)
	p.Cleanup(t.Close)
	p.Must(t.Replace(table, rules...))
	last := make([]uint64, len(rules))
	return func() []uint64 {
		now, err := t.Packets(table, rules...)
		p.Must(err)
		grown := slices.Clone(now)
		for i := range grown {
			grown[i] -= last[i]
		}
		last = now
		return grown
	}
}

// xtablesMatches does not record what ctexpire says of a first packet. The timeout
// of an entry that is not confirmed is a duration still, which nf_ct_expires
// compares with the clock: the answer follows from how long the kernel is up.
func xtablesMatches(p *probe.P) {
	var matching []lab.XtRule
	for _, a := range asked {
		matching = append(matching, lab.XtRule{Hook: lab.HookPrerouting, Matches: []lab.Extension{a.match}})
	}
	took := legacy(p, "mangle", matching...)
	fulfilled := func(subject string) {
		var names []string
		for i, n := range took() {
			if n > 0 && !(subject == "first" && strings.HasPrefix(asked[i].name, "ctexpire")) {
				names = append(names, asked[i].name)
			}
		}
		p.Text(subject, "matches", listOr("none", names))
	}
	f := tcpFlow()
	p.Forth(f.Orig(SYN))
	fulfilled("first")
	p.Back(f.Reply(SYN | ACK))
	fulfilled("reply")
	p.Forth(f.Orig(ACK))
	fulfilled("established")
	v := versions[0]
	e := v.errors()[0]
	p.Back(wire.ICMPError(v.router(), v.client, e.typ, e.code, e.rest, f.Orig(ACK).Data))
	fulfilled("related")
	p.Flush()
	p.Forth(f.Orig(RST))
	fulfilled("invalid")
	legacy(p, "raw", lab.XtRule{Hook: lab.HookPrerouting, Target: notrack()})
	p.Forth(tcpFlow().Orig(SYN))
	fulfilled("untracked")
}

func notrack() *lab.Extension {
	target := lab.XtTargetCT{Flags: 1, Revision: 2}.Extension()
	return &target
}

// xtablesEnable asks each kind of rule whether ten SYNs make entries.
func xtablesEnable(p *probe.P) {
	ask := func(subject, table string, rules ...lab.XtRule) {
		read := legacy(p, table, rules...)
		p.Forth(origs(flows(10, firstPort, netip.AddrPortFrom(server, 80)), SYN)...)
		p.Count(subject, "entries", p.Held())
		read()
		legacy(p, table)
		p.Wait(time.Second)
		p.Flush()
	}
	at := func(m lab.Extension) lab.XtRule {
		return lab.XtRule{Hook: lab.HookForward, Matches: []lab.Extension{m}}
	}
	raw := func(t lab.Extension) lab.XtRule { return lab.XtRule{Hook: lab.HookOutput, Target: &t} }
	ask("raw-table", "raw")
	ask("filter-table", "filter")
	ask("conntrack-match", "filter", at(ctstate(xtNew)))
	ask("state-match", "filter", at(stateMatch(8)))
	ask("connmark-match", "filter", at(lab.Extension{Name: "connmark", Revision: 1, Info: lab.Words32(1, 1, 0)}))
	ask("ct-target", "raw", raw(lab.XtTargetCT{Revision: 2}.Extension()))
	ask("ct-notrack", "raw", raw(*notrack()))
	ask("notrack-target", "raw", raw(lab.Extension{Name: "NOTRACK"}))
}

func xtablesCT(p *probe.P) {
	take := p.Listen()
	life := func(subject string, target lab.Extension) {
		legacy(p, "raw", lab.XtRule{Hook: lab.HookPrerouting, Target: &target})
		p.Mark()
		f := tcpFlow()
		p.Outcome(subject, p.Forth(f.Orig(SYN)))
		p.Back(f.Reply(SYN | ACK))
		p.Flush()
		p.Events(subject, take())
	}
	const (
		eventNew, eventDestroy     = 1 << 0, 1 << 2
		zoneOrig, zoneReply        = 1 << 2, 1 << 3
		flagNotrack, flagNotrackV2 = 1 << 0, 1 << 1
	)
	life("nothing", lab.XtTargetCT{Revision: 2}.Extension())
	life("notrack", lab.XtTargetCT{Flags: flagNotrack, Revision: 2}.Extension())
	life("notrack-alias", lab.XtTargetCT{Flags: flagNotrackV2, Revision: 2}.Extension())
	life("notrack-target", lab.Extension{Name: "NOTRACK"})
	life("zone", lab.XtTargetCT{Zone: 7, Revision: 2}.Extension())
	life("zone-of-orig", lab.XtTargetCT{Zone: 7, Flags: zoneOrig, Revision: 2}.Extension())
	life("zone-of-reply", lab.XtTargetCT{Zone: 7, Flags: zoneReply, Revision: 2}.Extension())
	life("event-new", lab.XtTargetCT{Events: eventNew, Revision: 2}.Extension())
	life("event-destroy", lab.XtTargetCT{Events: eventDestroy, Revision: 2}.Extension())
}

func xtablesTimeout(p *probe.P) {
	const name, l3, l4, data = 1, 2, 3, 4
	r := dial(p)
	short := func(seconds uint32) []netlink.Attribute {
		return []netlink.Attribute{text(name, "short"), num16(l3, unix.AF_INET), num8(l4, unix.IPPROTO_UDP), of(data, num32(1, seconds))}
	}
	_, err := r.Ask(ct.TimeoutNew, create, unix.AF_INET, short(7)...)
	p.Must(err)
	target := lab.XtTargetCT{TimeoutPol: "short", Revision: 2}.Extension()
	legacy(p, "raw", lab.XtRule{Hook: lab.HookPrerouting, Proto: unix.IPPROTO_UDP, Target: &target})
	from, to := versions[0].udp()
	outcome(p, "first", wire.UDP(from, to, "x"))
	_, err = r.Ask(ct.TimeoutNew, unix.NLM_F_REPLACE, unix.AF_INET, short(70)...)
	p.Errno("replaced", err)
	outcome(p, "replaced", wire.UDP(from, to, "x"))
	_, err = r.Ask(ct.TimeoutDelete, 0, unix.AF_INET, text(name, "short"))
	p.Errno("deleted", err)
	_, err = r.Ask(ct.TimeoutGet, 0, unix.AF_INET, text(name, "short"))
	p.Errno("asked-for", err)
	outcome(p, "begun", wire.UDP(from, to, "x"))
	p.Flush()
	outcome(p, "newcomer", wire.UDP(from, to, "x"))
}

// xtablesConnmark reads the mark of a connection that began with 0xf0 after each
// target.
func xtablesConnmark(p *probe.P) {
	const set, left = 0, 0
	mark := keyNamed(p, "mark")
	for _, m := range []struct {
		name   string
		target lab.Extension
	}{
		{"set", lab.Extension{Name: "CONNMARK", Revision: 1, Info: lab.Words32(0x5, 0xffffffff, 0xffffffff, set)}},
		{"or", lab.Extension{Name: "CONNMARK", Revision: 1, Info: lab.Words32(0x5, 0x5, 0, set)}},
		{"xor", lab.Extension{Name: "CONNMARK", Revision: 1, Info: lab.Words32(0x30, 0, 0, set)}},
		{"and", lab.Extension{Name: "CONNMARK", Revision: 1, Info: lab.Words32(0, 0xffffffcf, 0, set)}},
		{"save", lab.Extension{Name: "CONNMARK", Revision: 1, Info: lab.Words32(0, 0xffffffff, 0xffffffff, 1)}},
		{"set-shifted", lab.Extension{Name: "CONNMARK", Revision: 2, Info: append(lab.Words32(0x5, 0xffffffff, 0xffffffff), left, 4, set, 0)}},
	} {
		p.ClearRules()
		p.Flush()
		begin := lab.Extension{Name: "CONNMARK", Revision: 1, Info: lab.Words32(0xf0, 0xffffffff, 0xffffffff, set)}
		legacy(p, "mangle",
			lab.XtRule{Hook: lab.HookPrerouting, Target: &begin},
			lab.XtRule{Hook: lab.HookPrerouting, Target: &m.target})
		p.Add(lab.On(lab.FilterForward))
		readKeys(p, lab.FilterForward, mark)
		p.Forth(tcpFlow().Orig(SYN))
		said, err := p.Box.Rules.Said(lab.FilterForward, mark)
		p.Must(err)
		p.Text(m.name, "value", listOr("no answer", said))
	}
}

func xtablesConnbytes(p *probe.P) {
	acctNow(p, "before")
	one := func(m lab.Extension) lab.XtRule {
		return lab.XtRule{Hook: lab.HookForward, Matches: []lab.Extension{m}}
	}
	const packets, bytes, average = 0, 1, 2
	const orig, reply, both = 0, 1, 2
	names := []string{"packets-2-orig", "packets-2-both", "bytes-41-orig", "bytes-reply", "average-50", "outside-4-to-5"}
	took := legacy(p, "mangle",
		one(lab.XtConnbytes(2, 1<<62, packets, orig)), one(lab.XtConnbytes(2, 1<<62, packets, both)),
		one(lab.XtConnbytes(41, 1<<62, bytes, orig)), one(lab.XtConnbytes(1, 1<<62, bytes, reply)),
		one(lab.XtConnbytes(50, 1<<62, average, both)), one(lab.XtConnbytes(5, 4, packets, both)))
	acctNow(p, "with-rule")
	fulfilled := func(subject string) {
		var yes []string
		for i, n := range took() {
			if n > 0 {
				yes = append(yes, names[i])
			}
		}
		p.Text(subject, "matches", listOr("none", yes))
	}
	f := tcpFlow()
	p.Forth(f.Orig(SYN))
	fulfilled("syn")
	p.Back(f.Reply(SYN | ACK))
	fulfilled("synack")
	p.Forth(f.Orig(ACK))
	fulfilled("ack")
	p.Forth(f.Orig(ACK, wire.Payload("a segment of some length, so that the average is more than fifty")))
	fulfilled("data")
}

func xtablesConnlabel(p *probe.P) {
	const set, inverted = 2, 1
	label := func(bit, options uint16) lab.Extension {
		return lab.Extension{Name: "connlabel", Info: lab.Words32(uint32(bit) | uint32(options)<<16)}
	}
	rule := func(m lab.Extension) lab.XtRule {
		return lab.XtRule{Hook: lab.HookForward, Matches: []lab.Extension{m}}
	}
	took := legacy(p, "mangle", rule(label(5, 0)), rule(label(5, set)), rule(label(5, 0)), rule(label(127, set)), rule(label(6, inverted)))
	key := keyNamed(p, "label")
	p.Add(lab.On(lab.Postrouting))
	readKeys(p, lab.Postrouting, key)
	p.Forth(tcpFlow().Orig(SYN))
	names := []string{"before", "set", "after", "set-last", "other"}
	for i, n := range took() {
		p.Flag(names[i], "matches", n > 0)
	}
	said, err := p.Box.Rules.Said(lab.Postrouting, key)
	p.Must(err)
	p.Text("label", "value", listOr("no answer", said))
}
