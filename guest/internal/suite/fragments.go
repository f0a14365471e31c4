package suite

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/internal/probe"
	"github.com/ctmatrix/ctmatrix/guest/internal/wire"
)

const defrag = "ipv4_conntrack_defrag in nf_defrag_ipv4.c, ipv6_defrag in nf_defrag_ipv6_hooks.c"

// beforeDefrag counts packets before fragments are put together.
var beforeDefrag = []lab.Rule{lab.On(lab.BeforeDefrag, lab.Meter("fragments"))}

// fragments ask what becomes of packets in pieces. What is unfinished goes with
// the namespace.
var fragments = []probe.Probe{
	inPieces("orders", "Which fragments make a packet: in order, reversed, twice, overlapping, with one missing?",
		defrag+"; RFC 5722", func(p *probe.P) { eachVersion(p, fragmentOrders) }),
	inPieces("sizes", "In which pieces does a packet leave that came in pieces, and does it say not to fragment it?",
		"ip_do_fragment and ip_frag_reasm; nf_ct_frag6_reasm; br_netfilter and ip_forward (frag_max_size)", fragmentSizes),
	inPieces("mtu", "A packet in pieces meets a link that is too small: in which pieces does it leave, or who is told?",
		"ip_exceeds_mtu and ip_do_fragment; ip6_pkt_too_big", fragmentMTU),
	inPieces("notrack", "Are fragments put together where a rule says not to track them?",
		defrag, func(p *probe.P) {
			p.Add(lab.On(lab.RawPrerouting, lab.Notrack))
			eachVersion(p, func(p *probe.P, v version) {
				travels(p, v.name+"-fragments", wire.Fragments(datagram(v), 1, 400)...)
			})
		}),
	inPieces("protocols", "Are the first bytes enough: fragments of TCP, of echoes, of SCTP, of errors, and of a header cut in two?",
		defrag+"; nf_conntrack_in", func(p *probe.P) { eachVersion(p, fragmentProtocols) }),
	inPieces("time", "How long does the box wait for a missing fragment, and whom does it tell?",
		"ip_expire; nf_ct_frag6_expire; IP_FRAG_TIME and IPV6_FRAG_TIMEOUT", fragmentTime),
	inPieces("interfaces", "Are fragments of a packet put together that come in by different devices?",
		`inet_frag_find; "netfilter: nf_defrag_ipv6: do not use the interface index" (nf_ct_frag6 key.iif)`, func(p *probe.P) {
			eachVersion(p, func(p *probe.P, v version) {
				p.Mark()
				pieces := wire.Fragments(datagram(v), 1, 400)
				p.Forth(pieces[0])
				p.Back(pieces[1])
				p.Forth(pieces[2])
				p.Count(v.name+"-packet", "mangle", int(p.Meters()["mangle"]))
				p.Text(v.name+"-packet", "outcome", p.Classes())
			})
		}),
	inPieces("zones", "Are fragments put together that rules give different zones?",
		"nf_ct_defrag_user; nf_ct6_defrag_user", func(p *probe.P) {
			p.Add(lab.On(lab.BeforeDefrag, lab.FirstFragment, lab.CtSet("zone", []byte{1, 0})))
			travels(p, "first-elsewhere", wire.Fragments(datagram(versions[0]), 1, 400)...)
			p.ClearRules()
			p.Add(slices.Concat(beforeDefrag, lab.Counting(lab.NearName), lab.Classing(""))...)
			p.Add(lab.On(lab.BeforeDefrag, lab.CtSet("zone", []byte{1, 0})))
			travels(p, "all-in-one", wire.Fragments(datagram(versions[0]), 2, 400)...)
		}),
	inPieces("limit", "What becomes of fragments where there is no memory for them, and of whole packets then?",
		"inet_frag_find (high_thresh); nf_ct_frag6_gather", func(p *probe.P) {
			p.Set("net.ipv4.ipfrag_low_thresh", "0")
			p.Set("net.ipv4.ipfrag_high_thresh", "1")
			p.Set("net.netfilter.nf_conntrack_frag6_low_thresh", "0")
			p.Set("net.netfilter.nf_conntrack_frag6_high_thresh", "1")
			eachVersion(p, func(p *probe.P, v version) {
				travels(p, v.name+"-fragments", wire.Fragments(datagram(v), 1, 400)...)
				travels(p, v.name+"-whole", datagram(v))
			})
		}),
	{
		Name:     "fragments/untracked-namespace",
		Question: "Are fragments put together in a namespace that does not track, that does, and that no longer does?",
		Source:   `nf_defrag_ipv4_enable; "netfilter: disable defrag once its no longer needed"`,
		Path:     lab.Forward6, Only: probe.Child, Bare: true, Rules: beforeDefrag,
		Run: func(p *probe.P) {
			eachVersion(p, func(p *probe.P, v version) {
				passed(p, v.name+"-never", wire.Fragments(datagram(v), 1, 400)...)
			})
			eachVersion(p, func(p *probe.P, v version) {
				p.Add(lab.On(lab.FilterForward, lab.CtState("new"), lab.Accept))
				passed(p, v.name+"-now", wire.Fragments(datagram(v), 2, 400)...)
				reload(p, slices.Concat(beforeDefrag, lab.Counting(lab.NearName))...)
				passed(p, v.name+"-no-longer", wire.Fragments(datagram(v), 3, 400)...)
			})
		},
	},
}

// inPieces is a probe of the family.
func inPieces(name, question, source string, run func(*probe.P)) probe.Probe {
	return probe.Probe{
		Name: "fragments/" + name, Question: question, Source: source,
		Path: lab.Forward6, Only: probe.Child, Rules: beforeDefrag, Timed: name == "time", Run: run,
	}
}

func eachVersion(p *probe.P, ask func(*probe.P, version)) {
	for _, v := range versions {
		p.Flush()
		ask(p, v)
	}
}

// datagram is a packet of 1000 bytes behind the IP header.
func datagram(v version) wire.Packet {
	from, to := v.udp()
	return wire.UDP(from, to, strings.Repeat("x", 992)).NoDF()
}

func shortDatagram(v version) wire.Packet {
	from, to := v.udp()
	return wire.UDP(from, to, "eight or more of it").NoDF()
}

// passed records how many packets there were before and after they were put
// together, and in which pieces they left.
func passed(p *probe.P, subject string, pkts ...wire.Packet) {
	p.Mark()
	out := p.Forth(pkts...)
	m := p.Meters()
	p.Text(subject, "passage", fmt.Sprintf("%d before, %d in raw, %d in mangle", m["fragments"], m["raw"], m["mangle"]))
	p.Text(subject, "pieces", shapes(out))
}

// travels is passed with what tracking thinks.
func travels(p *probe.P, subject string, pkts ...wire.Packet) {
	passed(p, subject, pkts...)
	p.Class(subject)
}

func shapes(out []wire.Seen) string {
	var texts []string
	for _, s := range out {
		texts = append(texts, wire.Shape(s))
	}
	return listOr("none", texts)
}

func fragmentOrders(p *probe.P, v version) {
	whole := datagram(v)
	piece := func(id uint16, from, to int) wire.Packet {
		return wire.PiecesOf(whole, id, wire.Piece{From: from, To: to})[0]
	}
	for i, o := range []struct {
		name   string
		pieces [][2]int
	}{
		{"in-order", [][2]int{{0, 400}, {400, 800}, {800, 1000}}},
		{"reversed", [][2]int{{800, 1000}, {400, 800}, {0, 400}}},
		{"first-twice", [][2]int{{0, 400}, {0, 400}, {400, 800}, {800, 1000}}},
		{"last-twice", [][2]int{{0, 400}, {800, 1000}, {800, 1000}, {400, 800}}},
		{"overlap", [][2]int{{0, 400}, {392, 800}, {800, 1000}}},
		{"contained", [][2]int{{0, 400}, {8, 200}, {400, 800}, {800, 1000}}},
		{"two-ends", [][2]int{{0, 400}, {800, 1000}, {400, 1000}}},
		{"first-missing", [][2]int{{400, 800}, {800, 1000}}},
		{"middle-missing", [][2]int{{0, 400}, {800, 1000}}},
		{"last-missing", [][2]int{{0, 400}, {400, 800}}},
		{"last-only", [][2]int{{800, 1000}}},
	} {
		p.Flush()
		var pkts []wire.Packet
		for _, r := range o.pieces {
			pkts = append(pkts, piece(uint16(100+i), r[0], r[1]))
		}
		travels(p, v.name+"-"+o.name, pkts...)
	}
	// A fragment that is a whole packet (RFC 6946), and one that is not the last
	// and no multiple of eight.
	p.Flush()
	travels(p, v.name+"-atomic", wire.PiecesOf(whole, 200, wire.Piece{From: 0, To: 1000})...)
	p.Flush()
	travels(p, v.name+"-odd-size", piece(201, 0, 401), piece(201, 400, 1000))
}

func fragmentSizes(p *probe.P) {
	eachVersion(p, func(p *probe.P, v version) {
		travels(p, v.name+"-even", wire.Fragments(datagram(v), 1, 400)...)
		travels(p, v.name+"-uneven", wire.PiecesOf(datagram(v), 2, wire.Piece{From: 0, To: 200}, wire.Piece{From: 200, To: 904}, wire.Piece{From: 904, To: 1000})...)
	})
	v := versions[0]
	travels(p, "df-all", wire.Fragments(datagram(v).DF(), 3, 400)...)
	mixed := wire.Fragments(datagram(v), 4, 400)
	mixed[0] = mixed[0].DF()
	travels(p, "df-first", mixed...)
	mixed = wire.Fragments(datagram(v), 5, 400)
	mixed[2] = mixed[2].DF()
	travels(p, "df-last", mixed...)
}

func fragmentMTU(p *probe.P) {
	from, to := versions[0].udp()
	big := wire.UDP(from, to, strings.Repeat("x", 1392)).NoDF()
	from6, to6 := versions[1].udp()
	big6 := wire.UDP(from6, to6, strings.Repeat("x", 1392))
	p.Must(p.Box.Far.SetMTU(1280))
	ask := func(subject string, pkts ...wire.Packet) {
		p.Mark()
		back, forth := p.BothWays(pkts...)
		p.Text(subject, "pieces", shapes(forth))
		p.Fate(subject+"-answer", back)
	}
	ask("v4-whole", big)
	ask("v4-whole-df", big.DF())
	ask("v4-pieces", wire.Fragments(big, 1, 800)...)
	ask("v4-pieces-df", wire.Fragments(big.DF(), 2, 800)...)
	ask("v4-large-pieces", wire.Fragments(big, 3, 1320)...)
	ask("v4-large-pieces-df", wire.Fragments(big.DF(), 4, 1320)...)
	ask("v6-whole", big6)
	ask("v6-pieces", wire.Fragments(big6, 5, 800)...)
	ask("v6-large-pieces", wire.Fragments(big6, 6, 1320)...)
}

func fragmentProtocols(p *probe.P, v version) {
	data := strings.Repeat("x", 500)
	f := v.tcp()
	for i, c := range []struct {
		name string
		pkt  wire.Packet
		size int
	}{
		{"tcp", f.Orig(SYN, wire.Payload(data)), 200},
		{"tcp-header-cut", v.tcp().Orig(SYN), 8},
		{"udp-header-cut", shortDatagram(v), 8},
		{"echo", wire.Echo(v.client, v.server, false, 7, 1).Carry(append(wire.Echo(v.client, v.server, false, 7, 1).Segment(), data...)).Mended(), 200},
		{"unknown", wire.Datagram(v.client, v.server, wire.ProtoUnknown, []byte(data)), 200},
	} {
		p.Flush()
		travels(p, v.name+"-"+c.name, wire.Fragments(c.pkt.NoDF(), uint16(i+1), c.size)...)
	}
}

// fragmentTime asks with times that are two seconds and more apart from the
// kernel's: so coarse is the timer of a wait that long (LVL_GRAN in
// kernel/time/timer.c).
func fragmentTime(p *probe.P) {
	ages := []struct {
		name string
		wait time.Duration
	}{{"at-29", 29 * time.Second}, {"at-33", 4 * time.Second}, {"at-58", 25 * time.Second}, {"at-63", 5 * time.Second}}
	eachVersion(p, func(p *probe.P, v version) {
		first := wire.Fragments(datagram(v), 1, 400)
		p.Through(first[0], first[2])
		last := wire.Fragments(datagram(v), 2, 400)
		p.Through(last[1], last[2])
		for i := range ages {
			pieces := wire.Fragments(datagram(v), uint16(10+i), 400)
			p.Through(pieces[0], pieces[2])
		}
		for i, age := range ages {
			p.Wait(age.wait)
			subject := v.name + "-" + age.name
			p.Fate(subject, p.Through())
			p.Mark()
			p.Forth(wire.Fragments(datagram(v), uint16(10+i), 400)[1])
			p.Flag(subject, "completes", p.Meters()["mangle"] == 1)
		}
	})
}
