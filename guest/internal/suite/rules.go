package suite

import (
	"slices"
	"strings"
	"time"

	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/internal/probe"
	"github.com/ctmatrix/ctmatrix/guest/internal/wire"
)

const ctGet = "nft_ct_get_eval in nft_ct.c"

// Accounting is set back in the end: a rule that asks for counters switches it
// on and leaves it so.
var (
	withCounters    = []probe.Sysctl{{Name: acctSysctl, Value: "1"}}
	withoutCounters = []probe.Sysctl{{Name: acctSysctl, Value: "0"}}
)

// rules ask what rules of nf_tables see of tracking, and do to it.
var rules = slices.Concat(rulesRead, rulesRefused, rulesCount, rulesObjects)

// rulesRead ask for every key of the ct expression.
var rulesRead = []probe.Probe{
	{
		Name:     "rules/no-connection",
		Question: "Which ct keys have an answer for a packet without a connection: before tracking, with a zone from a rule, untracked, and INVALID?",
		Source:   ctGet + "; nft_ct_set_zone_eval (templates)",
		Path:     lab.Forward6,
		Sysctls:  withCounters,
		Only:     probe.Initial,
		Run: func(p *probe.P) {
			begin := tcpFlow().Orig(SYN)
			saidAt(p, "before-tracking", lab.RawPrerouting, nil, begin)
			saidAt(p, "template", lab.RawPrerouting, []lab.Rule{lab.On(lab.RawPrerouting, lab.CtSet("zone", []byte{7, 0}))}, begin)
			saidAt(p, "untracked", lab.ManglePrerouting, []lab.Rule{lab.On(lab.RawPrerouting, lab.Notrack)}, begin)
			saidAt(p, "invalid", lab.ManglePrerouting, nil, tcpFlow().Orig(RST))
		},
	},
	{
		Name:     "rules/ct-first",
		Question: "What does each ct key say of the first packet of a connection?",
		Source:   ctGet,
		Path:     lab.Forward6,
		Sysctls:  withCounters,
		Only:     probe.Initial,
		Run: func(p *probe.P) {
			answers(p, tcpFlow().Orig(SYN))
		},
	},
	{
		Name:     "rules/ct-reply",
		Question: "What does each ct key say of the first packet in the reply direction?",
		Source:   ctGet,
		Path:     lab.Forward6,
		Sysctls:  withCounters,
		Only:     probe.Initial,
		Run: func(p *probe.P) {
			f := tcpFlow()
			p.Forth(f.Orig(SYN))
			answersBack(p, f.Reply(SYN|ACK))
		},
	},
	{
		Name:     "rules/ct-established",
		Question: "What does each ct key say of a packet of an established connection?",
		Source:   ctGet,
		Path:     lab.Forward6,
		Sysctls:  withCounters,
		Only:     probe.Initial,
		Run: func(p *probe.P) {
			f := tcpFlow()
			p.Forth(f.Orig(SYN))
			p.Back(f.Reply(SYN | ACK))
			p.Forth(f.Orig(ACK))
			answers(p, f.Orig(ACK, wire.Payload("hello")))
		},
	},
	{
		Name:     "rules/ct-related",
		Question: "What does each ct key say of an ICMP error about a connection?",
		Source:   ctGet,
		Path:     lab.Forward6,
		Sysctls:  withCounters,
		Only:     probe.Initial,
		Run: func(p *probe.P) {
			v := versions[0]
			from, to := v.udp()
			out := p.Forth(wire.UDP(from, to, "x"))
			e := v.errors()[0]
			answersBack(p, wire.ICMPError(v.router(), v.client, e.typ, e.code, e.rest, one(p, out)))
		},
	},
	{
		Name:     "rules/ct-v6",
		Question: "What does each ct key say of a connection over IPv6?",
		Source:   ctGet,
		Path:     lab.Forward6,
		Sysctls:  withCounters,
		Only:     probe.Initial,
		Run: func(p *probe.P) {
			from, to := versions[1].udp()
			p.Forth(wire.UDP(from, to, "x"))
			answers(p, wire.UDP(from, to, "y"))
		},
	},
	{
		Name:     "rules/ct-expiration",
		Question: "`ct expiration`: how long does a rule say that a connection is still kept, of packets that give it more time and that do not?",
		Source:   ctGet,
		Path:     lab.Forward,
		Only:     probe.Initial,
		Timed:    true,
		Run: func(p *probe.P) {
			f := tcpFlow()
			syn := f.Orig(SYN)
			p.Forth(syn)
			p.Wait(5 * time.Second)
			expires(p, "syn-again", p.Forth, syn)
			expires(p, "synack", p.Back, f.Reply(SYN|ACK))
			expires(p, "ack", p.Forth, f.Orig(ACK))
			expires(p, "fin", p.Forth, f.Orig(FIN|ACK))
			expires(p, "invalid", p.Forth, talkers(versions[0], 2)[1].Orig(RST))
			expires(p, "rst", p.Forth, f.Orig(RST))
			p.Flush()
			from, to := versions[0].udp()
			p.Forth(wire.UDP(from, to, "x"))
			expires(p, "udp-answer", p.Back, wire.UDP(to, from, "y"))
		},
	},
	{
		Name:     "rules/accounting",
		Question: "Does a rule that asks for counters switch accounting on, for whom, and does it stay on when the rule goes?",
		Source:   "nft_ct_get_init (nf_ct_set_acct) in nft_ct.c",
		Path:     lab.Forward,
		Sysctls:  withoutCounters,
		Run: func(p *probe.P) {
			begin := tcpFlow().Orig(SYN)
			p.Forth(begin)
			acctNow(p, "before")
			readKeys(p, lab.ManglePrerouting, keyNamed(p, "packets"))
			acctNow(p, "with-rule")
			p.Forth(begin)
			counted(p, "old-flow")
			p.Flush()
			p.Forth(begin)
			counted(p, "new-flow")
			p.ClearRules()
			acctNow(p, "rule-gone")
		},
	},
}

// expires records what ct expiration says of a packet after tracking. Each packet
// has a set of its own, which is read before the next one comes.
func expires(p *probe.P, subject string, send func(...wire.Packet) []wire.Seen, pkt wire.Packet) {
	key := lab.Expiration(subject)
	readKeys(p, lab.ManglePrerouting, key)
	send(pkt)
	said, err := p.Box.Rules.Said(lab.ManglePrerouting, key)
	p.Must(err)
	p.Text(subject, "value", listOr("no answer", said))
}

func acctNow(p *probe.P, subject string) {
	value, err := lab.ReadSysctl(acctSysctl)
	p.Must(err)
	p.Text(subject, "value", value)
}

func keyNamed(p *probe.P, name string) lab.Key {
	for _, k := range lab.Keys {
		if k.Name == name {
			return k
		}
	}
	p.Broken("no ct key %s", name)
	panic("not reached")
}

// readKeys has a chain keep what packets' connections say to keys.
func readKeys(p *probe.P, at lab.Chain, keys ...lab.Key) {
	for _, k := range keys {
		p.Supported(p.Box.Rules.Read(at, k), k.Option)
	}
}

// answers sends a packet and records what each key says of it after tracking.
func answers(p *probe.P, pkt wire.Packet) {
	readKeys(p, lab.ManglePrerouting, lab.Keys...)
	p.Forth(pkt)
	eachKey(p)
}

func answersBack(p *probe.P, pkt wire.Packet) {
	readKeys(p, lab.ManglePrerouting, lab.Keys...)
	p.Back(pkt)
	eachKey(p)
}

func eachKey(p *probe.P) {
	for _, k := range lab.Keys {
		said, err := p.Box.Rules.Said(lab.ManglePrerouting, k)
		p.Must(err)
		p.Text(strings.ReplaceAll(k.Name, " ", "-"), "value", listOr("no answer", said))
	}
}

// saidAt records in one row the keys that have an answer for a packet in a chain.
func saidAt(p *probe.P, subject string, at lab.Chain, first []lab.Rule, pkt wire.Packet) {
	p.ClearRules()
	p.Flush()
	p.Add(append(first, lab.On(at), lab.On(lab.ManglePrerouting, lab.CtState("new"), lab.Accept))...)
	readKeys(p, at, lab.Keys...)
	p.Forth(pkt)
	var all []string
	for _, k := range lab.Keys {
		said, err := p.Box.Rules.Said(at, k)
		p.Must(err)
		for _, s := range said {
			all = append(all, k.Name+" "+s)
		}
	}
	p.Text(subject, "answers", listOr("none", all))
}
