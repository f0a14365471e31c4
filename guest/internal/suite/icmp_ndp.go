package suite

import (
	"net/netip"

	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/internal/probe"
	"github.com/ctmatrix/ctmatrix/guest/internal/wire"
)

// linkLocal is an address of a router on the near link.
var linkLocal = netip.MustParseAddr("fe80::1")

// icmpNeighbours are messages of a link, which are not forwarded: only their
// class and what they leave are of interest.
var icmpNeighbours = []probe.Probe{
	{
		Name:     "icmp/discovery",
		Question: "Are neighbour, router and multicast discovery untracked?",
		Source:   "noct_valid_new in nf_conntrack_proto_icmpv6.c; RFC 4861, 3810, 4286",
		Path:     lab.Forward6,
		Only:     probe.Initial,
		Run: func(p *probe.P) {
			allNodes := netip.MustParseAddr("ff02::1")
			for _, c := range []struct {
				subject string
				typ     uint8
			}{
				{"mld-query", 130}, {"mld-report", 131}, {"mld-done", 132}, {"router-solicitation", 133}, {"router-advertisement", 134},
				{"neighbour-solicitation", 135}, {"neighbour-advertisement", 136}, {"redirect", 137}, {"mld2-report", 143},
				{"home-agent-request", 144}, {"multicast-router-advertisement", 151}, {"multicast-router-solicitation", 152},
				{"multicast-router-termination", 153},
			} {
				p.Mark()
				p.Forth(wire.ICMP(linkLocal, allNodes, c.typ, 0, make([]byte, 40)))
				p.Class(c.subject)
				p.Entry(c.subject, p.Entries())
				p.Flush()
			}
			moved(p)
		},
	},
	{
		Name:     "icmp/redirect6",
		Question: "Which redirects about a tracked flow are related: from whom, with which hop limit, code and option?",
		Source:   "nf_conntrack_icmpv6_redirect in nf_conntrack_proto_icmpv6.c; RFC 4861, section 8.1",
		Path:     lab.Forward6,
		Only:     probe.Initial,
		Run: func(p *probe.P) {
			v := versions[1]
			from, to := v.udp()
			about := wire.UDP(from, to, "x")
			redirected := append([]byte{4, byte((8 + len(about.Data)) / 8), 0, 0, 0, 0, 0, 0}, about.Data...)
			for _, c := range []struct {
				subject string
				from    netip.Addr
				hops    byte
				code    uint8
				option  []byte
			}{
				{"right", linkLocal, 255, 0, redirected},
				{"global-source", v.router(), 255, 0, redirected},
				{"hop-limit-254", linkLocal, 254, 0, redirected},
				{"code-1", linkLocal, 255, 1, redirected},
				{"no-option", linkLocal, 255, 0, nil},
				{"option-of-length-0", linkLocal, 255, 0, []byte{4, 0, 0, 0, 0, 0, 0, 0}},
				{"other-option", linkLocal, 255, 0, []byte{2, 1, 0, 0, 0, 0, 0, 0}},
				{"other-flow", linkLocal, 255, 0, append([]byte{4, 6, 0, 0, 0, 0, 0, 0}, wire.UDP(from, port(to, 9), "x").Data...)},
			} {
				p.Flush()
				p.Forth(about)
				p.Mark()
				body := append(make([]byte, 4+16+16), c.option...)
				p.Forth(wire.ICMP(c.from, v.client, 137, c.code, body).Set(7, c.hops))
				p.Class(c.subject)
				p.Entry(c.subject, p.Entries())
			}
			moved(p)
		},
	},
}
