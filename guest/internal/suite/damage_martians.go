package suite

import (
	"net/netip"

	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/internal/probe"
	"github.com/ctmatrix/ctmatrix/guest/internal/wire"
)

const martianSource = "ip_route_input_slow and fib_validate_source in net/ipv4, which come after the tracker"

// What the box says about these packets must not depend on what it said before:
// it sends no redirects, and as many errors as there are.
var (
	noRedirects = probe.Sysctl{Name: "net.ipv4.conf.all.send_redirects", Value: "0"}
	allErrors6  = probe.Sysctl{Name: "net.ipv6.icmp.ratelimit", Value: "0"}
)

// martians are packets whose addresses or times to live keep them from getting
// anywhere. The tracker sees them first: what has a class, but no way on, must
// leave no entry.
var martians = []probe.Probe{
	filtered("0"), filtered("1"), filtered("2"),
	damaged("destination", lab.Forward, "Which destinations that are nobody's does a packet get to, and does it leave an entry?",
		martianSource, func(p *probe.P) {
			ofNear(p, "send_redirects", "0")
			// Each from another client: of errors about routes each gets so many
			// (ip_error), and what other errors it was sent counts on some kernels.
			from := udpClient
			for _, to := range []struct{ name, addr string }{
				{"server", "198.19.0.2"}, {"zero", "0.0.0.0"}, {"loopback", "127.0.0.1"}, {"own", "192.0.2.1"},
				{"near-broadcast", "198.18.255.255"}, {"no-route", "203.0.113.1"}, {"reserved", "240.0.0.1"},
				{"all-hosts", "224.0.0.1"}, {"other-group", "224.0.0.5"}, {"wide-group", "239.255.255.250"},
				{"broadcast", "255.255.255.255"},
			} {
				p.Flush()
				from = addr(from, from.Addr().Next())
				answered(p, to.name, wire.UDP(from, netip.AddrPortFrom(netip.MustParseAddr(to.addr), 9), "x"))
			}
		}, noRedirects),
	damaged("addresses6", lab.Forward6, "And over IPv6, which sources and destinations?",
		"ip6_rcv_core in net/ipv6/ip6_input.c, before the tracker; ip6_forward, after it", addresses6, allErrors6),
	localnet("0"), localnet("1"),
	damaged("land", lab.Forward, "Is a packet tracked that is from where it is for, and what is its class when it comes again?",
		"nf_ct_get_tuple and __nf_conntrack_confirm in nf_conntrack_core.c: both tuples are one", func(p *probe.P) {
			ofNear(p, "send_redirects", "0")
			self := wire.TCP(tcpClient, tcpClient)
			syn := self.Orig(SYN)
			for _, subject := range []string{"tcp", "tcp-again"} {
				answered(p, subject, syn)
			}
			p.Flush()
			for _, subject := range []string{"udp", "udp-again"} {
				answered(p, subject, wire.UDP(udpClient, udpClient, "x"))
			}
			p.Flush()
			answered(p, "udp-other-port", wire.UDP(udpClient, port(udpClient, 9), "x"))
			answered(p, "udp-other-port-back", wire.UDP(port(udpClient, 9), udpClient, "x"))
		}, noRedirects),
	ownSource("0"), ownSource("1"),
	damaged("hops", lab.Forward6, "Is a packet tracked that may go no further, and does it leave an entry?",
		"ip_forward in net/ipv4/ip_forward.c, ip6_forward in net/ipv6/ip6_output.c, which come after the tracker", func(p *probe.P) {
			for _, v := range versions {
				from, to := v.udp()
				pkt := wire.UDP(from, to, "x")
				for _, c := range []struct {
					name string
					hops byte
				}{{"0", 0}, {"1", 1}, {"2", 2}, {"255", 255}} {
					p.Flush()
					if v.client.Is6() {
						answered(p, v.name+"-"+c.name, pkt.Set(7, c.hops))
						continue
					}
					answered(p, v.name+"-"+c.name, pkt.Set(8, c.hops).Resummed())
				}
			}
			p.Flush()
			answered(p, "v4-own-0", wire.UDP(udpClient, netip.AddrPortFrom(lab.Server, 9), "x").Set(8, 0).Resummed())
		}, allErrors6),
	options("0"), options("1"),
}

// ofNear writes a setting of the near link, with which it goes.
func ofNear(p *probe.P, name, value string) {
	p.Must(p.Box.Near.Set("ipv4", name, value))
}

// answered sends a packet and records what became of it, wherever it went on to,
// and what the box answered.
func answered(p *probe.P, subject string, pkt wire.Packet) {
	p.Mark()
	back, forth := p.BothWays(pkt)
	var answers []wire.Seen
	sent, err := wire.Parse(pkt.Data)
	for _, s := range back {
		if err == nil && s.Src == sent.Src && s.Dst == sent.Dst {
			forth = append(forth, s) // by the link that it came from
		} else {
			answers = append(answers, s)
		}
	}
	p.OutcomeBothWays(subject, forth, answers)
}

// filtered asks what the filter of reverse paths at value lets by.
func filtered(value string) probe.Probe {
	return damaged("source-rp-filter-"+value, lab.Forward,
		"With rp_filter at "+value+", which sources that cannot be right get a packet tracked, sent on, and an entry?",
		martianSource+"; rp_filter in Documentation/networking/ip-sysctl.rst", func(p *probe.P) {
			ofNear(p, "rp_filter", value)
			for _, from := range []struct{ name, addr string }{
				{"client", "198.18.0.2"}, {"far-side", "198.19.0.9"}, {"no-route", "203.0.113.1"}, {"own", "192.0.2.1"},
				{"zero", "0.0.0.0"}, {"loopback", "127.0.0.1"}, {"group", "224.0.0.1"}, {"reserved", "240.0.0.1"},
				{"broadcast", "255.255.255.255"},
			} {
				p.Flush()
				answered(p, from.name, wire.UDP(netip.AddrPortFrom(netip.MustParseAddr(from.addr), firstPort), udpServer, "x"))
			}
		})
}

// localnet asks whether 127/8 may be reached from outside.
func localnet(value string) probe.Probe {
	return damaged("route-localnet-"+value, lab.Forward,
		"With route_localnet at "+value+", are packets to and from the loopback network tracked, and do they arrive?",
		martianSource+"; route_localnet in Documentation/networking/ip-sysctl.rst", func(p *probe.P) {
			ofNear(p, "route_localnet", value)
			local := netip.MustParseAddr("127.0.0.1")
			answered(p, "to", wire.UDP(udpClient, netip.AddrPortFrom(local, 9), "x"))
			p.Flush()
			answered(p, "from", wire.UDP(netip.AddrPortFrom(local, 9), udpServer, "x"))
		})
}

// ownSource asks what comes in with the box's own address as its source.
func ownSource(value string) probe.Probe {
	return damaged("own-source-accept-local-"+value, lab.Forward,
		"With accept_local at "+value+", is a packet tracked that says it is from the box, to itself or to another?",
		martianSource+"; accept_local in Documentation/networking/ip-sysctl.rst", func(p *probe.P) {
			ofNear(p, "accept_local", value)
			own := netip.AddrPortFrom(lab.Server, 9)
			answered(p, "land", wire.UDP(own, own, "x"))
			answered(p, "land-again", wire.UDP(own, own, "x"))
			p.Flush()
			answered(p, "on", wire.UDP(own, udpServer, "x"))
		})
}

// options asks about IPv4's options with source routes accepted or not.
func options(routes string) probe.Probe {
	return damaged("ip-options-source-route-"+routes, lab.Forward,
		"With accept_source_route at "+routes+", which options in the IPv4 header keep a packet from being tracked, or sent on?",
		"ip_rcv_options in net/ipv4/ip_input.c, after the tracker; ip_options_compile in net/ipv4/ip_options.c", func(p *probe.P) {
			ofNear(p, "accept_source_route", "1")
			pkt := wire.UDP(udpClient, udpServer, "x")
			via := wire.UDP(udpClient, netip.AddrPortFrom(lab.Server, 53), "x") // whose next hop the route names
			hop := server.As4()
			for _, c := range []struct {
				name    string
				pkt     wire.Packet
				options []byte
			}{
				{"none", pkt, nil},
				{"no-operation", pkt, []byte{1, 1, 1, 1}},
				{"end", pkt, []byte{0, 0, 0, 0}},
				{"record-route", pkt, []byte{7, 7, 4, 0, 0, 0, 0}},
				{"record-route-full", pkt, []byte{7, 7, 8, 1, 2, 3, 4}},
				{"timestamp", pkt, []byte{68, 8, 5, 0, 0, 0, 0, 0}},
				{"router-alert", pkt, []byte{148, 4, 0, 0}},
				{"security", pkt, []byte{130, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0}},
				{"unknown", pkt, []byte{0x9e, 4, 0, 0}},
				{"length-0", pkt, []byte{7, 0, 4, 0}},
				{"length-1", pkt, []byte{7, 1, 4, 0}},
				{"length-over-header", pkt, []byte{7, 9, 4, 0}},
				{"record-route-pointer-3", pkt, []byte{7, 7, 3, 0, 0, 0, 0}},
				{"loose-route", via, append([]byte{131, 7, 4}, hop[:]...)},
				{"strict-route", via, append([]byte{137, 7, 4}, hop[:]...)},
				{"loose-route-done", pkt, append([]byte{131, 7, 8}, hop[:]...)},
				{"loose-and-strict-route", via, append(append([]byte{131, 7, 4}, hop[:]...), 137, 3, 4)},
			} {
				p.Flush()
				with := c.pkt
				if c.options != nil {
					with = with.WithOptions(c.options...)
				}
				answered(p, c.name, with)
			}
		}, probe.Sysctl{Name: "net.ipv4.conf.all.accept_source_route", Value: routes})
}

func addresses6(p *probe.P) {
	for _, c := range []struct{ subject, from, to string }{
		{"right", "2001:db8:1::2", "2001:db8:2::2"},
		{"from-unspecified", "::", "2001:db8:2::2"},
		{"from-loopback", "::1", "2001:db8:2::2"},
		{"from-link-local", "fe80::1", "2001:db8:2::2"},
		{"from-multicast", "ff0e::1", "2001:db8:2::2"},
		{"from-far", "2001:db8:2::9", "2001:db8:2::2"},
		{"from-mapped", "::ffff:198.18.0.2", "2001:db8:2::2"},
		{"to-unspecified", "2001:db8:1::2", "::"},
		{"to-loopback", "2001:db8:1::2", "::1"},
		{"to-link-local", "2001:db8:1::2", "fe80::9"},
		{"to-mapped", "2001:db8:1::2", "::ffff:198.19.0.2"},
		{"to-interface-group", "2001:db8:1::2", "ff01::1"},
		{"to-reserved-group", "2001:db8:1::2", "ff00::1"},
		{"to-all-nodes", "2001:db8:1::2", "ff02::1"},
		{"to-global-group", "2001:db8:1::2", "ff0e::1"},
		{"to-nowhere", "2001:db8:1::2", "2001:db8:9::1"},
	} {
		p.Flush()
		from, to := netip.MustParseAddr(c.from), netip.MustParseAddr(c.to)
		answered(p, c.subject, wire.UDP(netip.AddrPortFrom(from, firstPort), netip.AddrPortFrom(to, 9), "x"))
	}
}
