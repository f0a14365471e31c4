package suite

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/internal/probe"
	"github.com/ctmatrix/ctmatrix/guest/internal/wire"
)

var natPorts = []probe.Probe{
	natProbe("port-clash", "Is a client's port kept where nobody has it, and from which range is another where a second client has the same?",
		natCore+": ports below 512, below 1024 and above stay among themselves", sourceNAT, func(p *probe.P) {
			for _, v := range versions {
				second, _ := v.others()
				ports := []uint16{1, 80, 511, 512, 599, 600, 1023, 1024, 65535}
				if v.client.Is6() {
					ports = []uint16{80, 1024}
				}
				for _, n := range ports {
					p.Flush()
					subject := fmt.Sprintf("%s-port-%d", v.name, n)
					to := netip.AddrPortFrom(v.server, 53)
					out := p.Forth(wire.UDP(netip.AddrPortFrom(v.client, n), to, "x"))
					clash := p.Forth(wire.UDP(netip.AddrPortFrom(second, n), to, "x"))
					p.Text(subject, "source-port", newID(out, n)+"; second client: "+newID(clash, n))
				}
			}
		}),
	natProbe("sticky", "Does a client's port look the same to every server, as long as it has any connection?",
		"find_appropriate_src in nf_nat_core.c", sourceNAT, func(p *probe.P) {
			for _, v := range versions {
				p.Flush()
				second, otherServer := v.others()
				send := func(client, server netip.Addr) []wire.Seen {
					return p.Forth(wire.UDP(netip.AddrPortFrom(client, firstPort), netip.AddrPortFrom(server, 53), "x"))
				}
				send(v.client, v.server)
				drawn := p.Forth(wire.UDP(netip.AddrPortFrom(second, firstPort), netip.AddrPortFrom(v.server, 53), "x"))
				p.Text(v.name+"-second-client", "source-port", newID(drawn, firstPort))
				other := send(second, otherServer)
				p.Flag(v.name+"-other-server", "kept", sortedPorts(other) == sortedPorts(drawn))
				tcp := p.Forth(wire.TCP(netip.AddrPortFrom(second, firstPort), netip.AddrPortFrom(otherServer, 53)).Orig(SYN))
				p.Text(v.name+"-other-protocol", "source-port", newID(tcp, firstPort))
				p.Flush()
				p.Text(v.name+"-when-all-gone", "source-port", newID(send(second, otherServer), firstPort))
			}
		}),
	natRandom,
	natProbe("spread", "Over a range of addresses, which does a client get, and is it the same for another server?",
		"find_best_ips_proto in nf_nat_core.c: a hash without a seed", nil, func(p *probe.P) {
			for _, v := range versions {
				second, otherServer := v.others()
				for _, c := range []struct {
					name       string
					persistent bool
				}{{"snat", false}, {"persistent", true}} {
					p.ClearRules()
					pool := lab.Translation{From: v.translated(), To: v.lastTranslated(), Persistent: c.persistent}
					p.Add(lab.On(lab.NATPostrouting, lab.Out(lab.FarName), pool.SNAT()))
					for _, f := range []struct {
						name     string
						from, to netip.AddrPort
					}{
						{"first", netip.AddrPortFrom(v.client, 1), netip.AddrPortFrom(v.server, 53)},
						{"other-port", netip.AddrPortFrom(v.client, 2), netip.AddrPortFrom(v.server, 54)},
						{"other-server", netip.AddrPortFrom(v.client, 1), netip.AddrPortFrom(otherServer, 53)},
						{"other-client", netip.AddrPortFrom(second, 1), netip.AddrPortFrom(v.server, 53)},
					} {
						p.Flush() // a client that has a connection keeps its address
						goes(p, v.name+"-"+c.name+"-"+f.name, wire.UDP(f.from, f.to, "x"))
					}
				}
			}
		}),
}

// lastTranslated is the end of a range that begins with translated.
func (v version) lastTranslated() netip.Addr {
	if v.client.Is6() {
		return netip.MustParseAddr("2001:db8:3::ffff:ffff")
	}
	return netip.MustParseAddr("203.0.113.254")
}

// natRandom asks of sixteen connections whether they all keep their ports: that a
// draw keeps one of them is one time in 4000, that it keeps all, never.
var natRandom = probe.Probe{
	Name:     "nat/random",
	Question: "Do all connections keep their ports, if free, and does a client's port look the same to every server?",
	Source:   natCore + ": NF_NAT_RANGE_PROTO_RANDOM_ALL; nft_masq.c",
	Path:     lab.Forward6,
	Only:     probe.Initial,
	Needs:    append(slices.Clone(nat), "nft_masq"),
	Run: func(p *probe.P) {
		for _, c := range []struct {
			name      string
			statement lab.Part
		}{
			{"snat", lab.Translation{From: translated4}.SNAT()},
			{"snat-random", lab.Translation{From: translated4, Random: true}.SNAT()},
			{"snat-fully-random", lab.Translation{From: translated4, FullyRandom: true}.SNAT()},
			{"snat-persistent", lab.Translation{From: translated4, Persistent: true}.SNAT()},
			{"masquerade", lab.Masquerade()},
			{"masquerade-random", lab.MasqueradeRandom(false)},
			{"masquerade-fully-random", lab.MasqueradeRandom(true)},
		} {
			p.ClearRules()
			p.Add(lab.On(lab.NATPostrouting, lab.Out(lab.FarName), c.statement))
			p.Flush()
			kept, sticky := true, true
			for i := range uint16(16) {
				from := netip.AddrPortFrom(client, firstPort+i)
				one := p.Forth(wire.UDP(from, netip.AddrPortFrom(server, 53), "x"))
				other := p.Forth(wire.UDP(from, netip.AddrPortFrom(server2, 53), "x"))
				kept = kept && newID(one, firstPort+i) == "kept"
				sticky = sticky && len(other) == 1 && sortedPorts(one) == sortedPorts(other)
			}
			p.Flag(c.name, "kept", kept)
			p.Flag(c.name+"-to-another-server", "kept", sticky)
		}
	},
}
