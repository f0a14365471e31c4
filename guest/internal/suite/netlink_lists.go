package suite

import (
	"net/netip"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/ctmatrix/ctmatrix/guest/internal/ct"
	"github.com/ctmatrix/ctmatrix/guest/internal/probe"
)

var netlinkLists = []probe.Probe{
	overNetlink("filters-v6", "Which entries over IPv6 are listed, and flushed, where addresses are asked for that some have, or none?",
		"ctnetlink_filter_match_tuple in nf_conntrack_netlink.c", func(p *probe.P) {
			const source, dest = 1 << 0, 1 << 1
			r := dial(p)
			a, b := versions[1].udp()
			other, nobody := port(addr(a, netip.MustParseAddr("2001:db8:1::99")), firstPort+1), addr(a, netip.MustParseAddr("2001:db8:1::77"))
			both := func() {
				p.Flush()
				for _, from := range []netip.AddrPort{a, other} {
					_, err := r.Ask(ct.CtNew, create, unix.AF_INET6, tuple(ctaTupleOrig, unix.IPPROTO_UDP, from, b), tuple(ctaTupleReply, unix.IPPROTO_UDP, b, from), num32(ctaTimeout, 100))
					p.Must(err)
				}
			}
			for _, f := range []request{
				{"source", []netlink.Attribute{tuple(ctaTupleOrig, unix.IPPROTO_UDP, a, b), filterFlags(source, 0)}},
				{"source-of-none", []netlink.Attribute{tuple(ctaTupleOrig, unix.IPPROTO_UDP, nobody, b), filterFlags(source, 0)}},
				{"destination", []netlink.Attribute{tuple(ctaTupleOrig, unix.IPPROTO_UDP, a, b), filterFlags(dest, 0)}},
				{"destination-of-reply", []netlink.Attribute{tuple(ctaTupleReply, unix.IPPROTO_UDP, b, other), filterFlags(0, dest)}},
			} {
				both()
				answers, err := r.Ask(ct.CtGet, unix.NLM_F_DUMP, unix.AF_INET6, f.attrs...)
				p.Errno(f.name, err)
				p.Text(f.name, "entries", kinds(answers))
				_, err = r.Ask(ct.CtDelete, 0, unix.AF_INET6, f.attrs...)
				p.Errno("flush-"+f.name, err)
				answers, err = r.Ask(ct.CtGet, unix.NLM_F_DUMP, unix.AF_INET6)
				p.Must(err)
				p.Text("flush-"+f.name, "entries", kinds(answers))
			}
		}),
	wearing(policyModule, overNetlink("timeout-defaults", "Which requests change a protocol's timeouts for all its connections, and how are the others refused?",
		"cttimeout_default_set in nfnetlink_cttimeout.c", func(p *probe.P) {
			const l3, l4, data = 2, 3, 4
			const setting = "net.netfilter.nf_conntrack_udp_timeout"
			v4, udp, life := num16(l3, unix.AF_INET), num8(l4, unix.IPPROTO_UDP), of(data, num32(1, 77))
			r := dial(p)
			for _, c := range []request{
				{"right", []netlink.Attribute{v4, udp, life}},
				{"no-family", []netlink.Attribute{udp, life}},
				{"no-proto", []netlink.Attribute{v4, life}},
				{"no-data", []netlink.Attribute{v4, udp}},
				{"no-states", []netlink.Attribute{v4, udp, of(data)}},
				{"unknown-state", []netlink.Attribute{v4, udp, of(data, num32(30, 77))}},
				{"unknown-proto", []netlink.Attribute{v4, num8(l4, 253), life}},
			} {
				p.Set(setting, "30")
				_, err := r.Ask(ct.TimeoutSet, 0, unix.AF_INET, c.attrs...)
				p.Errno(c.name, err)
				p.Text(c.name, "value", read(p, setting))
			}
		}, policyModule)),
}
