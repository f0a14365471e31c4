package suite

import (
	"net/netip"
	"slices"

	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/internal/probe"
	"github.com/ctmatrix/ctmatrix/guest/internal/wire"
)

const masqSource = "nf_nat_masquerade.c; nf_nat_oif_changed in nf_nat_core.c"

// outsides are two addresses of the far link, of the version, in the probes that
// give it some.
func (v version) outsides() (first, second netip.Addr) {
	if v.client.Is6() {
		return netip.MustParseAddr("2001:db8:4::1"), netip.MustParseAddr("2001:db8:4::2")
	}
	return netip.MustParseAddr("192.0.2.11"), netip.MustParseAddr("192.0.2.12")
}

// masqProbe is a probe that masquerades what goes to port 53, and translates by
// name of the address what goes to port 54: the control, to which addresses that
// come and go do not matter.
func masqProbe(name, question string, run func(*probe.P)) probe.Probe {
	asked := natProbe(name, question, masqSource, nil, func(p *probe.P) {
		p.Add(lab.On(lab.NATPostrouting, lab.Proto("udp"), lab.Dport(53), lab.Masquerade()))
		for _, v := range versions {
			first, _ := v.outsides()
			p.Add(lab.On(lab.NATPostrouting, lab.Proto("udp"), lab.Dport(54), lab.SNAT(first)))
		}
		run(p)
	})
	asked.Needs = append(slices.Clone(nat), "nft_masq")
	asked.Sysctls = []probe.Sysctl{
		{Name: "net.ipv4.conf.all.send_redirects", Value: "0"},
		{Name: "net.ipv4.conf.default.send_redirects", Value: "0"},
	}
	return asked
}

// worked lets the kernel's workers do what was put off: entries of an address that
// has gone are looked for outside of what took the address.
func worked(p *probe.P) { p.Must(lab.PassTicks(10)) }

var natMasquerade = []probe.Probe{
	masqProbe("masquerade-address", "Which address does a connection get, with none on the link, with two, and what becomes of connections when theirs goes?",
		func(p *probe.P) {
			for _, v := range versions {
				p.Flush()
				first, second := v.outsides()
				from, to := v.udp()
				goes(p, v.name+"-none", wire.UDP(from, to, "x"))
				p.Must(p.Box.Give(lab.FarName, first))
				p.Must(p.Box.Give(lab.FarName, second))
				p.Flush()
				goes(p, v.name+"-two", wire.UDP(from, to, "x"))
				goes(p, v.name+"-named", wire.UDP(from, port(to, 54), "x"))
				p.Must(p.Box.Take(lab.FarName, second))
				worked(p)
				p.Entry(v.name+"-second-gone", p.Entries())
				p.Must(p.Box.Give(lab.FarName, second))
				p.Must(p.Box.Take(lab.FarName, first))
				worked(p)
				p.Entry(v.name+"-first-gone", p.Entries())
				goes(p, v.name+"-named-again", wire.UDP(from, port(to, 54), "x"))
				goes(p, v.name+"-again", wire.UDP(from, to, "x"))
				p.Must(p.Box.Take(lab.FarName, second))
			}
		}),
	masqProbe("masquerade-link", "When the link goes down, which connections are forgotten?",
		func(p *probe.P) {
			for _, v := range versions {
				first, _ := v.outsides()
				from, to := v.udp()
				p.Must(p.Box.Give(lab.FarName, first))
				p.Forth(wire.UDP(from, to, "x"), wire.UDP(from, port(to, 54), "x"))
				// One of the near link, which stays.
				p.Back(wire.UDP(port(to, 9), port(from, 53), "x"))
			}
			p.Entry("up", p.Entries())
			p.Must(p.Box.Down(lab.FarName))
			worked(p)
			p.Entry("down", p.Entries())
		}),
	masqProbe("masquerade-route", "When the server is to be reached by another link, what becomes of a connection that was masqueraded for the first?",
		func(p *probe.P) {
			v := versions[0]
			first, _ := v.outsides()
			from, to := v.udp()
			p.Must(p.Box.Give(lab.FarName, first))
			goes(p, "before", wire.UDP(from, to, "x"))
			goes(p, "named-before", wire.UDP(from, port(to, 54), "x"))
			p.Must(p.Box.RouteBy(lab.NearName, v.server))
			for _, subject := range []string{"after", "again"} {
				p.Text(subject, "packet", hops(p.Through(wire.UDP(from, to, "x"))))
				p.Entry(subject, p.Entries())
			}
			p.Text("named-after", "packet", hops(p.Through(wire.UDP(from, port(to, 54), "x"))))
		}),
}
