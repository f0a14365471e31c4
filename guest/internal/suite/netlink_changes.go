package suite

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/ctmatrix/ctmatrix/guest/internal/ct"
	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/internal/probe"
	"github.com/ctmatrix/ctmatrix/guest/internal/wire"
)

const create = unix.NLM_F_CREATE | unix.NLM_F_EXCL

// The bits of a status, of enum ip_conntrack_status in
// include/uapi/linux/netfilter/nf_conntrack_common.h.
const (
	isExpected  = 1 << 0
	isSeenReply = 1 << 1
	isAssured   = 1 << 2
	isConfirmed = 1 << 3
	isSrcNAT    = 1 << 4
	isDying     = 1 << 9
	isFixed     = 1 << 10
	isTemplate  = 1 << 11
	isHelper    = 1 << 13
	isOffload   = 1 << 14
)

// tcpInfo is the state of a TCP entry, with flags and their masks for both sides.
func tcpInfo(inside ...netlink.Attribute) netlink.Attribute {
	return of(ctaProtoinfo, of(1, inside...))
}

// additions are what may come with the request for a new TCP entry.
var additions = []request{
	{"nothing-else", nil},
	{"status-confirmed", []netlink.Attribute{num32(ctaStatus, isConfirmed)}},
	{"status-assured", []netlink.Attribute{num32(ctaStatus, isConfirmed|isSeenReply|isAssured)}},
	{"status-expected", []netlink.Attribute{num32(ctaStatus, isConfirmed|isExpected)}},
	{"status-snat", []netlink.Attribute{num32(ctaStatus, isConfirmed|isSrcNAT)}},
	{"status-dying", []netlink.Attribute{num32(ctaStatus, isConfirmed|isDying)}},
	{"status-template", []netlink.Attribute{num32(ctaStatus, isConfirmed|isTemplate)}},
	{"status-fixed-timeout", []netlink.Attribute{num32(ctaStatus, isConfirmed|isFixed)}},
	{"status-helper", []netlink.Attribute{num32(ctaStatus, isConfirmed|isHelper)}},
	{"status-offload", []netlink.Attribute{num32(ctaStatus, isConfirmed|isOffload)}},
	{"status-unknown", []netlink.Attribute{num32(ctaStatus, isConfirmed|1<<31)}},
	{"status-short", []netlink.Attribute{num16(ctaStatus, isConfirmed)}},
	{"mark", []netlink.Attribute{num32(ctaMark, 0x77)}},
	{"mark-short", []netlink.Attribute{num8(ctaMark, 1)}},
	{"zone", []netlink.Attribute{num16(ctaZone, 7)}},
	{"labels", []netlink.Attribute{raw(ctaLabels, append([]byte{4}, make([]byte, 15)...)...)}},
	{"labels-short", []netlink.Attribute{raw(ctaLabels, 4, 0, 0, 0)}},
	{"labels-odd", []netlink.Attribute{raw(ctaLabels, 4)}},
	{"labels-long", []netlink.Attribute{raw(ctaLabels, make([]byte, 20)...)}},
	{"tcp-established", []netlink.Attribute{tcpInfo(num8(1, 3))}},
	{"tcp-state-past", []netlink.Attribute{tcpInfo(num8(1, 10))}},
	{"tcp-state-long", []netlink.Attribute{tcpInfo(num32(1, 3))}},
	{"tcp-wscale", []netlink.Attribute{tcpInfo(num8(1, 3), num8(2, 7), num8(3, 8))}},
	{"tcp-wscale-huge", []netlink.Attribute{tcpInfo(num8(1, 3), num8(2, 200), num8(3, 200))}},
	{"tcp-wscale-one", []netlink.Attribute{tcpInfo(num8(1, 3), num8(2, 7))}},
	{"tcp-flags", []netlink.Attribute{tcpInfo(num8(1, 3), raw(4, 8, 8), raw(5, 8, 8))}},
	{"tcp-flags-short", []netlink.Attribute{tcpInfo(num8(1, 3), raw(4, 8))}},
	{"tcp-nothing", []netlink.Attribute{tcpInfo()}},
	{"sctp-info", []netlink.Attribute{of(ctaProtoinfo, of(3, num8(1, 4)))}},
	{"help-unknown", []netlink.Attribute{of(ctaHelp, text(1, "nobody"))}},
	{"help-ftp", []netlink.Attribute{of(ctaHelp, text(1, "ftp"))}},
	{"help-empty", []netlink.Attribute{of(ctaHelp, text(1, ""))}},
	{"help-nothing", []netlink.Attribute{of(ctaHelp)}},
	{"help-unended", []netlink.Attribute{of(ctaHelp, raw(1, 'f', 't', 'p'))}},
	{"seq-adjust", []netlink.Attribute{of(ctaSeqAdjOrig, num32(1, 5), num32(2, 0), num32(3, 7)), of(ctaSeqAdjOrig+1, num32(1, 5), num32(2, 0), num32(3, 0))}},
	{"seq-adjust-part", []netlink.Attribute{of(ctaSeqAdjOrig, num32(1, 5))}},
	{"synproxy", []netlink.Attribute{of(ctaSynproxy, num32(1, 5), num32(2, 0), num32(3, 7))}},
	{"nat-source", []netlink.Attribute{of(ctaNATSrc, raw(1, 203, 0, 113, 1))}},
	{"id", []netlink.Attribute{num32(ctaID, 12345)}},
	{"unknown-attribute", []netlink.Attribute{num32(60, 1)}},
}

// ftpEntry are the tuples of a TCP connection to port 21.
func ftpEntry() []netlink.Attribute {
	a, b := netip.AddrPortFrom(client, firstPort), netip.AddrPortFrom(server, 21)
	return []netlink.Attribute{tuple(ctaTupleOrig, unix.IPPROTO_TCP, a, b), tuple(ctaTupleReply, unix.IPPROTO_TCP, b, a)}
}

// changed records how a request ended and the entries there are then, with all
// that a request can change.
func changed(p *probe.P, subject string, err error) {
	p.Errno(subject, err)
	var texts []string
	for _, e := range p.Entries() {
		text := zonesOf([]ct.Entry{e})
		if e.Mark != 0 {
			text += fmt.Sprintf(" mark %#x", e.Mark)
		}
		if e.Label != nil {
			text += " labels " + bitsIn(e.Label)
		}
		if e.Scales != [2]uint8{} {
			text += fmt.Sprintf(" scales %d %d", e.Scales[0], e.Scales[1])
		}
		texts = append(texts, fmt.Sprintf("%s, %s", text, about(e.Seconds)))
	}
	p.Text(subject, "entries", listOr("none", texts))
}

// about is a time of which some of a second may have passed.
func about(seconds uint32) string {
	if seconds == 0 {
		return "0 s"
	}
	return fmt.Sprintf("%d s", (seconds+5)/10*10)
}

var netlinkChanges = []probe.Probe{
	overNetlink("create", "Which entries can be made by request, with what, and how are the others refused?", "ctnetlink_create_conntrack in nf_conntrack_netlink.c", func(p *probe.P) {
		r := dial(p)
		for _, a := range additions {
			p.Flush()
			_, err := r.Ask(ct.CtNew, create, unix.AF_INET, append(append(ftpEntry(), num32(ctaTimeout, 100)), a.attrs...)...)
			changed(p, a.name, err)
		}
	}, "nf_conntrack_ftp", "nf_nat"),
	overNetlink("create-tuples", "Which tuples must a new entry have, and which may it have?", "ctnetlink_new_conntrack in nf_conntrack_netlink.c", func(p *probe.P) {
		r := dial(p)
		a, b := netip.AddrPortFrom(client, firstPort), netip.AddrPortFrom(server, 53)
		const udp = unix.IPPROTO_UDP
		orig, reply, life := tuple(ctaTupleOrig, udp, a, b), tuple(ctaTupleReply, udp, b, a), num32(ctaTimeout, 100)
		for _, c := range []request{
			{"right", []netlink.Attribute{orig, reply, life}},
			{"no-timeout", []netlink.Attribute{orig, reply}},
			{"timeout-0", []netlink.Attribute{orig, reply, num32(ctaTimeout, 0)}},
			{"timeout-huge", []netlink.Attribute{orig, reply, num32(ctaTimeout, 1<<32-1)}},
			{"timeout-short", []netlink.Attribute{orig, reply, num16(ctaTimeout, 100)}},
			{"no-reply", []netlink.Attribute{orig, life}},
			{"no-orig", []netlink.Attribute{reply, life}},
			{"reply-elsewhere", []netlink.Attribute{orig, tuple(ctaTupleReply, udp, netip.AddrPortFrom(server, 99), netip.AddrPortFrom(translated4, 7)), life}},
			{"reply-of-tcp", []netlink.Attribute{orig, tuple(ctaTupleReply, unix.IPPROTO_TCP, b, a), life}},
			{"reply-v6", []netlink.Attribute{orig, tuple(ctaTupleReply, udp, netip.AddrPortFrom(server6, 53), netip.AddrPortFrom(client6, firstPort)), life}},
			{"master-unknown", []netlink.Attribute{orig, reply, life, tuple(14, udp, port(a, 1), b)}},
		} {
			p.Flush()
			_, err := r.Ask(ct.CtNew, create, unix.AF_INET, c.attrs...)
			changed(p, c.name, err)
		}
		p.Flush()
		_, err := r.Ask(ct.CtNew, create, unix.AF_INET, orig, reply, life)
		p.Must(err)
		_, err = r.Ask(ct.CtNew, create, unix.AF_INET, orig, reply, life)
		changed(p, "twice", err)
		_, err = r.Ask(ct.CtNew, unix.NLM_F_CREATE, unix.AF_INET, orig, reply, num32(ctaTimeout, 200))
		changed(p, "twice-not-exclusive", err)
		p.Flush()
		_, err = r.Ask(ct.CtNew, 0, unix.AF_INET, orig, reply, life)
		changed(p, "not-to-create", err)
		p.Set(maxSysctl, "1")
		// Assured: one that is not may lie in the buckets in which room is looked for.
		_, err = r.Ask(ct.CtNew, create, unix.AF_INET, orig, reply, life, num32(ctaStatus, isConfirmed|isSeenReply|isAssured))
		p.Must(err)
		_, err = r.Ask(ct.CtNew, create, unix.AF_INET, made(firstPort+1)...)
		changed(p, "full-table", err)
	}),
	overNetlink("update", "What of an established connection can be changed by request, and how is the rest refused?", "ctnetlink_change_conntrack and nf_ct_change_status_common", func(p *probe.P) {
		r := dial(p)
		p.Add(lab.On(lab.FilterInput, lab.Never, lab.CtSet("label", make([]byte, 16)))) // so that there are labels
		for _, a := range slices.Concat(additions, []request{
			{"status-unassured", []netlink.Attribute{num32(ctaStatus, isConfirmed|isSeenReply)}},
			{"status-unreplied", []netlink.Attribute{num32(ctaStatus, isConfirmed|isAssured)}},
			{"status-unconfirmed", []netlink.Attribute{num32(ctaStatus, isSeenReply|isAssured)}},
			{"timeout", []netlink.Attribute{num32(ctaTimeout, 500)}},
			{"timeout-0", []netlink.Attribute{num32(ctaTimeout, 0)}},
			{"mark-masked", []netlink.Attribute{num32(ctaMark, 0xff), num32(ctaMarkMask, 0x0f)}},
			{"labels-masked", []netlink.Attribute{
				raw(ctaLabels, append([]byte{0xff}, make([]byte, 15)...)...), raw(ctaLabelsMask, append([]byte{0x0f}, make([]byte, 15)...)...)}},
			{"labels-mask-longer", []netlink.Attribute{
				raw(ctaLabels, append([]byte{0xff}, make([]byte, 7)...)...), raw(ctaLabelsMask, append([]byte{0x0f}, make([]byte, 15)...)...)}},
		}) {
			p.Flush()
			f := wire.TCP(netip.AddrPortFrom(client, firstPort), netip.AddrPortFrom(server, 21))
			opened(p, f)
			_, err := r.Ask(ct.CtNew, 0, unix.AF_INET, append(ftpEntry()[:1], a.attrs...)...)
			changed(p, a.name, err)
		}
	}, "nf_conntrack_ftp", "nf_nat"),
	overNetlink("delete", "Which requests delete an entry, and how are the others refused?", "ctnetlink_del_conntrack in nf_conntrack_netlink.c", func(p *probe.P) {
		from, to := versions[0].udp()
		r := dial(p)
		for _, c := range requests(from, to) {
			if c.name == "nothing" {
				continue // which deletes all, as netlink/flush asks
			}
			p.Flush()
			p.Forth(wire.UDP(from, to, "x"))
			_, err := r.Ask(ct.CtDelete, 0, unix.AF_INET, c.attrs...)
			p.Errno(c.name, err)
			p.Count(c.name, "entries", p.Held())
		}
		p.Flush()
		p.Forth(wire.UDP(from, to, "x"))
		right := tuple(ctaTupleOrig, unix.IPPROTO_UDP, from, to)
		_, err := r.Ask(ct.CtDelete, 0, unix.AF_INET, right, num32(ctaID, 12345))
		p.Errno("other-id", err)
		p.Count("other-id", "entries", p.Held())
		answers, err := r.Ask(ct.CtGet, 0, unix.AF_INET, right)
		p.Must(err)
		if len(answers) != 1 {
			p.Broken("%d answers, want one", len(answers))
		}
		_, err = r.Ask(ct.CtDelete, 0, unix.AF_INET, right, raw(ctaID, answers[0].Attr(ctaID)...))
		p.Errno("its-id", err)
		p.Count("its-id", "entries", p.Held())
	}),
}

// populate makes entries that differ in what a filter can ask for.
func populate(p *probe.P, r *ct.Raw) {
	p.Flush()
	for i, attrs := range [][]netlink.Attribute{
		nil,
		{num32(ctaMark, 0x11)},
		{num32(ctaMark, 0x12)},
		{num32(ctaStatus, isConfirmed|isSeenReply|isAssured)},
		{num16(ctaZone, 7)},
		{num16(ctaZone, 8), num32(ctaMark, 0x11)},
	} {
		_, err := r.Ask(ct.CtNew, create, unix.AF_INET, append(made(firstPort+uint16(i)), attrs...)...)
		p.Must(err)
	}
	a, b := netip.AddrPortFrom(client6, firstPort), netip.AddrPortFrom(server6, 53)
	_, err := r.Ask(ct.CtNew, create, unix.AF_INET6, tuple(ctaTupleOrig, unix.IPPROTO_UDP, a, b), tuple(ctaTupleReply, unix.IPPROTO_UDP, b, a), num32(ctaTimeout, 100))
	p.Must(err)
	a, b = netip.AddrPortFrom(client, firstPort), netip.AddrPortFrom(netip.MustParseAddr("198.19.0.3"), 80)
	_, err = r.Ask(ct.CtNew, create, unix.AF_INET, tuple(ctaTupleOrig, unix.IPPROTO_TCP, a, b), tuple(ctaTupleReply, unix.IPPROTO_TCP, b, a), num32(ctaTimeout, 100))
	p.Must(err)
}

// filterFlags say which parts of a tuple a filter looks at, in the machine's byte
// order: addresses, zone, number, ports, as CTA_FILTER_F_* of
// net/netfilter/nf_conntrack_netlink.c has them.
func filterFlags(orig, reply uint32) netlink.Attribute {
	return of(ctaFilter, raw(1, binary.NativeEndian.AppendUint32(nil, orig)...), raw(2, binary.NativeEndian.AppendUint32(nil, reply)...))
}

// filters are what a list, or a flush, may be asked for.
func filters() []struct {
	request
	family byte
} {
	const source, dest, proto, sport, dport = 1 << 0, 1 << 1, 1 << 3, 1 << 4, 1 << 5
	a, b := netip.AddrPortFrom(client, firstPort), netip.AddrPortFrom(server, 53)
	orig, reply := tuple(ctaTupleOrig, unix.IPPROTO_UDP, a, b), tuple(ctaTupleReply, unix.IPPROTO_UDP, b, a)
	var all []struct {
		request
		family byte
	}
	for _, f := range []struct {
		name   string
		family byte
		attrs  []netlink.Attribute
	}{
		{"nothing", unix.AF_UNSPEC, nil},
		{"family-v4", unix.AF_INET, nil},
		{"family-v6", unix.AF_INET6, nil},
		{"family-99", 99, nil},
		{"mark", unix.AF_UNSPEC, []netlink.Attribute{num32(ctaMark, 0x11)}},
		{"mark-masked", unix.AF_UNSPEC, []netlink.Attribute{num32(ctaMark, 0x10), num32(ctaMarkMask, 0xf0)}},
		{"mark-mask-alone", unix.AF_UNSPEC, []netlink.Attribute{num32(ctaMarkMask, 0xf0)}},
		{"status-assured", unix.AF_UNSPEC, []netlink.Attribute{num32(ctaStatus, isAssured), num32(ctaStatusMask, isAssured)}},
		{"status-not-assured", unix.AF_UNSPEC, []netlink.Attribute{num32(ctaStatus, 0), num32(ctaStatusMask, isAssured)}},
		{"status-0", unix.AF_UNSPEC, []netlink.Attribute{num32(ctaStatus, 0)}},
		{"status-mask-alone", unix.AF_UNSPEC, []netlink.Attribute{num32(ctaStatusMask, isAssured)}},
		{"zone", unix.AF_UNSPEC, []netlink.Attribute{num16(ctaZone, 7)}},
		{"zone-0", unix.AF_UNSPEC, []netlink.Attribute{num16(ctaZone, 0)}},
		{"zone-and-mark", unix.AF_UNSPEC, []netlink.Attribute{num16(ctaZone, 8), num32(ctaMark, 0x11)}},
		{"source", unix.AF_INET, []netlink.Attribute{orig, filterFlags(source, 0)}},
		{"source-and-port", unix.AF_INET, []netlink.Attribute{orig, filterFlags(source|proto|sport, 0)}},
		{"destination", unix.AF_INET, []netlink.Attribute{orig, filterFlags(dest, 0)}},
		{"port-without-number", unix.AF_INET, []netlink.Attribute{orig, filterFlags(dport, 0)}},
		{"reply-source", unix.AF_INET, []netlink.Attribute{reply, filterFlags(0, source)}},
		{"no-family", unix.AF_UNSPEC, []netlink.Attribute{orig, filterFlags(source, 0)}},
		{"no-tuple", unix.AF_INET, []netlink.Attribute{filterFlags(source, 0)}},
		{"no-flags", unix.AF_INET, []netlink.Attribute{orig, filterFlags(0, 0)}},
		{"unknown-flags", unix.AF_INET, []netlink.Attribute{orig, filterFlags(1<<30, 0)}},
		{"empty-filter", unix.AF_INET, []netlink.Attribute{of(ctaFilter)}},
	} {
		all = append(all, struct {
			request
			family byte
		}{request{f.name, f.attrs}, f.family})
	}
	return all
}

var netlinkFilters = []probe.Probe{
	overNetlink("filters", "Which entries does a list have that is asked for a family, a mark, a status, a zone or parts of a tuple?", "ctnetlink_alloc_filter and ctnetlink_filter_match in nf_conntrack_netlink.c", func(p *probe.P) {
		r := dial(p)
		populate(p, r)
		for _, f := range filters() {
			answers, err := r.Ask(ct.CtGet, unix.NLM_F_DUMP, f.family, f.attrs...)
			p.Errno(f.name, err)
			p.Text(f.name, "entries", kinds(answers))
		}
	}),
	overNetlink("flush", "Which entries does a flush delete that is asked for the same?", "ctnetlink_flush_conntrack in nf_conntrack_netlink.c", func(p *probe.P) {
		r := dial(p)
		for _, f := range filters() {
			if slices.ContainsFunc(f.attrs, func(a netlink.Attribute) bool { return a.Type&0x3fff == ctaTupleOrig }) &&
				!slices.ContainsFunc(f.attrs, func(a netlink.Attribute) bool { return a.Type&0x3fff == ctaFilter }) {
				continue
			}
			populate(p, r)
			_, err := r.AskVersion(1, ct.CtDelete, 0, f.family, f.attrs...)
			p.Errno(f.name, err)
			answers, err := r.Ask(ct.CtGet, unix.NLM_F_DUMP, unix.AF_UNSPEC)
			p.Must(err)
			p.Text(f.name, "entries", kinds(answers))
		}
		populate(p, r)
		_, err := r.AskVersion(0, ct.CtDelete, 0, unix.AF_INET)
		p.Errno("family-old-version", err)
		answers, err := r.Ask(ct.CtGet, unix.NLM_F_DUMP, unix.AF_UNSPEC)
		p.Must(err)
		p.Text("family-old-version", "entries", kinds(answers))
	}),
}

// kinds are the ports, less the first, of the entries in a list, and what else
// tells them apart: "0, 1 zone 7".
func kinds(answers []ct.Message) string {
	var texts []string
	for _, m := range answers {
		text := fmt.Sprint(int(m.SourcePort()) - firstPort)
		if zone := m.Attr(ctaZone); len(zone) == 2 {
			text += fmt.Sprintf(" zone %d", binary.BigEndian.Uint16(zone))
		}
		if m.SourcePort() == firstPort {
			text = fmt.Sprintf("%s of %s", text, m.Protocol())
		}
		texts = append(texts, text)
	}
	slices.Sort(texts)
	return listOr("none", texts)
}
