package suite

import (
	"net/netip"
	"slices"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/ctmatrix/ctmatrix/guest/internal/ct"
	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/internal/probe"
	"github.com/ctmatrix/ctmatrix/guest/internal/wire"
)

// ctnetlink asks which requests the kernel takes and which it refuses, and what
// its answers have. There are few entries, made by the probe's own packets or
// requests: no seed can reach these rows.
var ctnetlink = slices.Concat([]probe.Probe{
	overNetlink("tcp-state-range", "Does ctnetlink take a TCP state that there is none of, and what does the entry have then?",
		"tcp_nla_policy and nlattr_to_tcp in nf_conntrack_proto_tcp.c; TCP_CONNTRACK_SYN_SENT2 is 9", func(p *probe.P) {
			established(p)
			for _, s := range []struct {
				subject string
				state   uint8
			}{{"last", 9}, {"beyond", 10}, {"far", 255}} {
				p.Errno(s.subject, p.SetTCPState(p.Entries()[0], s.state))
				p.Entry(s.subject, p.Entries())
			}
		}),
	overNetlink("attributes", "Which attributes does an entry have in a list, by protocol, with counters and times and without?", "ctnetlink_fill_info in nf_conntrack_netlink.c", netlinkAttributes),
	overNetlink("get", "Which requests for one entry are answered, and how are the others refused?", "ctnetlink_get_conntrack and ctnetlink_parse_tuple in nf_conntrack_netlink.c", func(p *probe.P) {
		from, to := versions[0].udp()
		p.Forth(wire.UDP(from, to, "x"))
		p.Back(wire.UDP(to, from, "y"))
		r := dial(p)
		for _, c := range requests(from, to) {
			answers, err := r.Ask(ct.CtGet, 0, unix.AF_INET, c.attrs...)
			p.Errno(c.name, err)
			p.Count(c.name, "answers", len(answers))
		}
		_, err := r.Ask(ct.CtGet, 0, unix.AF_INET6, tuple(ctaTupleOrig, unix.IPPROTO_UDP, from, to))
		p.Errno("family-v6", err)
		_, err = r.Ask(ct.CtGet, 0, unix.AF_UNSPEC, tuple(ctaTupleOrig, unix.IPPROTO_UDP, from, to))
		p.Errno("family-none", err)
		_, err = r.Ask(ct.CtGet, 0, 99, tuple(ctaTupleOrig, unix.IPPROTO_UDP, from, to))
		p.Errno("family-99", err)
	}),
	overNetlink("messages", "Which messages of ctnetlink does the kernel know, with lists and without?", "ctnl_cb and ctnl_exp_cb in nf_conntrack_netlink.c", func(p *probe.P) {
		r := dial(p)
		for _, m := range []struct {
			name string
			kind uint16
		}{
			{"get", ct.CtGet}, {"get-zero", ct.CtGetZero}, {"get-stats-cpu", ct.CtGetStatsCPU}, {"get-stats", ct.CtGetStats},
			{"get-dying", ct.CtGetDying}, {"get-unconfirmed", ct.CtGetUnconfirmed}, {"eighth", ct.CtGetUnconfirmed + 1},
			{"exp-get", ct.ExpGet}, {"exp-get-stats-cpu", ct.ExpGetStatsCPU}, {"exp-fourth", ct.ExpGetStatsCPU + 1},
		} {
			_, err := r.Ask(m.kind, 0, unix.AF_INET)
			p.Errno(m.name, err)
			_, err = r.Ask(m.kind, unix.NLM_F_DUMP, unix.AF_INET)
			p.Errno(m.name+"-list", err)
		}
	}),
	overNetlink("statistics", "Which statistics does ctnetlink tell?", "ctnetlink_ct_stat_cpu_fill_info and ctnetlink_stat_ct_fill_info in nf_conntrack_netlink.c", func(p *probe.P) {
		r := dial(p)
		for _, m := range []struct {
			name        string
			kind, flags uint16
		}{{"per-cpu", ct.CtGetStatsCPU, unix.NLM_F_DUMP}, {"in-all", ct.CtGetStats, 0}, {"expectations", ct.ExpGetStatsCPU, unix.NLM_F_DUMP}} {
			answers, err := r.Ask(m.kind, m.flags, unix.AF_UNSPEC)
			p.Must(err)
			if len(answers) == 0 {
				p.Broken("no answer for statistics %s", m.name)
			}
			p.Text(m.name, "attributes", answers[0].Names())
		}
	}),
	overNetlink("lists", "Which entries are in the lists of the unconfirmed and of the dying?", "ctnetlink_dump_unconfirmed and ctnetlink_dump_dying in nf_conntrack_netlink.c", func(p *probe.P) {
		p.Add(queueing)
		w := listenQueue(p, 10, 0)
		r := dial(p)
		h := w.hold(tcpFlow().Orig(SYN))
		for _, m := range []struct {
			name string
			kind uint16
		}{{"table", ct.CtGet}, {"unconfirmed", ct.CtGetUnconfirmed}, {"dying", ct.CtGetDying}} {
			answers, err := r.Ask(m.kind, unix.NLM_F_DUMP, unix.AF_INET)
			p.Errno(m.name, err)
			p.Count(m.name, "listed", len(answers))
		}
		p.Must(w.q.Verdict(h.ID, lab.VerdictDrop))
	}, queueNeeds, queueListener),
	overNetlink("zero", "What does a request set to zero that asks for it, of counters and of the rest?", "ctnetlink_dump_table (IPCTNL_MSG_CT_GET_CTRZERO) in nf_conntrack_netlink.c", func(p *probe.P) {
		p.Set(acctSysctl, "1")
		from, to := versions[0].udp()
		p.Forth(wire.UDP(from, to, "x"))
		r := dial(p)
		counted(p, "before")
		_, err := r.Ask(ct.CtGetZero, 0, unix.AF_INET, tuple(ctaTupleOrig, unix.IPPROTO_UDP, from, to))
		p.Errno("one", err)
		counted(p, "one")
		p.Forth(wire.UDP(from, to, "x"))
		counted(p, "next")
		_, err = r.Ask(ct.CtGetZero, unix.NLM_F_DUMP, unix.AF_INET)
		p.Errno("all", err)
		counted(p, "all")
	}),
	overNetlink("long-list", "A list takes many messages and the table changes meanwhile: is each entry listed that stayed?", "ctnetlink_dump_table in nf_conntrack_netlink.c; selftest conntrack_dump_flush.c", netlinkLongList),
}, netlinkChanges, netlinkFilters, netlinkLists, netlinkExpect)

// overNetlink is a probe of the family.
func overNetlink(name, question, source string, run func(*probe.P), needs ...string) probe.Probe {
	return probe.Probe{
		Name: "netlink/" + name, Question: question, Source: source,
		Path: lab.Forward6, Only: probe.Initial, Needs: needs, Run: run,
	}
}

func dial(p *probe.P, groups ...int) *ct.Raw {
	r, err := ct.OpenRaw(groups...)
	p.Must(err)
	p.Cleanup(r.Close)
	return r
}

// request is what is sent, apart from its kind.
type request struct {
	name  string
	attrs []netlink.Attribute
}

// requests name a UDP entry in ways that are right, or wrong in one thing.
func requests(from, to netip.AddrPort) []request {
	const udp = unix.IPPROTO_UDP
	orig := func(inside ...netlink.Attribute) []netlink.Attribute {
		return []netlink.Attribute{of(ctaTupleOrig, inside...)}
	}
	addrs, ends := ips(from.Addr(), to.Addr()), ports(udp, from.Port(), to.Port())
	return []request{
		{"right", orig(addrs, ends)},
		{"by-reply", []netlink.Attribute{tuple(ctaTupleReply, udp, to, from)}},
		{"reply-as-orig", []netlink.Attribute{tuple(ctaTupleOrig, udp, to, from)}},
		{"no-such-entry", []netlink.Attribute{tuple(ctaTupleOrig, udp, port(from, 1), to)}},
		{"nothing", nil},
		{"empty-tuple", orig()},
		{"no-addresses", orig(ends)},
		{"no-protocol", orig(addrs)},
		{"no-source", orig(of(tupleIP, raw(ipV4Dst, to.Addr().AsSlice()...)), ends)},
		{"short-address", orig(of(tupleIP, raw(ipV4Src, 198, 18), raw(ipV4Dst, to.Addr().AsSlice()...)), ends)},
		{"long-address", orig(of(tupleIP, raw(ipV4Src, append(from.Addr().AsSlice(), 0, 0, 0, 0)...), raw(ipV4Dst, to.Addr().AsSlice()...)), ends)},
		{"addresses-v6", orig(ips(client6, server6), ends)},
		{"no-number", orig(addrs, of(tupleProto, num16(protoSrcPort, from.Port()), num16(protoDstPort, to.Port())))},
		{"number-256", orig(addrs, of(tupleProto, num16(protoNum, 256+udp), num16(protoSrcPort, from.Port()), num16(protoDstPort, to.Port())))},
		{"no-port", orig(addrs, of(tupleProto, num8(protoNum, udp), num16(protoSrcPort, from.Port())))},
		{"short-port", orig(addrs, of(tupleProto, num8(protoNum, udp), raw(protoSrcPort, 1), num16(protoDstPort, to.Port())))},
		{"long-port", orig(addrs, of(tupleProto, num8(protoNum, udp), num32(protoSrcPort, uint32(from.Port())<<16), num16(protoDstPort, to.Port())))},
		{"unknown-protocol", orig(addrs, of(tupleProto, num8(protoNum, 253)))},
		{"not-nested", []netlink.Attribute{num32(ctaTupleOrig, 1)}},
		{"zone-0", append(orig(addrs, ends), num16(ctaZone, 0))},
		{"other-zone", append(orig(addrs, ends), num16(ctaZone, 7))},
		{"short-zone", append(orig(addrs, ends), num8(ctaZone, 0))},
		{"tuple-zone", orig(addrs, ends, num16(tupleZone, 7))},
		{"tuple-and-zone", append(orig(addrs, ends, num16(tupleZone, 7)), num16(ctaZone, 7))},
		{"unknown-attribute", append(orig(addrs, ends), num32(60, 1))},
		{"attribute-twice", append(orig(addrs, ends), orig(addrs, ports(udp, 1, 2))...)},
		{"short-status", append(orig(addrs, ends), num8(ctaStatus, 0))},
		{"event-time", append(orig(addrs, ends), num32(27, 0))},
	}
}

func netlinkAttributes(p *probe.P) {
	v := versions[0]
	from, to := v.udp()
	from6, to6 := versions[1].udp()
	r := dial(p)
	list := func(prefix string) {
		f := tcpFlow()
		for _, c := range []struct {
			name string
			pkts []wire.Packet
			back wire.Packet
		}{
			{"tcp", []wire.Packet{f.Orig(SYN)}, f.Reply(SYN | ACK)},
			{"udp", []wire.Packet{wire.UDP(from, to, "x")}, wire.UDP(to, from, "y")},
			{"udp-v6", []wire.Packet{wire.UDP(from6, to6, "x")}, wire.UDP(to6, from6, "y")},
			{"echo", []wire.Packet{wire.Echo(client, server, false, 7, 1)}, wire.Echo(server, client, true, 7, 1)},
			{"echo-v6", []wire.Packet{wire.Echo(client6, server6, false, 7, 1)}, wire.Echo(server6, client6, true, 7, 1)},
			{"sctp", []wire.Packet{sctpPacket(false, wire.InitOf(wire.Init, toTag))}, sctpPacket(true, wire.InitOf(wire.InitAck, toTag))},
			{"gre", []wire.Packet{wire.GRE(client, server)}, wire.GRE(server, client)},
			{"dccp", []wire.Packet{wire.DCCP(from, to, wire.DCCPRequest, 1000, 0)}, wire.DCCP(to, from, wire.DCCPResponse, 2000, 1000)},
			{"unknown", []wire.Packet{wire.Datagram(client, server, wire.ProtoUnknown, []byte("x"))}, wire.Datagram(server, client, wire.ProtoUnknown, []byte("y"))},
		} {
			p.Flush()
			p.Forth(c.pkts...)
			p.Back(c.back)
			answers, err := r.Ask(ct.CtGet, unix.NLM_F_DUMP, unix.AF_UNSPEC)
			p.Must(err)
			if len(answers) != 1 {
				p.Broken("%d entries after %s, want one", len(answers), c.name)
			}
			p.Text(prefix+c.name, "attributes", answers[0].Names())
		}
	}
	list("")
	p.Set(acctSysctl, "1")
	p.Set("net.netfilter.nf_conntrack_timestamp", "1")
	list("counted-")
}

// netlinkLongList reads a list in the middle of which half of the entries are
// deleted. Whether an entry is listed twice because of that is up to the hash's seed.
func netlinkLongList(p *probe.P) {
	const many = 600
	r, other := dial(p), dial(p)
	for i := range uint16(many) {
		_, err := r.Ask(ct.CtNew, unix.NLM_F_CREATE|unix.NLM_F_EXCL, unix.AF_INET, made(firstPort+i)...)
		p.Must(err)
	}
	listed := map[uint16]bool{}
	first := true
	p.Must(r.List(ct.CtGet, unix.AF_INET, func(m ct.Message) error {
		if first {
			first = false
			for i := uint16(0); i < many; i += 2 {
				if _, err := other.Ask(ct.CtDelete, 0, unix.AF_INET, tuple(ctaTupleOrig, unix.IPPROTO_UDP, netip.AddrPortFrom(client, firstPort+i), netip.AddrPortFrom(server, 53))); err != nil {
					return err
				}
			}
		}
		listed[m.SourcePort()] = true
		return nil
	}))
	stayed := true
	for i := uint16(1); i < many; i += 2 {
		stayed = stayed && listed[firstPort+i]
	}
	p.Flag("those-that-stayed", "listed", stayed)
	p.Count("table", "entries", p.Held())
}

// made are the attributes of a new UDP entry from a port of the client.
func made(from uint16) []netlink.Attribute {
	a, b := netip.AddrPortFrom(client, from), netip.AddrPortFrom(server, 53)
	return []netlink.Attribute{
		tuple(ctaTupleOrig, unix.IPPROTO_UDP, a, b), tuple(ctaTupleReply, unix.IPPROTO_UDP, b, a), num32(ctaTimeout, 100),
	}
}
