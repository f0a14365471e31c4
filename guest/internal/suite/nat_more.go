package suite

import (
	"net/netip"
	"slices"

	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/internal/probe"
	"github.com/ctmatrix/ctmatrix/guest/internal/wire"
)

var natMore = []probe.Probe{
	natProbe("netmap", "Are addresses mapped one to one, prefix by prefix, and what becomes of those outside of the prefix?",
		"nft_nat_setup_netmap in nft_nat.c", nil, func(p *probe.P) {
			for _, c := range []struct{ first, last string }{
				{"203.0.113.0", "203.0.113.255"},
				{"2001:db8:3::", "2001:db8:3:0:ffff:ffff:ffff:ffff"},
			} {
				prefix := lab.Translation{From: netip.MustParseAddr(c.first), To: netip.MustParseAddr(c.last), Netmap: true}
				p.Add(lab.On(lab.NATPostrouting, lab.Out(lab.FarName), prefix.SNAT()))
			}
			for _, c := range []struct{ name, inside, outside, server string }{
				{"v4-prefix", "198.18.0.2", "203.0.113.2", "198.19.0.2"},
				{"v4-beyond", "198.18.77.200", "203.0.113.200", "198.19.0.2"},
				{"v6-prefix", "2001:db8:1::2", "2001:db8:3::2", "2001:db8:2::2"},
				{"v6-beyond", "2001:db8:1:77:1:2:3:200", "2001:db8:3:0:1:2:3:200", "2001:db8:2::2"},
			} {
				to := netip.AddrPortFrom(netip.MustParseAddr(c.server), 53)
				goes(p, c.name, wire.UDP(netip.AddrPortFrom(netip.MustParseAddr(c.inside), firstPort), to, "x"))
				comes(p, c.name+"-reply", wire.UDP(to, netip.AddrPortFrom(netip.MustParseAddr(c.outside), firstPort), "y"))
			}
		}),
	natProbe("answer-first", "What does a client's packet look like that comes after the packet that looks like its answer?",
		natCore+", nf_nat_used_tuple", nil, func(p *probe.P) {
			for _, v := range versions {
				p.Add(lab.On(lab.NATPostrouting, lab.Out(lab.FarName), lab.SNAT(v.neighbour())))
			}
			for _, v := range versions {
				p.Flush()
				from, to := v.udp()
				outside := netip.AddrPortFrom(v.neighbour(), firstPort)
				comes(p, v.name+"-answer", wire.UDP(to, outside, "y"))
				out := p.Forth(wire.UDP(from, to, "x"))
				p.Text(v.name+"-client", "source-port", newID(out, firstPort))
				comes(p, v.name+"-answer-again", wire.UDP(to, outside, "y"))
				p.Entry(v.name+"-client", p.Entries())
			}
		}),
	natProbe("rule-later", "Does a rule that comes later, or goes, change what becomes of a connection, and how often is the chain asked?",
		"nf_nat_inet_fn in nf_nat_core.c: a binding is made once, or is null", nil, func(p *probe.P) {
			rule := lab.On(lab.NATPostrouting, lab.Out(lab.FarName), lab.Meter("asked"), lab.SNAT(translated4))
			from, to := versions[0].udp()
			goes(p, "no-chain", wire.UDP(from, to, "x"))
			p.Add(lab.On(lab.NATPostrouting))
			goes(p, "old-no-rule", wire.UDP(from, to, "x"))
			p.Add(rule)
			for _, c := range []struct {
				name string
				from netip.AddrPort
			}{{"old", from}, {"new", port(from, 2)}} {
				p.Mark()
				p.Forth(wire.UDP(c.from, to, "x"))
				goes(p, c.name, wire.UDP(c.from, to, "x"))
				p.Count(c.name, "asked", int(p.Meters()["asked"]))
			}
			p.ClearRules()
			goes(p, "rule-gone", wire.UDP(port(from, 2), to, "x"))
			comes(p, "rule-gone-reply", wire.UDP(to, netip.AddrPortFrom(translated4, 2), "y"))
			p.Entry("rule-gone", p.Entries())
		}),
	natRedirect, natHairpin, natRefused,
}

var natRedirect = probe.Probe{
	Name:     "nat/redirect",
	Question: "To which of the box's addresses does a redirected packet go, with none of the version on the link, with one that does not reach far enough, with two?",
	Source:   "nf_nat_redirect_ipv4 and nf_nat_redirect_ipv6 in nf_nat_redirect.c; commit 80abbe8a8263",
	Path:     lab.Forward6,
	Only:     probe.Initial,
	Needs:    append(slices.Clone(nat), "nft_redir"),
	Rules:    []lab.Rule{lab.On(lab.NATPrerouting, lab.Proto("udp"), lab.Dport(53), lab.Redirect(5353))},
	Run: func(p *probe.P) {
		asked := func(subject string, send func(...wire.Packet) []wire.Seen, from, to netip.AddrPort) {
			p.Flush()
			send(wire.UDP(from, to, "x"))
			var replies []string
			for _, e := range p.Entries() {
				replies = append(replies, e.Reply.String())
			}
			p.Text(subject, "reply", listOr("none", replies))
		}
		from, to := versions[0].udp()
		asked("v4-one", p.Through, from, to)
		p.Must(p.Box.Give(lab.NearName, netip.MustParseAddr("192.0.2.11")))
		asked("v4-two", p.Through, from, to)
		asked("v4-none", p.Back, port(to, 9), port(from, 53))
		from, to = versions[1].udp()
		asked("v6-none", p.Through, from, to)
		p.Must(p.Box.Give(lab.NearName, netip.MustParseAddr("fe80::1")))
		asked("v6-link-local", p.Through, from, to)
		p.Must(p.Box.Give(lab.NearName, box6))
		asked("v6-one", p.Through, from, to)
		p.Must(p.Box.Give(lab.NearName, netip.MustParseAddr("2001:db8::11")))
		asked("v6-two", p.Through, from, to)
		asked("v6-to-link-local", p.Through, addr(from, netip.MustParseAddr("fe80::2")), addr(to, netip.MustParseAddr("fe80::53")))
	},
}

var natHairpin = probe.Probe{
	Name:     "nat/hairpin",
	Question: "Where a client reaches its neighbour by the outside address, what does the neighbour see, and the client, with its own address hidden and not?",
	Source:   "nf_nat_packet in nf_nat_core.c; nf_nat_ipv4_out in nf_nat_proto.c",
	Path:     lab.Forward,
	Only:     probe.Initial,
	Needs:    nat,
	Sysctls: []probe.Sysctl{
		{Name: "net.ipv4.conf.all.send_redirects", Value: "0"},
		{Name: "net.ipv4.conf.default.send_redirects", Value: "0"},
	},
	Rules: []lab.Rule{lab.On(lab.NATPrerouting, lab.ToAddr(translated4), lab.Translation{From: client2, Low: 8080}.DNAT())},
	Run: func(p *probe.P) {
		f := wire.TCP(netip.AddrPortFrom(client, firstPort), netip.AddrPortFrom(translated4, 80))
		p.Text("seen", "packet", hops(p.Through(f.Orig(SYN))))
		tuples(p, "seen")
		p.Flush()
		p.Add(lab.On(lab.NATPostrouting, lab.Out(lab.NearName), lab.SNAT(lab.Server)))
		p.Text("hidden", "packet", hops(p.Through(wire.TCP(netip.AddrPortFrom(client, firstPort), netip.AddrPortFrom(translated4, 80)).Orig(SYN))))
		tuples(p, "hidden")
		inside := wire.TCP(netip.AddrPortFrom(lab.Server, firstPort), netip.AddrPortFrom(client2, 8080))
		inside.Orig(SYN)
		p.Text("hidden-answer", "packet", hops(p.Through(inside.Reply(SYN|ACK))))
	},
}
