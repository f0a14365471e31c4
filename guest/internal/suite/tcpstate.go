package suite

import (
	"strings"

	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/internal/probe"
	"github.com/ctmatrix/ctmatrix/guest/internal/wire"
)

const stateSource = "tcp_conntracks and nf_conntrack_tcp_packet in nf_conntrack_proto_tcp.c"

// tcpStates are what a packet can come upon, each reached by packets. Each
// conversation ends with every number acknowledged that was sent, but for those
// in which nobody answers.
var tcpStates = []struct {
	name  string
	reach func(*probe.P) *wire.Flow
}{
	{"syn-sent", func(p *probe.P) *wire.Flow {
		f := tcpFlow()
		p.Through(f.Orig(SYN))
		return f
	}},
	{"syn-sent2", func(p *probe.P) *wire.Flow {
		f := tcpFlow()
		p.Through(f.Orig(SYN))
		p.Back(f.Reply(SYN))
		return f
	}},
	{"syn-recv", func(p *probe.P) *wire.Flow {
		f := tcpFlow()
		p.Through(f.Orig(SYN))
		p.Back(f.Reply(SYN | ACK))
		return f
	}},
	{"established", acknowledged},
	{"fin-wait", closing},
	{"close-wait", func(p *probe.P) *wire.Flow {
		f := closing(p)
		p.Back(f.Reply(ACK))
		return f
	}},
	{"last-ack", lastACK},
	{"time-wait", timeWait},
	{"close", func(p *probe.P) *wire.Flow {
		f := acknowledged(p)
		p.Through(f.Orig(RST))
		return f
	}},
}

// timeWait is a connection that both sides have closed.
func timeWait(p *probe.P) *wire.Flow {
	f := lastACK(p)
	p.Through(f.Orig(ACK))
	return f
}

// tcpState asks what each packet does to each state. There is one entry, and all
// sequence numbers are the probe's own: no seed can reach these rows.
var tcpState = join(inStates(), lives, pickups, []probe.Probe{flagsOf("first", nil), flagsOf("established", acknowledged)})

func tcpProbe(family string) func(name, question, source string, run func(*probe.P), sysctls ...probe.Sysctl) probe.Probe {
	return func(name, question, source string, run func(*probe.P), sysctls ...probe.Sysctl) probe.Probe {
		return probe.Probe{
			Name: family + "/" + name, Question: question, Source: source,
			Path: lab.Forward, Only: probe.Initial, Sysctls: sysctls, Run: run,
		}
	}
}

var state = tcpProbe("tcp-state")

// asks are the packets that every state is asked with, from both sides. Numbers
// are counted from the next that the sender would use.
var asks = []struct {
	name  string
	flags wire.Flags
	opts  []wire.Option
}{
	{"syn-higher", SYN, []wire.Option{wire.SeqBy(500_000)}},
	{"syn-lower", SYN, []wire.Option{wire.SeqBy(-500_000)}},
	{"synack", SYN | ACK, nil},
	{"fin", FIN | ACK, nil},
	{"ack", ACK, nil},
	{"data", PSH | ACK, []wire.Option{wire.Payload("data")}},
	{"no-flags", 0, nil},
}

func inStates() []probe.Probe {
	var probes []probe.Probe
	for _, s := range tcpStates {
		probes = append(probes, state("in-"+s.name,
			"In this state, what class has each kind of packet from either side, and what does it make of the entry?", stateSource,
			func(p *probe.P) {
				for _, a := range asks {
					p.Flush()
					outcome(p, "orig-"+a.name, s.reach(p).Orig(a.flags, a.opts...))
					p.Flush()
					outcomeBack(p, "reply-"+a.name, s.reach(p).Reply(a.flags, a.opts...))
				}
				p.Flush()
				outcome(p, "orig-first-again", s.reach(p).Orig(SYN, wire.Seq(wire.OrigISN)))
				p.Flush()
				outcomeBack(p, "reply-first-again", s.reach(p).Reply(SYN|ACK, wire.Seq(wire.ReplyISN), wire.Ack(wire.OrigISN+1)))
				moved(p)
			}))
	}
	return probes
}

// flagsOf asks which of the 64 combinations of flags are tracked at all, where
// they come first or after a conversation.
func flagsOf(where string, reach func(*probe.P) *wire.Flow) probe.Probe {
	return state("flags-"+where, "Which combinations of the six flags are tracked, and as what?",
		"tcp_valid_flags and tcp_error in nf_conntrack_proto_tcp.c", func(p *probe.P) {
			classes := map[string][]string{}
			counted := p.Meters()
			for flags := range wire.URG | wire.ACK | wire.PSH | wire.RST | wire.SYN | wire.FIN + 1 {
				p.Flush()
				f := tcpFlow()
				if reach != nil {
					f = reach(p)
				}
				if reach != nil {
					counted = p.Meters()
				}
				p.Forth(f.Orig(flags))
				for _, class := range grown(p, &counted) {
					classes[class] = append(classes[class], flags.String())
				}
			}
			for _, class := range lab.ClassNames() {
				p.Text("flags", class, listOr("none", classes[class]))
			}
			moved(p)
		})
}

// grown lists the classes that packets had since counted was read, and has it be what
// is counted now.
func grown(p *probe.P, counted *map[string]uint64) (names []string) {
	now := p.Meters()
	for _, class := range lab.ClassNames() {
		if now["class."+class] > (*counted)["class."+class] {
			names = append(names, class)
		}
	}
	*counted = now
	return names
}

// listOr is the items, or what stands for there being none.
func listOr(none string, items []string) string {
	if len(items) == 0 {
		return none
	}
	return strings.Join(items, ", ")
}
