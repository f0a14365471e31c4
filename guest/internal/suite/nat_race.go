package suite

import (
	"net/netip"
	"slices"

	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/internal/probe"
	"github.com/ctmatrix/ctmatrix/guest/internal/wire"
)

// natRaces ask what comes of first packets that are under way at once, so that
// none of them finds the other in the table when its translation is chosen. They
// wait in a queue and are let go one after the other.
var natRaces = []probe.Probe{
	raceProbe("both-at-once", lab.Forward6, "Both sides send first, at once, where nothing is translated but chains of type nat are there: does the packet that is let go second come through, and with its port?",
		"nf_conntrack_update in nf_conntrack_core.c, where there is a second look; nf_nat_used_tuple_new in nf_nat_core.c; commit d8f84a9bc7c4; selftest conntrack_reverse_clash.sh", func(p *probe.P) {
			w := listenQueue(p, 10, 0)
			for _, v := range versions {
				client, server := v.udp()
				for _, c := range []struct {
					name  string
					there wire.Packet
					back  wire.Packet
				}{
					{"udp", wire.UDP(client, server, "x"), wire.UDP(server, client, "y")},
					{"tcp", wire.TCP(client, server).Orig(SYN), wire.TCP(server, client).Orig(SYN)},
				} {
					reload(p, append(lab.Classing(""), lab.On(lab.NATPostrouting), queueing)...)
					p.Mark()
					first, second := w.hold(c.there), w.holdBack(c.back)
					p.Text(v.name+"-"+c.name+"-first", "source-port", newID(w.accept(first), client.Port()))
					p.Must(w.q.Verdict(second.ID, lab.VerdictAccept))
					p.Text(v.name+"-"+c.name+"-late", "source-port", newID(p.Back(), server.Port()))
					p.Text(v.name+"-"+c.name+"-late", "stats", withoutFound(p))
				}
			}
		}),
	raceProbe("same-port-at-once", lab.Forward, "Two clients got the same port on the outside, since neither was in the table: is the second's packet lost, and does it get through when it is sent again?",
		"get_unique_tuple in nf_nat_core.c: at worst, or if we race, a duplicate that __nf_conntrack_confirm drops", func(p *probe.P) {
			w := listenQueue(p, 10, 0)
			for _, proto := range firsts[:3] {
				reload(p, sourceNAT[0], lab.On(lab.AfterNAT, lab.ToQueue(queueNumber, false)))
				to := netip.AddrPortFrom(server, 53)
				again := proto.make(netip.AddrPortFrom(client2, firstPort), to)
				first := w.hold(proto.make(netip.AddrPortFrom(client, firstPort), to))
				second := w.hold(again)
				p.Mark()
				p.Text(proto.name+"-first", "source-port", newID(w.accept(first), firstPort))
				p.Text(proto.name+"-late", "source-port", newID(w.accept(second), firstPort))
				p.Text(proto.name+"-late", "stats", withoutFound(p))
				p.Text(proto.name+"-again", "source-port", newID(w.accept(w.hold(again)), firstPort))
			}
		}),
}

// withoutFound are the statistics but for those of lookups: how often a port that is
// drawn is found taken is luck.
func withoutFound(p *probe.P) string {
	s := p.Stats()
	s.Found = 0
	return s.String()
}

// raceProbe is a probe of packets that wait. Those of IPv6 wait in forwarding only:
// the links' own, which say what groups they are in, would come between.
func raceProbe(name string, path lab.Path, question, source string, run func(*probe.P)) probe.Probe {
	asked := natProbe(name, question, source, nil, run)
	asked.Path = path
	asked.Needs = append(slices.Clone(nat), queueNeeds, queueListener)
	return asked
}
