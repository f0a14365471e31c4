package suite

import (
	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/internal/probe"
	"github.com/ctmatrix/ctmatrix/guest/internal/wire"
)

const floodSource = tales + "; Documentation/networking/ip-sysctl.rst, tcp_syncookies"

// Seeds of the boot make the cookies and the initial sequence numbers, but rows
// count answers and do not show them; that on demand no cookie is sent follows
// from the length of the queue, 1024, and not from chance. The hash's seed is kept
// out by undisturbed, which asks once where nothing is evicted: with notrack, with
// the rate limit and without a limit it always is so, and the limit's bucket is as
// full as it starts: it gets a token a minute.
var synFlood = []probe.Probe{
	{
		Name:     "syn-flood/cookies-0",
		Question: "What does a flood leave of a table of seven, without SYN cookies?",
		Source:   floodSource,
		Sysctls:  append(limit(7), probe.Sysctl{Name: cookiesSysctl, Value: "0"}),
		Run:      flood,
	},
	{
		Name:     "syn-flood/cookies-1",
		Question: "What does a flood leave of a table of seven, with SYN cookies on demand?",
		Source:   floodSource,
		Sysctls:  append(limit(7), probe.Sysctl{Name: cookiesSysctl, Value: "1"}),
		Run:      flood,
	},
	{
		Name:     "syn-flood/cookies-2",
		Question: "Do SYN cookies for every connection keep a flood out of the table?",
		Source:   floodSource,
		Sysctls:  append(limit(7), probe.Sysctl{Name: cookiesSysctl, Value: "2"}),
		Run:      flood,
	},
	{
		Name:     "syn-flood/cookies-2-no-limit",
		Question: "Is a connection answered with a SYN cookie tracked like any other?",
		Source:   floodSource,
		Sysctls:  []probe.Sysctl{{Name: cookiesSysctl, Value: "2"}},
		Run:      flood,
	},
	{
		Name:     "syn-flood/notrack",
		Question: "Does notrack on the port, both ways, keep a flood out of the table and the port open?",
		Source:   floodSource,
		Sysctls:  limit(7),
		Rules: []lab.Rule{
			lab.On(lab.RawPrerouting, lab.Proto("tcp"), lab.Dport(80), lab.Notrack),
			lab.On(lab.RawOutput, lab.Proto("tcp"), lab.Sport(80), lab.Notrack),
		},
		Run: flood,
	},
	{
		Name:     "syn-flood/rate-limit",
		Question: "Does a rate limit before tracking keep a flood out of the table?",
		Source:   floodSource,
		Sysctls:  limit(7),
		Needs:    []string{"nft_limit"},
		Rules:    []lab.Rule{lab.On(lab.RawPrerouting, lab.Proto("tcp"), lab.RateOver(5), lab.Drop)},
		Run:      flood,
	},
}

func flood(p *probe.P) {
	listen(p)
	var out []wire.Seen
	undisturbed(p, func(first uint16) {
		out = p.Through(origs(flows(10, first, web), SYN)...)
	})
	p.Fate("answer", out)
	passage(p, "syn")
	tableOf(p, "syn", p.Entries())
	drops(p)
}
