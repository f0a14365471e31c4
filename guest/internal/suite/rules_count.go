package suite

import (
	"net/netip"

	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/internal/probe"
	"github.com/ctmatrix/ctmatrix/guest/internal/wire"
)

const counts = "__nf_conncount_add in nf_conncount.c; nft_connlimit_do_eval in nft_connlimit.c"

// over drops what is more than three connections.
func over(matches ...lab.Part) lab.Rule {
	return lab.On(lab.FilterForward, append(matches, lab.CountOver(3), lab.Meter("over"), lab.Drop)...)
}

var rulesCount = []probe.Probe{
	{
		Name:     "rules/count-new",
		Question: "Which new connections does `ct count over 3` stop: those past the third, one sent again, one after another was closed or deleted?",
		Source:   counts,
		Path:     lab.Forward6,
		Only:     probe.Initial,
		Needs:    []string{"nft_connlimit"},
		Rules:    []lab.Rule{over(lab.CtState("new"))},
		Run:      func(p *probe.P) { counting(p, versions[0]) },
	},
	{
		Name:     "rules/count-new-v6",
		Question: "Does `ct count over 3` count connections over IPv6 alike?",
		Source:   counts,
		Path:     lab.Forward6,
		Only:     probe.Initial,
		Needs:    []string{"nft_connlimit"},
		Rules:    []lab.Rule{over(lab.CtState("new"))},
		Run:      func(p *probe.P) { counting(p, versions[1]) },
	},
	{
		Name:     "rules/count-all",
		Question: "Where `ct count over 3` sees every packet and not only new ones: are connections from before counted, and are their packets stopped?",
		Source:   counts + `; "netfilter: nf_conncount: rework API to use sk_buff directly"`,
		Path:     lab.Forward6,
		Only:     probe.Initial,
		Needs:    []string{"nft_connlimit"},
		Run: func(p *probe.P) {
			v := versions[0]
			fs := talkers(v, 5)
			for _, f := range fs[:4] {
				opened(p, f)
			}
			p.Add(over())
			for i, f := range fs[:4] {
				passes(p, []string{"first", "second", "third", "fourth"}[i], f.Orig(ACK, wire.Payload("x")))
			}
			passes(p, "first-again", fs[0].Orig(ACK, wire.Payload("x")))
			passes(p, "newcomer", fs[4].Orig(SYN))
		},
	},
	{
		Name:     "rules/count-unanswered",
		Question: "Where the limit sees every packet: is a connection counted once while it opens, and forgotten when it closes?",
		Source:   counts + `; "netfilter: nf_conncount: prevent connlimit drops for early confirmed ct"`,
		Path:     lab.Forward6,
		Only:     probe.Initial,
		Needs:    []string{"nft_connlimit"},
		Rules:    []lab.Rule{over()},
		Run: func(p *probe.P) {
			fs := talkers(versions[0], 5)
			for i, f := range fs[:3] {
				subject := []string{"first", "second", "third"}[i]
				passes(p, subject+"-syn", f.Orig(SYN))
				passesBack(p, subject+"-synack", f.Reply(SYN|ACK))
				passes(p, subject+"-ack", f.Orig(ACK))
			}
			passes(p, "fourth-syn", fs[3].Orig(SYN))
			passes(p, "first-data", fs[0].Orig(ACK, wire.Payload("x")))
			passes(p, "first-rst", fs[0].Orig(RST))
			passes(p, "fifth-syn", fs[4].Orig(SYN))
		},
	},
	{
		Name:     "rules/count-elsewhere",
		Question: "What does `ct count` count before tracking, of untracked packets, and of ICMP errors?",
		Source:   counts + "; nf_ct_get_tuplepr",
		Path:     lab.Forward6,
		Only:     probe.Initial,
		Needs:    []string{"nft_connlimit"},
		Run: func(p *probe.P) {
			v := versions[0]
			raw := lab.On(lab.RawPrerouting, lab.CountOver(1), lab.Meter("over"), lab.Drop)
			p.Add(raw)
			fs := talkers(v, 3)
			passes(p, "before-tracking-first", fs[0].Orig(SYN))
			passes(p, "before-tracking-again", fs[0].Orig(SYN))
			passes(p, "before-tracking-reply", fs[0].Reply(SYN|ACK))
			passes(p, "before-tracking-second", fs[1].Orig(SYN))
			reload(p, lab.On(lab.RawPrerouting, lab.Notrack), lab.On(lab.FilterForward, lab.CountOver(1), lab.Meter("over"), lab.Drop))
			passes(p, "untracked-first", fs[0].Orig(SYN))
			passes(p, "untracked-again", fs[0].Orig(SYN))
			passes(p, "untracked-second", fs[1].Orig(SYN))
			reload(p, lab.On(lab.FilterForward, lab.CtState("related"), lab.CountOver(1), lab.Meter("over"), lab.Drop))
			from, to := v.udp()
			about := one(p, p.Forth(wire.UDP(from, to, "x")))
			e := v.errors()[0]
			passesBack(p, "related", wire.ICMPError(v.router(), v.client, e.typ, e.code, e.rest, about))
			passesBack(p, "related-again", wire.ICMPError(v.router(), v.client, e.typ, e.code, e.rest, about))
		},
	},
	{
		Name:     "rules/count-object",
		Question: "Does a limit that is an object hold for all rules that refer to it, and can it be changed in place?",
		Source:   "nft_connlimit_obj_eval and nft_connlimit_obj_update in nft_connlimit.c",
		Path:     lab.Forward6,
		Only:     probe.Initial,
		Needs:    []string{"nft_connlimit", "nft_objref"},
		Run: func(p *probe.P) {
			const inverted = 1 // NFT_CONNLIMIT_F_INV
			p.Must(p.Box.Rules.TryObject(lab.FilterForward, "few", lab.CountObject, countPolicy(1, inverted)...))
			p.Add(lab.On(lab.FilterForward, lab.CtState("new"), lab.Object(lab.CountObject, "few"), lab.Meter("over"), lab.Drop))
			fs := talkers(versions[0], 5)
			passes(p, "first", fs[0].Orig(SYN))
			passes(p, "second", fs[1].Orig(SYN))
			p.Errno("change", p.Box.Rules.TryObject(lab.FilterForward, "few", lab.CountObject, countPolicy(3, inverted)...))
			passes(p, "third", fs[2].Orig(SYN))
			passes(p, "fourth", fs[3].Orig(SYN))
		},
	},
}

// counting sends new connections past a limit of three.
func counting(p *probe.P, v version) {
	fs := talkers(v, 7)
	for i, subject := range []string{"first", "second", "third", "fourth"} {
		passes(p, subject, fs[i].Orig(SYN))
	}
	passes(p, "third-again", fs[2].Orig(SYN))
	p.Back(fs[0].Reply(RST | ACK))
	passes(p, "one-closed", fs[4].Orig(SYN))
	passes(p, "full-again", fs[5].Orig(SYN))
	for _, e := range p.Entries() {
		if e.Orig.Src == fs[1].OrigAddr() {
			p.Delete(e)
		}
	}
	passes(p, "one-deleted", fs[6].Orig(SYN))
}

// talkers are connections from different ports of a client.
func talkers(v version, n int) []*wire.Flow {
	fs := make([]*wire.Flow, n)
	for i := range fs {
		fs[i] = wire.TCP(netip.AddrPortFrom(v.client, firstPort+uint16(i)), netip.AddrPortFrom(v.server, 80))
	}
	return fs
}

// opened takes a connection through its handshake and the first data, so that it
// is assured.
func opened(p *probe.P, f *wire.Flow) {
	p.Forth(f.Orig(SYN))
	p.Back(f.Reply(SYN | ACK))
	p.Forth(f.Orig(ACK))
}

// passes records whether a packet of the client came out at the server's side.
// The list of a limit is cleaned up once a tick at most: each packet has one of
// its own.
func passes(p *probe.P, subject string, pkt wire.Packet) {
	p.Must(lab.PassTicks(2))
	p.Fate(subject, p.Forth(pkt))
}

func passesBack(p *probe.P, subject string, pkt wire.Packet) {
	p.Must(lab.PassTicks(2))
	p.Fate(subject, p.Back(pkt))
}

// reload begins again with an empty table and other rules.
func reload(p *probe.P, rules ...lab.Rule) {
	p.ClearRules()
	p.Flush()
	p.Add(rules...)
}
