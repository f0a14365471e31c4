package suite

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/internal/probe"
	"github.com/ctmatrix/ctmatrix/guest/internal/wire"
)

const (
	flowSource  = "nft_flow_offload_eval in nft_flow_offload.c; nf_flow_offload_ip_hook in nf_flow_table_ip.c"
	flowTearing = "flow_offload_teardown, flow_offload_fixup_ct and nf_flow_offload_gc_step in nf_flow_table_core.c"
)

// offloading hands every connection that is forwarded to a flowtable of both
// links: from then on its packets pass by all rules, and tracking.
var offloading = lab.On(lab.FilterForward, lab.Flowtable(lab.NearName, lab.FarName), lab.FlowAdd())

// flowtable asks when packets pass tracking by, and what the table shows then.
var flowtable = append([]probe.Probe{
	offloaded("tcp", "From which packet on does a flowtable forward a TCP connection, and what does the entry show then?", flowSource, func(p *probe.P) {
		p.Add(offloading)
		for _, v := range versions {
			p.Flush()
			f := v.tcp()
			ride(p, v.name+"-syn", false, f.Orig(SYN))
			ride(p, v.name+"-synack", true, f.Reply(SYN|ACK))
			ride(p, v.name+"-ack", false, f.Orig(ACK))
			ride(p, v.name+"-data", false, f.Orig(ACK, wire.Payload("x")))
			ride(p, v.name+"-data-back", true, f.Reply(ACK, wire.Payload("y")))
			ride(p, v.name+"-out-of-window", false, f.Orig(ACK, wire.SeqBy(1<<20), wire.Payload("z")))
		}
	}),
	offloaded("udp", "From which datagram on does a flowtable forward UDP, and does it where there is no answer?", flowSource, func(p *probe.P) {
		p.Add(offloading)
		for _, v := range versions {
			p.Flush()
			from, to := v.udp()
			ride(p, v.name+"-first", false, wire.UDP(from, to, "a"))
			ride(p, v.name+"-second", false, wire.UDP(from, to, "b"))
			ride(p, v.name+"-third", false, wire.UDP(from, to, "c"))
			ride(p, v.name+"-answer", true, wire.UDP(to, from, "d"))
			ride(p, v.name+"-answer-again", true, wire.UDP(to, from, "e"))
			ride(p, v.name+"-fourth", false, wire.UDP(from, to, "f"))
		}
	}),
	offloaded("early", "Is a connection handed over before it is established, where the rule does not wait for that?", flowSource+` ("netfilter: nft_flow_offload: skip flow not established")`, func(p *probe.P) {
		p.Add(offloading)
		f := tcpFlow()
		ride(p, "syn", false, f.Orig(SYN))
		ride(p, "syn-again", false, wire.TCP(f.OrigAddr(), tcpServer).Orig(SYN))
		ride(p, "rst", true, f.Reply(RST|ACK))
		p.Flush()
		f = midway()
		ride(p, "picked-up", false, f.Orig(ACK, wire.Payload("x")))
		ride(p, "picked-up-again", false, f.Orig(ACK, wire.Payload("x")))
		ride(p, "picked-up-answer", true, f.Reply(ACK))
		ride(p, "picked-up-on", false, f.Orig(ACK, wire.Payload("x")))
	}),
	offloaded("fin", "A connection in a flowtable closes: which packets does tracking see, and what is the entry then?", flowTearing, func(p *probe.P) {
		f := handedOver(p)
		ride(p, "fin", false, f.Orig(FIN|ACK))
		ride(p, "fin-of-server", true, f.Reply(FIN|ACK))
		ride(p, "last-ack", false, f.Orig(ACK))
		collected(p, "later")
		ride(p, "syn-again", false, tcpFlow().Orig(SYN))
	}),
	offloaded("rst", "A connection in a flowtable is reset: what is the entry then, and can it begin anew?", flowTearing, func(p *probe.P) {
		f := handedOver(p)
		ride(p, "rst", true, f.Reply(RST))
		collected(p, "later")
		ride(p, "syn-again", false, tcpFlow().Orig(SYN))
	}),
	offloaded("syn", "A SYN comes on a connection in a flowtable: who forwards it?", flowTearing, func(p *probe.P) {
		handedOver(p)
		f := tcpFlow()
		ride(p, "syn", false, f.Orig(SYN))
		collected(p, "later")
		ride(p, "synack", true, f.Reply(SYN|ACK))
	}),
	offloaded("idle", "What is the entry of a connection that leaves the flowtable because nothing comes, and by which time?", flowTearing, func(p *probe.P) {
		f := handedOver(p)
		collected(p, "soon")
		p.Wait(42 * time.Second)
		collected(p, "idle")
		ride(p, "data", false, f.Orig(ACK, wire.Payload("x")))
		p.Flush()
		from, to := versions[0].udp()
		p.Forth(wire.UDP(from, to, "x"))
		p.Back(wire.UDP(to, from, "y"))
		p.Forth(wire.UDP(from, to, "x"))
		collected(p, "udp-soon")
		p.Wait(42 * time.Second)
		collected(p, "udp-idle")
	}),
	offloaded("flushed", "What becomes of packets in a flowtable when their entry is deleted, or the flowtable?", flowTearing, func(p *probe.P) {
		f := handedOver(p)
		p.Flush()
		ride(p, "at-once", false, f.Orig(ACK, wire.Payload("x")))
		p.Wait(3 * time.Second)
		ride(p, "later", false, f.Orig(ACK, wire.Payload("x")))
		reload(p, lab.Classing("")...)
		f = handedOver(p)
		reloadRules(p)
		collected(p, "table-gone")
		ride(p, "table-gone-data", false, f.Orig(ACK, wire.Payload("x")))
	}),
	offloaded("left-out", "Which packets of a connection in a flowtable does it leave to the usual way?", "nf_flow_tuple_ip, nf_flow_offload_forward and nf_flow_state_check in nf_flow_table_ip.c", flowLeftOut),
	offloaded("not-taken", "Which connections does a flowtable not take?", flowSource, flowNotTaken, "nf_conntrack_ftp", "nft_objref"),
	offloaded("nat", "Is a translated connection translated in a flowtable, with a right checksum and one hop less?", "nf_flow_nat_ip in nf_flow_table_ip.c", func(p *probe.P) {
		p.Add(lab.On(lab.NATPostrouting, lab.Out(lab.FarName), lab.SNAT(translated4)))
		p.Add(offloading)
		v := versions[0]
		from, to := v.udp()
		me := addr(from, translated4)
		p.Forth(wire.UDP(from, to, "a"))
		p.Back(wire.UDP(to, me, "b"))
		for range 2 {
			p.Forth(wire.UDP(from, to, "a"))
		}
		p.Mark()
		hopped(p, "data", p.Forth(wire.UDP(from, to, "abc")))
		hopped(p, "answer", p.Back(wire.UDP(to, me, "def")))
		p.Text("table", "entries", whom(p))
	}, "nf_nat", "nft_chain_nat", "nft_nat"),
	offloaded("counters", "Are packets in a flowtable counted for their connection, with the counter flag and without?", "nf_ct_acct_update in nf_flow_table_ip.c (NF_FLOWTABLE_COUNTER)", func(p *probe.P) {
		p.Set(acctSysctl, "1")
		from, to := versions[0].udp()
		for _, c := range []struct {
			name  string
			table lab.Part
		}{{"plain", lab.Flowtable(lab.NearName, lab.FarName)}, {"counter", lab.CountingFlowtable(lab.NearName, lab.FarName)}} {
			reload(p, lab.On(lab.FilterForward, c.table, lab.FlowAdd()))
			p.Forth(wire.UDP(from, to, "x"))
			p.Back(wire.UDP(to, from, "y"))
			for range 4 {
				p.Forth(wire.UDP(from, to, "x"))
			}
			counted(p, c.name)
		}
	}),
}, flowtableMore...)

// offloaded is a probe of the family.
func offloaded(name, question, source string, run func(*probe.P), needs ...string) probe.Probe {
	return probe.Probe{
		Name: "flowtable/" + name, Question: question, Source: source,
		Path: lab.Forward6, Only: probe.Initial, Timed: true, Run: run,
		Needs: append([]string{"nf_flow_table", "nf_flow_table_inet", "nft_flow_offload"}, needs...),
	}
}

// ride records in one row who forwarded a packet, what came out, and the entries
// there are then: "tracked as established: udp" or "past tracking: udp offload".
func ride(p *probe.P, subject string, back bool, pkts ...wire.Packet) {
	p.Mark()
	var out []wire.Seen
	if back {
		out = p.Back(pkts...)
	} else {
		out = p.Forth(pkts...)
	}
	way := "tracked as " + p.Classes()
	if way == "tracked as none" {
		way = "past tracking"
	}
	if len(out) == 0 {
		way += ", lost"
	}
	p.Text(subject, "way", way+": "+entriesNow(p))
}

// entriesNow are the entries with the time that is left, to the nearest ten
// seconds: the flowtable's collector, which comes by once a second, sets it. What
// is in the flowtable is told without.
func entriesNow(p *probe.P) string {
	var texts []string
	for _, e := range p.Entries() {
		if slices.Contains(e.Flags, "offload") {
			texts = append(texts, e.String())
			continue
		}
		texts = append(texts, fmt.Sprintf("%s %d s", e, (e.Seconds+5)/10*10))
	}
	return listOr("none", texts)
}

// collected lets the flowtable's collector come by and records the entries.
func collected(p *probe.P, subject string) {
	p.Wait(2 * time.Second)
	p.Text(subject, "entries", entriesNow(p))
}

// handedOver is an established connection that the flowtable forwards.
func handedOver(p *probe.P) *wire.Flow {
	p.Add(offloading)
	f := tcpFlow()
	opened(p, f)
	p.Back(f.Reply(ACK))
	p.Mark()
	p.Forth(f.Orig(ACK))
	return f
}

// reloadRules removes the flowtable and keeps the class meters.
func reloadRules(p *probe.P) {
	p.ClearRules()
	p.Add(lab.Classing("")...)
}

func flowLeftOut(p *probe.P) {
	f := handedOver(p)
	next := func() wire.Packet { return f.Orig(ACK, wire.Payload("x")) }
	ride(p, "control", false, next())
	ride(p, "options", false, next().WithOptions(1, 1, 1, 1))
	ride(p, "ttl-2", false, next().Set(8, 2).Resummed())
	ride(p, "ttl-1", false, next().Set(8, 1).Resummed())
	big := f.Orig(ACK, wire.Payload(strings.Repeat("x", 1000))).NoDF()
	ride(p, "fragments", false, wire.Fragments(big, 1, 400)...)
	p.Must(p.Box.Far.SetMTU(600))
	p.Cleanup(func() error { return p.Box.Far.SetMTU(1500) })
	ride(p, "too-big", false, f.Orig(ACK, wire.Payload(strings.Repeat("x", 700))).NoDF())
	ride(p, "after-all", false, next())
}

func flowNotTaken(p *probe.P) {
	v := versions[0]
	from, to := v.udp()
	twice := func(subject string, ask, answer wire.Packet, rules ...lab.Rule) {
		reload(p, slices.Concat(lab.Classing(""), rules, []lab.Rule{offloading})...)
		p.Forth(ask)
		p.Back(answer)
		for range 2 {
			p.Forth(ask)
		}
		ride(p, subject, false, ask)
	}
	twice("udp", wire.UDP(from, to, "a"), wire.UDP(to, from, "b"))
	twice("echo", wire.Echo(client, server, false, 1, 1), wire.Echo(server, client, true, 1, 1))
	twice("gre", wire.GRE(client, server), wire.GRE(server, client))
	twice("unknown", wire.Datagram(client, server, wire.ProtoUnknown, []byte("a")), wire.Datagram(server, client, wire.ProtoUnknown, []byte("b")))
	twice("udplite", wire.UDPLite(from, to, "a"), wire.UDPLite(to, from, "b"))
	twice("untracked", wire.UDP(from, to, "a"), wire.UDP(to, from, "b"), lab.On(lab.RawPrerouting, lab.Notrack))
	reload(p, lab.Classing("")...)
	p.Must(p.Box.Rules.TryObject(lab.FilterForward, "ftp", lab.HelperObjectKind, helperPolicy("ftp", unix.IPPROTO_TCP)...))
	p.Add(lab.On(lab.FilterForward, lab.Proto("tcp"), lab.Object(lab.HelperObjectKind, "ftp")))
	f := handedOver(p)
	ride(p, "helped", false, f.Orig(ACK, wire.Payload("x")))
}

// hopped records who sent a packet to whom, whether its checksums are right, and
// the hops that it has left.
func hopped(p *probe.P, subject string, out []wire.Seen) {
	told(p, subject, out)
	var hops []string
	for _, s := range out {
		hops = append(hops, fmt.Sprint(s.Data[8]))
	}
	p.Text(subject, "ttl", listOr("none", hops))
	p.Text(subject, "class", p.Classes())
	p.Mark()
}
