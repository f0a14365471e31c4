package suite

import (
	"fmt"
	"net/netip"

	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/internal/probe"
	"github.com/ctmatrix/ctmatrix/guest/internal/wire"
)

// onlyPort is what the rule onePort leaves to clients: the second that talks to a
// server takes the place of the first, or none.
const onlyPort = 5000

var onePort = []lab.Rule{
	lab.On(lab.NATPostrouting, lab.Out(lab.FarName), lab.Translation{From: translated4, Low: onlyPort, High: onlyPort}.SNAT()),
	lab.On(lab.NATPostrouting, lab.Out(lab.FarName), lab.Translation{From: translated6, Low: onlyPort, High: onlyPort}.SNAT()),
}

const reuseSource = "nf_nat_used_tuple_harder, nf_nat_may_kill and nf_seq_has_advanced in nf_nat_core.c; commit 458972550287"

// exchange is one packet of a translated conversation: of the client, or of the
// server.
type exchange struct {
	reply bool
	flags wire.Flags
}

// closings are ways that lead a translated conversation, one packet after the
// other, into each state. What they send takes 1 or 2 sequence numbers of the
// client's: its SYN and its FIN.
var closings = []struct {
	state string
	way   []exchange
	sent  uint32
}{
	{"syn-sent", []exchange{{false, SYN}}, 1},
	{"syn-sent2", []exchange{{false, SYN}, {true, SYN}}, 1},
	{"syn-recv", []exchange{{false, SYN}, {true, SYN | ACK}}, 1},
	{"established", []exchange{{false, SYN}, {true, SYN | ACK}, {false, ACK}}, 1},
	{"fin-wait", []exchange{{false, SYN}, {true, SYN | ACK}, {false, ACK}, {false, FIN | ACK}}, 2},
	{"close-wait", []exchange{{false, SYN}, {true, SYN | ACK}, {false, ACK}, {false, FIN | ACK}, {true, ACK}}, 2},
	{"last-ack", []exchange{{false, SYN}, {true, SYN | ACK}, {false, ACK}, {false, FIN | ACK}, {true, FIN | ACK}}, 2},
	{"time-wait", []exchange{{false, SYN}, {true, SYN | ACK}, {false, ACK}, {false, FIN | ACK}, {true, FIN | ACK}, {false, ACK}}, 2},
	{"close", []exchange{{false, SYN}, {true, SYN | ACK}, {false, ACK}, {false, RST}}, 1},
	{"close-by-reply", []exchange{{false, SYN}, {true, SYN | ACK}, {false, ACK}, {true, RST | ACK}}, 1},
}

// converse takes the flow along a way; the server knows the client by another
// address.
func converse(p *probe.P, f *wire.Flow, outside netip.AddrPort, way []exchange) {
	for _, e := range way {
		if e.reply {
			p.Back(f.Reply(e.flags).Sent(outside))
		} else {
			p.Forth(f.Orig(e.flags))
		}
	}
}

var natReuse = []probe.Probe{
	natProbe("reuse-states", "With one port for all, in which states of the connection that has it is another client let through, with a higher sequence number and with the same?",
		reuseSource, onePort, func(p *probe.P) {
			for _, c := range closings {
				for _, by := range []struct {
					name string
					seq  uint32
				}{{"higher", wire.OrigISN + 1_000_000}, {"same", wire.OrigISN}} {
					p.Flush()
					converse(p, versions[0].tcp(), netip.AddrPortFrom(translated4, onlyPort), c.way)
					newcomer := wire.TCP(netip.AddrPortFrom(client2, firstPort), netip.AddrPortFrom(server, 80))
					outcome(p, c.state+"-"+by.name, newcomer.Orig(SYN, wire.Seq(by.seq)))
				}
			}
			moved(p)
		}),
	natProbe("reuse-sequence", "How far must the newcomer's sequence number lie above what the closed connection sent?",
		reuseSource, onePort, func(p *probe.P) {
			closing := closings[7]
			end := wire.OrigISN + closing.sent // the next that the old connection would send
			for _, c := range []struct {
				version version
				name    string
				seq     uint32
			}{
				{versions[0], "far-below", end - 1<<31 + 10},
				{versions[0], "below", end - 2},
				{versions[0], "equal", end - 1},
				{versions[0], "next", end},
				{versions[0], "half-above", end - 1 + 1<<31 - 1},
				{versions[0], "more-than-half", end - 1 + 1<<31},
				{versions[1], "equal", end - 1},
				{versions[1], "next", end},
			} {
				v := c.version
				second, _ := v.others()
				p.Flush()
				converse(p, v.tcp(), netip.AddrPortFrom(v.translated(), onlyPort), closing.way)
				newcomer := wire.TCP(netip.AddrPortFrom(second, firstPort), netip.AddrPortFrom(v.server, 80))
				outcome(p, v.name+"-"+c.name, newcomer.Orig(SYN, wire.Seq(c.seq)))
			}
			moved(p)
		}),
	natProbe("reuse-other", "What else has to be for a closed connection's port to be taken over: a SYN, TCP, the translation, the same server, the client itself?",
		reuseSource, onePort, func(p *probe.P) {
			closing := closings[7]
			outside := netip.AddrPortFrom(translated4, onlyPort)
			second := func(port uint16) *wire.Flow {
				return wire.TCP(netip.AddrPortFrom(client2, firstPort), netip.AddrPortFrom(server, port))
			}
			higher := wire.Seq(wire.OrigISN + 1_000_000)
			old := func() *wire.Flow {
				p.Flush()
				f := versions[0].tcp()
				converse(p, f, outside, closing.way)
				return f
			}
			f := old()
			outcome(p, "itself", f.Orig(SYN, higher))
			old()
			outcome(p, "ack", second(80).Orig(ACK, higher))
			old()
			outcome(p, "other-server-port", second(81).Orig(SYN, higher))
			old()
			outcome(p, "datagram", wire.UDP(netip.AddrPortFrom(client2, firstPort), netip.AddrPortFrom(server, 80), "x"))
			f = old()
			p.Forth(second(80).Orig(SYN, higher))
			outcomeBack(p, "old-data-after", f.Reply(ACK, wire.Payload("late")).Sent(outside))
			outcome(p, "old-client-after", f.Orig(ACK))
			moved(p)
		}),
	natProbe("reuse-range", "With a range of ports full of closed connections, from which length of the range on is one of them given up?",
		reuseSource+"; NF_NAT_HARDER_THRESH", nil, func(p *probe.P) {
			for _, n := range []uint16{1, 32, 33} {
				p.ClearRules()
				p.Add(lab.On(lab.NATPostrouting, lab.Out(lab.FarName), lab.Translation{From: translated4, Low: onlyPort, High: onlyPort + n - 1}.SNAT()))
				p.Flush()
				for i := range n {
					// A port of the range is kept, so that no draw is in it.
					f := wire.TCP(netip.AddrPortFrom(client, onlyPort+i), netip.AddrPortFrom(server, 80))
					converse(p, f, netip.AddrPortFrom(translated4, onlyPort+i), closings[7].way)
				}
				newcomer := wire.TCP(netip.AddrPortFrom(client2, firstPort), netip.AddrPortFrom(server, 80))
				out := p.Forth(newcomer.Orig(SYN, wire.Seq(wire.OrigISN+1_000_000)))
				p.Flag(fmt.Sprintf("length-%d", n), "passes", len(out) == 1)
			}
		}),
}
