package suite

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/internal/probe"
	"github.com/ctmatrix/ctmatrix/guest/internal/wire"
)

const clashSource = "__nf_conntrack_confirm and nf_ct_resolve_clash in nf_conntrack_core.c"

// clash asks what becomes of packets that both began an entry of the same tuple.
// They wait in a queue, each with a connection that is not yet in the table, and
// are let go in a chosen order: what takes two CPUs and luck elsewhere happens
// every time.
var clash = []probe.Probe{
	clashing("protocols", "Two first packets of one conversation: does the one that is confirmed second come through, by protocol?",
		clashSource+" (allow_clash)", clashProtocols),
	clashing("order", "Does it matter which of the two goes first, or that the first is dropped?", clashSource, func(p *probe.P) {
		from, to := versions[0].udp()
		for _, o := range []struct {
			name  string
			order []int
			first lab.Verdict
		}{
			{"as-they-came", []int{0, 1, 2}, lab.VerdictAccept},
			{"reversed", []int{2, 1, 0}, lab.VerdictAccept},
			{"first-dropped", []int{0, 1, 2}, lab.VerdictDrop},
		} {
			w := startClash(p)
			var held []lab.Held
			for _, text := range []string{"a", "bb", "ccc"} {
				held = append(held, w.hold(wire.UDP(from, to, text)))
			}
			for i, at := range o.order {
				verdict := lab.VerdictAccept
				if i == 0 {
					verdict = o.first
				}
				p.Must(w.q.Verdict(held[at].ID, verdict))
			}
			settled(p, o.name, p.Forth())
			w.stop()
		}
	}),
	clashing("both-sides", "Both sides send first, at once: does the packet of the second come through?",
		clashSource+`; "netfilter: nf_conntrack: add reverse-clash resolution"; selftest conntrack_reverse_clash.sh`, func(p *probe.P) {
			for _, v := range versions {
				from, to := v.udp()
				w := startClash(p)
				a := w.hold(wire.UDP(from, to, "ask"))
				b := w.holdBack(wire.UDP(to, from, "me too"))
				p.Must(w.q.Verdict(a.ID, lab.VerdictAccept))
				p.Fate(v.name+"-first", p.Forth())
				p.Must(w.q.Verdict(b.ID, lab.VerdictAccept))
				settled(p, v.name+"-second", p.Back())
				w.stop()
			}
		}),
	clashing("dnat", "Two first packets of one conversation went to different servers: do both come through, what does the table show, and who may answer?",
		clashSource+" (nf_ct_resolve_clash_harder); selftest conntrack_clash.sh", func(p *probe.P) {
			from, to := versions[0].udp()
			to = addr(to, translated4)
			first, second := wire.UDP(from, to, "ask"), wire.UDP(from, to, "ask again")
			// The answers of the servers do not wait.
			reload(p, append(lab.Classing(""), lab.On(lab.FilterForward, lab.In(lab.NearName), lab.ToQueue(queueNumber, false)))...)
			w := listenQueue(p, 10, 0)
			p.Add(lab.On(lab.NATPrerouting, lab.Length(len(first.Data)), lab.DNAT(netip.MustParseAddr("198.19.0.2"))),
				lab.On(lab.NATPrerouting, lab.Length(len(second.Data)), lab.DNAT(netip.MustParseAddr("198.19.0.3"))))
			a, b := w.hold(first), w.hold(second)
			p.Text("first", "packet", ends(w.accept(a)))
			p.Text("second", "packet", ends(w.accept(b)))
			p.Text("table", "entries", whom(p))
			p.Moved("table")
			answers := func(subject, server string) {
				p.Mark()
				p.Text(subject, "packet", ends(p.Back(wire.UDP(netip.MustParseAddrPort(server+":53"), from, "answer"))))
				p.Text(subject, "class", p.Classes())
				p.Text(subject, "entries", whom(p))
			}
			answers("second-answers", "198.19.0.3")
			answers("second-again", "198.19.0.3")
			answers("first-answers", "198.19.0.2")
		}, "nf_nat", "nft_chain_nat", "nft_nat"),
	clashing("snat", "Two first packets of one conversation got different sources: does the second come through?",
		clashSource, func(p *probe.P) {
			from, to := versions[0].udp()
			w := startClash(p)
			p.Add(lab.On(lab.NATPostrouting, lab.SNAT(translated4)))
			a, b := w.hold(wire.UDP(from, to, "a")), w.hold(wire.UDP(from, to, "b"))
			p.Text("first", "packet", ends(w.accept(a)))
			p.Text("second", "packet", ends(w.accept(b)))
			p.Text("table", "entries", whom(p))
			p.Moved("table")
			w.stop()
		}, "nf_nat", "nft_chain_nat", "nft_nat"),
	clashing("events", "Which events does a clash bring, and how are the packets of both counted?", clashSource+" (nf_ct_acct_merge)", func(p *probe.P) {
		p.Set(acctSysctl, "1")
		take := p.Listen()
		from, to := versions[0].udp()
		w := startClash(p)
		a, b := w.hold(wire.UDP(from, to, "a")), w.hold(wire.UDP(from, to, "bb"))
		w.accept(a)
		w.accept(b)
		p.Events("clash", take())
		counted(p, "clash")
		w.stop()
	}),
}

// clashing is a probe of the family.
func clashing(name, question, source string, run func(*probe.P), needs ...string) probe.Probe {
	return probe.Probe{
		Name: "clash/" + name, Question: question, Source: source,
		Path: lab.Forward6, Only: probe.Initial, Needs: append([]string{queueNeeds, queueListener}, needs...), Run: run,
	}
}

// startClash begins with an empty table and a queue behind tracking.
func startClash(p *probe.P) waiting {
	reload(p, append(lab.Classing(""), queueing)...)
	q, err := lab.OpenQueue(queueNumber, 10, 0)
	p.Must(err)
	return waiting{p, q}
}

// stop leaves the queue, so that later packets do not wait.
func (w waiting) stop() {
	w.p.Must(w.q.Close())
	w.p.ClearRules()
	w.p.Add(lab.Classing("")...)
}

// settled records what came through of packets that clashed, and the entries and
// statistics behind them.
func settled(p *probe.P, subject string, out []wire.Seen) {
	p.Fate(subject, out)
	p.Entry(subject, p.Entries())
	s := p.Stats()
	p.Text(subject, "stats", s.String())
	p.Mark()
}

func clashProtocols(p *probe.P) {
	v := versions[0]
	from, to := v.udp()
	for _, c := range []struct {
		name string
		pkt  wire.Packet
	}{
		{"udp", wire.UDP(from, to, "x")},
		{"tcp", v.tcp().Orig(SYN)},
		{"echo", wire.Echo(v.client, v.server, false, 7, 1)},
		{"gre", wire.GRE(v.client, v.server)},
		{"sctp", sctpPacket(false, wire.InitOf(wire.Init, toTag))},
		{"udplite", wire.UDPLite(from, to, "x")},
		{"dccp", wire.DCCP(from, to, wire.DCCPRequest, 1000, 0)},
		{"unknown", wire.Datagram(v.client, v.server, wire.ProtoUnknown, []byte("x"))},
		{"v6-udp", func() wire.Packet { from, to := versions[1].udp(); return wire.UDP(from, to, "x") }()},
		{"v6-echo", wire.Echo(client6, server6, false, 7, 1)},
	} {
		p.Set("net.netfilter.nf_conntrack_checksum", "0") // of UDP-Lite, which some kernels take for wrong
		w := startClash(p)
		a, b := w.hold(c.pkt), w.hold(c.pkt)
		p.Mark()
		settled(p, c.name, slices.Concat(w.accept(a), w.accept(b)))
		w.stop()
	}
}

// whom are the entries with their reply tuples, and their flags.
func whom(p *probe.P) string {
	var texts []string
	for _, e := range p.Entries() {
		texts = append(texts, fmt.Sprintf("%s reply %s -> %s", e, e.Reply.Src, e.Reply.Dst))
	}
	return listOr("none", texts)
}
