package suite

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ctmatrix/ctmatrix/guest/internal/ct"
	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/internal/probe"
	"github.com/ctmatrix/ctmatrix/guest/internal/wire"
)

const zoneSource = "nft_ct_set_zone_eval in nft_ct.c; nf_conntrack_zones.h"

// inZone gives packets a zone before they are tracked.
func inZone(zone byte, matches ...lab.Part) lab.Rule {
	return lab.On(lab.RawPrerouting, append(matches, lab.CtSet("zone", []byte{zone, 0}))...)
}

// zones ask for zones, marks and labels of connections.
var zones = []probe.Probe{
	zoned("same-tuple", "The same conversation in two zones: are there two entries, and whose is an answer without a zone?", zoneSource, func(p *probe.P) {
		from, to := versions[0].udp()
		one, two := wire.UDP(from, to, "1"), wire.UDP(from, to, "22")
		p.Add(inZone(1, lab.Length(len(one.Data))), inZone(2, lab.Length(len(two.Data))))
		zoneStep(p, "first", false, one)
		zoneStep(p, "second", false, two)
		zoneStep(p, "no-zone", true, wire.UDP(to, from, "answer"))
		zoneStep(p, "answer", true, wire.UDP(to, from, "1"))
		zoneStep(p, "first-again", false, one)
	}),
	zoned("direction", "A zone for the original direction only: does an answer need it, and two conversations with the same answer tuple?", zoneSource, func(p *probe.P) {
		from, to := versions[0].udp()
		one, two := wire.UDP(from, to, "1"), wire.UDP(from, to, "22")
		zoneOf(p, 0, 1, len(one.Data))
		zoneOf(p, 0, 2, len(two.Data))
		zoneStep(p, "first", false, one)
		zoneStep(p, "answer", true, wire.UDP(to, from, "answer"))
		zoneStep(p, "second", false, two)
		zoneStep(p, "first-again", false, one)
	}),
	zoned("reply-direction", "A zone for the reply direction only: which packets need it?", zoneSource, func(p *probe.P) {
		from, to := versions[0].udp()
		ask, answer := wire.UDP(from, to, "1"), wire.UDP(to, from, "22")
		zoneOf(p, 1, 1, len(ask.Data))
		zoneOf(p, 1, 1, len(answer.Data))
		zoneStep(p, "first", false, ask)
		zoneStep(p, "answer-without", true, wire.UDP(to, from, "without"))
		zoneStep(p, "answer", true, answer)
	}),
	zoned("bounds", "Which zones are there: the highest, and none?", zoneSource, func(p *probe.P) {
		from, to := versions[0].udp()
		for _, z := range []struct {
			name  string
			value []byte
		}{{"none", []byte{0, 0}}, {"first", []byte{1, 0}}, {"highest", []byte{255, 255}}} {
			reload(p, append(lab.Classing(""), lab.On(lab.RawPrerouting, lab.CtSet("zone", z.value)))...)
			zoneStep(p, z.name, false, wire.UDP(from, to, "1"))
		}
	}),
	zoned("late", "What does a zone do that a rule sets after tracking, twice, or on a packet that is not tracked?", zoneSource, func(p *probe.P) {
		from, to := versions[0].udp()
		pkt := wire.UDP(from, to, "1")
		set := func(c lab.Chain, zone byte) lab.Rule { return lab.On(c, lab.CtSet("zone", []byte{zone, 0})) }
		for _, c := range []struct {
			name  string
			rules []lab.Rule
		}{
			{"after-tracking", []lab.Rule{set(lab.ManglePrerouting, 1)}},
			{"twice", []lab.Rule{set(lab.RawPrerouting, 1), set(lab.RawPrerouting, 2)}},
			{"after-notrack", []lab.Rule{lab.On(lab.RawPrerouting, lab.Notrack), set(lab.RawPrerouting, 1)}},
			{"before-notrack", []lab.Rule{set(lab.RawPrerouting, 1), lab.On(lab.RawPrerouting, lab.Notrack)}},
		} {
			reload(p, append(lab.Classing(""), c.rules...)...)
			zoneStep(p, c.name, false, pkt)
		}
	}),
	zoned("errors", "An ICMP error about a connection in a zone: is it related with the zone, and without?", "nf_conntrack_inet_error in nf_conntrack_proto_icmp.c", func(p *probe.P) {
		v := versions[0]
		from, to := v.udp()
		p.Add(inZone(1, lab.Proto("udp")))
		about := one(p, p.Forth(wire.UDP(from, to, "1")))
		e := v.errors()[0]
		tell := wire.ICMPError(v.router(), v.client, e.typ, e.code, e.rest, about)
		zoneStep(p, "without", true, tell)
		p.Add(inZone(1, lab.Proto("icmp")))
		zoneStep(p, "with", true, tell)
	}),
	zoned("translated", "Two clients with one address in two zones, translated to one address: does each get its own port?", "nf_nat_used_tuple in nf_nat_core.c; selftest nft_nat_zones.sh", func(p *probe.P) {
		from, to := versions[0].udp()
		one, two := wire.UDP(from, to, "1"), wire.UDP(from, to, "22")
		zoneOf(p, 0, 1, len(one.Data))
		zoneOf(p, 0, 2, len(two.Data))
		p.Add(lab.On(lab.NATPostrouting, lab.SNAT(translated4)))
		p.Text("first", "packet", portKept(p.Forth(one), from))
		p.Text("second", "packet", portKept(p.Forth(two), from))
		p.Count("table", "entries", p.Held())
	}, "nf_nat", "nft_chain_nat", "nft_nat"),
	zoned("marks", "Does a connection keep its mark, for the other direction and for related packets, and which events tell of it?", "nft_ct_set_eval (NFT_CT_MARK) in nft_ct.c; ctnetlink_conntrack_event", zoneMarks),
	zoned("labels", "Which labels can a connection have, does it keep them, and which events tell of them?", "nft_ct_set_eval (NFT_CT_LABELS) in nft_ct.c; nf_connlabels_replace", zoneLabels),
	zoned("labels-read", "Has a connection room for labels where rules only read them: what do requests set, and rules find?", "nft_ct_get_init in nft_ct.c; nf_connlabels_get; nf_ct_labels_ext_add", func(p *probe.P) {
		r := dial(p)
		ask := func(subject string) {
			p.Flush()
			from, to := versions[0].udp()
			p.Forth(wire.UDP(from, to, "x"))
			_, err := r.Ask(ct.CtNew, 0, unix.AF_INET, tuple(ctaTupleOrig, unix.IPPROTO_UDP, from, to), raw(ctaLabels, append([]byte{4}, make([]byte, 15)...)...))
			p.Errno(subject, err)
			var texts []string
			for _, e := range p.Entries() {
				texts = append(texts, bitsIn(e.Label))
			}
			p.Text(subject, "label", listOr("none", texts))
		}
		ask("no-rule")
		p.Add(lab.On(lab.FilterInput, lab.Never, lab.CtSet("label", make([]byte, 16))))
		ask("written-by-rules")
		reload(p, lab.On(lab.ManglePrerouting)) // the chain that reads
		readKeys(p, lab.ManglePrerouting, keyNamed(p, "label"))
		ask("read-by-rules")
		from, to := versions[0].udp()
		p.Forth(wire.UDP(from, to, "y"))
		said, err := p.Box.Rules.Said(lab.ManglePrerouting, keyNamed(p, "label"))
		p.Must(err)
		p.Text("read-by-rules", "value", listOr("no answer", said))
	}),
}

// zoned is a probe of the family.
func zoned(name, question, source string, run func(*probe.P), needs ...string) probe.Probe {
	return probe.Probe{
		Name: "zones/" + name, Question: question, Source: source,
		Path: lab.Forward, Only: probe.Initial, Needs: needs, Run: run,
	}
}

// zoneOf gives packets of a length a zone that counts for one direction only.
func zoneOf(p *probe.P, direction, zone byte, length int) {
	apart := lab.OtherTable(lab.RawPrerouting) // where nothing is counted: no library reads such rules
	p.Add(lab.On(apart))
	p.Supported(p.Box.Rules.ZoneOf(apart, length, direction, zone), "CONFIG_NF_CONNTRACK_ZONES")
}

// zoneStep records the class of a packet, whether it was lost, and the entries
// with their zones.
func zoneStep(p *probe.P, subject string, back bool, pkt wire.Packet) {
	p.Mark()
	var out []wire.Seen
	if back {
		out = p.Back(pkt)
	} else {
		out = p.Forth(pkt)
	}
	text := p.Classes()
	if len(out) == 0 {
		text += ", lost"
	}
	p.Text(subject, "zones", text+": "+zonesOf(p.Entries()))
}

func zonesOf(entries []ct.Entry) string {
	var texts []string
	for _, e := range entries {
		words := []string{e.String()}
		if e.Zone != 0 {
			words = append(words, fmt.Sprintf("zone %d", e.Zone))
		}
		for i, direction := range []string{"original", "reply"} {
			if e.Zones[i] != 0 {
				words = append(words, fmt.Sprintf("%s zone %d", direction, e.Zones[i]))
			}
		}
		texts = append(texts, strings.Join(words, " "))
	}
	slices.Sort(texts) // the dump knows no order of zones
	return listOr("none", texts)
}

// portKept is where packets come from that went out, and whether that is the port
// that they came in with.
func portKept(out []wire.Seen, from netip.AddrPort) string {
	var texts []string
	for _, s := range out {
		kept := "another port"
		if s.Src.Port() == from.Port() {
			kept = "its port"
		}
		texts = append(texts, fmt.Sprintf("%s, %s", s.Src.Addr(), kept))
	}
	return listOr("none", texts)
}

func zoneMarks(p *probe.P) {
	take := p.Listen()
	set := func(v uint32) lab.Part {
		return lab.CtSet("mark", []byte{byte(v), byte(v >> 8), byte(v >> 16), byte(v >> 24)})
	}
	marks := func(subject string) {
		var texts []string
		for _, e := range p.Entries() {
			texts = append(texts, fmt.Sprintf("%#x", e.Mark))
		}
		p.Text(subject, "mark", listOr("none", texts))
		p.Events(subject, take())
	}
	f := tcpFlow()
	p.Add(lab.On(lab.ManglePrerouting, lab.CtState("new"), set(0x1234)))
	p.Forth(f.Orig(SYN))
	marks("new")
	p.Add(lab.On(lab.FilterForward, lab.CtMark(0x1234), lab.Meter("matched")))
	p.Mark()
	p.Back(f.Reply(SYN | ACK))
	p.Count("reply", "matched", int(p.Meters()["matched"]))
	marks("reply")
	v := versions[0]
	e := v.errors()[0]
	p.Mark()
	p.Back(wire.ICMPError(v.router(), v.client, e.typ, e.code, e.rest, f.Orig(ACK).Data))
	p.Count("related", "matched", int(p.Meters()["matched"]))
	take()
	p.Add(lab.On(lab.Postrouting, lab.CtState("established"), set(0xffffffff)))
	p.Back(f.Reply(ACK))
	marks("changed")
	p.Back(f.Reply(ACK))
	marks("same-again")
	reload(p, lab.On(lab.RawPrerouting, set(1)))
	take()
	p.Forth(tcpFlow().Orig(SYN))
	marks("before-tracking")
	reload(p, lab.On(lab.FilterForward, lab.CtState("new"), set(1), lab.Drop))
	p.Forth(tcpFlow().Orig(SYN))
	marks("dropped")
}

func zoneLabels(p *probe.P) {
	take := p.Listen()
	label := func(bits ...int) lab.Part {
		value := make([]byte, 16)
		for _, b := range bits {
			value[b/8] |= 1 << (b % 8)
		}
		return lab.CtSet("label", value)
	}
	labels := func(subject string) {
		var texts []string
		for _, e := range p.Entries() {
			texts = append(texts, bitsIn(e.Label))
		}
		p.Text(subject, "label", listOr("none", texts))
		p.Events(subject, take())
	}
	f := tcpFlow()
	p.Forth(f.Orig(SYN))
	p.Add(lab.On(lab.ManglePrerouting, label(3)))
	take()
	p.Back(f.Reply(SYN | ACK))
	labels("too-old")
	p.Flush()
	take()
	f = tcpFlow()
	p.Forth(f.Orig(SYN))
	labels("new")
	p.Back(f.Reply(SYN | ACK))
	labels("same-again")
	p.Add(lab.On(lab.Postrouting, label(0, 127)))
	p.Forth(f.Orig(ACK))
	labels("others")
	reload(p)
	p.Forth(tcpFlow().Orig(SYN))
	labels("no-rule")
}

// bitsIn are the numbers of the bits that are set.
func bitsIn(b []byte) string {
	if b == nil {
		return "no labels"
	}
	var bits []string
	for i := range len(b) * 8 {
		if b[i/8]&(1<<(i%8)) != 0 {
			bits = append(bits, fmt.Sprint(i))
		}
	}
	if len(bits) == 0 {
		return "no bits"
	}
	return strings.Join(bits, "+")
}
