package suite

import (
	"errors"
	"io/fs"
	"net/netip"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/ctmatrix/ctmatrix/guest/internal/ct"
	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/internal/probe"
	"github.com/ctmatrix/ctmatrix/guest/internal/wire"
)

// expectRequest are the attributes of an expectation of a connection from the
// server to port 20000 of the client, because of one of the client to port 21.
func expectRequest() map[uint16]netlink.Attribute {
	const tcp = unix.IPPROTO_TCP
	anyone := netip.AddrPortFrom(netip.MustParseAddr("0.0.0.0"), 0)
	return map[uint16]netlink.Attribute{
		expMaster: tuple(expMaster, tcp, netip.AddrPortFrom(client, firstPort), netip.AddrPortFrom(server, 21)),
		expTuple:  tuple(expTuple, tcp, netip.AddrPortFrom(server, 0), netip.AddrPortFrom(client, 20000)),
		expMask:   of(expMask, ips(netip.MustParseAddr("255.255.255.255"), anyone.Addr()), ports(tcp, 0, 0xffff)),
		expTime:   num32(expTime, 60),
	}
}

// expectWith is that request with some attributes changed, or left out where they
// are nil.
func expectWith(changes map[uint16]*netlink.Attribute) []netlink.Attribute {
	all := expectRequest()
	for kind, a := range changes {
		delete(all, kind)
		if a != nil {
			all[kind] = *a
		}
	}
	var attrs []netlink.Attribute
	for kind := range uint16(16) {
		if a, ok := all[kind]; ok {
			attrs = append(attrs, a)
		}
	}
	return attrs
}

type changes = map[uint16]*netlink.Attribute

func attr(a netlink.Attribute) *netlink.Attribute { return &a }

var netlinkExpect = []probe.Probe{
	overNetlink("expect", "Which expectations can be made by request, and how are the others refused?", "ctnetlink_create_expect and exp_nla_policy in nf_conntrack_netlink.c", func(p *probe.P) {
		r := dial(p)
		for _, helper := range []bool{true, false} {
			prefix := map[bool]string{true: "", false: "no-helper-"}[helper]
			for _, c := range []struct {
				name string
				with changes
			}{
				{"right", nil},
				{"no-master", changes{expMaster: nil}},
				{"no-tuple", changes{expTuple: nil}},
				{"no-mask", changes{expMask: nil}},
				{"no-timeout", changes{expTime: nil}},
				{"timeout-0", changes{expTime: attr(num32(expTime, 0))}},
				{"timeout-short", changes{expTime: attr(num16(expTime, 60))}},
				{"master-unknown", changes{expMaster: attr(tuple(expMaster, unix.IPPROTO_TCP, netip.AddrPortFrom(client, 1), netip.AddrPortFrom(server, 21)))}},
				{"helper-ftp", changes{expHelp: attr(text(expHelp, "ftp"))}},
				{"helper-unknown", changes{expHelp: attr(text(expHelp, "nobody"))}},
				{"class-1", changes{expClass: attr(num32(expClass, 1))}},
				{"class-huge", changes{expClass: attr(num32(expClass, 99))}},
				{"flags-permanent", changes{expFlags: attr(num32(expFlags, 1))}},
				{"flags-unknown", changes{expFlags: attr(num32(expFlags, 1<<20))}},
				{"zone", changes{expZone: attr(num16(expZone, 7))}},
				{"tuple-v6", changes{expTuple: attr(tuple(expTuple, unix.IPPROTO_TCP, netip.AddrPortFrom(server6, 0), netip.AddrPortFrom(client6, 20000)))}},
			} {
				p.Flush()
				with := append(ftpEntry(), num32(ctaTimeout, 100))
				if helper {
					with = append(with, of(ctaHelp, text(1, "ftp")))
				}
				_, err := r.Ask(ct.CtNew, create, unix.AF_INET, with...)
				p.Must(err)
				_, err = r.Ask(ct.ExpNew, create, unix.AF_INET, expectWith(c.with)...)
				p.Errno(prefix+c.name, err)
				p.Expected(prefix + c.name)
				p.Must(flushExpectations(r))
			}
		}
	}, "nf_conntrack_ftp"),
	overNetlink("expect-attributes", "Which attributes does an expectation have, how is one asked for and deleted, and what of a made connection?", "ctnetlink_exp_dump_expect, ctnetlink_get_expect and ctnetlink_del_expect", func(p *probe.P) {
		r := dial(p)
		opened(p, wire.TCP(netip.AddrPortFrom(client, firstPort), netip.AddrPortFrom(server, 21)))
		_, err := r.Ask(ct.CtNew, create, unix.AF_INET, append(made(firstPort+1), of(ctaHelp, text(1, "ftp")))...)
		p.Errno("helper-of-udp", err)
		a, b := netip.AddrPortFrom(client, firstPort+2), netip.AddrPortFrom(server, 21)
		_, err = r.Ask(ct.CtNew, create, unix.AF_INET, tuple(ctaTupleOrig, unix.IPPROTO_TCP, a, b), tuple(ctaTupleReply, unix.IPPROTO_TCP, b, a),
			num32(ctaTimeout, 100), of(ctaHelp, text(1, "ftp")))
		p.Errno("helper", err)
		master := tuple(expMaster, unix.IPPROTO_TCP, a, b)
		_, err = r.Ask(ct.ExpNew, create, unix.AF_INET, expectWith(changes{expMaster: &master})...)
		p.Errno("made", err)
		answers, err := r.Ask(ct.ExpGet, unix.NLM_F_DUMP, unix.AF_INET)
		p.Must(err)
		names := "none"
		if len(answers) > 0 {
			names = answers[0].Names()
		}
		p.Text("listed", "attributes", names)
		which := expectRequest()[expTuple]
		for _, c := range []request{
			{"by-tuple", []netlink.Attribute{which}},
			{"by-master", []netlink.Attribute{master}},
			{"by-nothing", nil},
			{"by-other", []netlink.Attribute{tuple(expTuple, unix.IPPROTO_TCP, netip.AddrPortFrom(server, 0), netip.AddrPortFrom(client, 1))}},
		} {
			answers, err := r.Ask(ct.ExpGet, 0, unix.AF_INET, c.attrs...)
			p.Errno("get-"+c.name, err)
			p.Count("get-"+c.name, "answers", len(answers))
		}
		_, err = r.Ask(ct.ExpDelete, 0, unix.AF_INET, text(expHelp, "nobody"))
		p.Errno("delete-by-unknown-helper", err)
		p.Count("delete-by-unknown-helper", "listed", len(p.Expectations()))
		_, err = r.Ask(ct.ExpDelete, 0, unix.AF_INET, which)
		p.Errno("delete-by-tuple", err)
		p.Count("delete-by-tuple", "listed", len(p.Expectations()))
		_, err = r.Ask(ct.ExpDelete, 0, unix.AF_INET, which)
		p.Errno("delete-again", err)
		p.Must(flushExpectations(r))
	}, "nf_conntrack_ftp"),
	wearing(policyModule, overNetlink("timeouts", "Which timeout policies does the kernel keep by name, what does it tell of its defaults, and is the module free when all policies are deleted?",
		"cttimeout_new_timeout and its like in nfnetlink_cttimeout.c", netlinkTimeouts, policyModule)),
}

const policyModule = "nfnetlink_cttimeout"

// wearing is a probe that may leave a module in use.
func wearing(module string, p probe.Probe) probe.Probe {
	p.Wears = []string{module}
	return p
}

func flushExpectations(r *ct.Raw) error {
	_, err := r.Ask(ct.ExpDelete, 0, unix.AF_UNSPEC)
	return err
}

func netlinkTimeouts(p *probe.P) {
	const name, l3, l4, data = 1, 2, 3, 4
	used := moduleUses(p, policyModule)
	r := dial(p)
	policyOf := func(proto uint8, states ...netlink.Attribute) []netlink.Attribute {
		return []netlink.Attribute{text(name, "short"), num16(l3, unix.AF_INET), num8(l4, proto), of(data, states...)}
	}
	for _, c := range []request{
		{"tcp", policyOf(unix.IPPROTO_TCP, num32(1, 10))},
		{"udp", policyOf(unix.IPPROTO_UDP, num32(1, 10))},
		{"dccp", policyOf(unix.IPPROTO_DCCP, num32(1, 10))},
		{"udplite", policyOf(unix.IPPROTO_UDPLITE, num32(1, 10))},
		{"gre", policyOf(unix.IPPROTO_GRE, num32(1, 10))},
		{"generic", policyOf(255, num32(1, 10))},
		{"unknown-proto", policyOf(253, num32(1, 10))},
		{"no-states", policyOf(unix.IPPROTO_TCP)},
		{"unknown-state", policyOf(unix.IPPROTO_TCP, num32(30, 10))},
		{"short-state", policyOf(unix.IPPROTO_TCP, num16(1, 10))},
		{"state-0", policyOf(unix.IPPROTO_TCP, num32(1, 0))},
		{"no-name", policyOf(unix.IPPROTO_TCP, num32(1, 10))[1:]},
		{"long-name", append([]netlink.Attribute{text(name, "a-name-that-is-longer-than-thirty-one-letters")}, policyOf(unix.IPPROTO_TCP, num32(1, 10))[1:]...)},
		{"empty-name", append([]netlink.Attribute{text(name, "")}, policyOf(unix.IPPROTO_TCP, num32(1, 10))[1:]...)},
		{"no-proto", []netlink.Attribute{text(name, "short"), num16(l3, unix.AF_INET), of(data, num32(1, 10))}},
		{"no-data", policyOf(unix.IPPROTO_TCP)[:3]},
	} {
		_, err := r.Ask(ct.TimeoutNew, create, unix.AF_INET, c.attrs...)
		p.Errno(c.name, err)
		_, err = r.Ask(ct.TimeoutNew, create, unix.AF_INET, c.attrs...)
		p.Errno(c.name+"-twice", err)
		_, err = r.Ask(ct.TimeoutDelete, 0, unix.AF_INET, text(name, "short"))
		if err != nil && probe.ErrnoName(err) != "ENOENT" {
			p.Must(err)
		}
		_, err = r.Ask(ct.TimeoutDelete, 0, unix.AF_INET, text(name, ""))
		if err != nil && probe.ErrnoName(err) != "ENOENT" {
			p.Must(err)
		}
	}
	for _, d := range []struct {
		name  string
		proto uint8
	}{{"tcp", unix.IPPROTO_TCP}, {"udp", unix.IPPROTO_UDP}, {"icmp", unix.IPPROTO_ICMP}, {"sctp", unix.IPPROTO_SCTP}, {"gre", unix.IPPROTO_GRE}, {"dccp", unix.IPPROTO_DCCP}, {"unknown", 253}} {
		answers, err := r.Ask(ct.TimeoutDefault, 0, unix.AF_INET, num16(l3, unix.AF_INET), num8(l4, d.proto))
		p.Errno("default-"+d.name, err)
		names := "none"
		if len(answers) > 0 {
			names = answers[0].Names()
		}
		p.Text("default-"+d.name, "attributes", names)
	}
	p.Count("module", "uses", moduleUses(p, policyModule)-used)
}

// moduleUses is how often a module is used; never, where it is part of the kernel.
func moduleUses(p *probe.P, name string) int {
	n, err := lab.ModuleUses(name)
	if errors.Is(err, fs.ErrNotExist) {
		return 0
	}
	p.Must(err)
	return n
}
