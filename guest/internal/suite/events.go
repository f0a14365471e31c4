package suite

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ctmatrix/ctmatrix/guest/internal/ct"
	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/internal/probe"
	"github.com/ctmatrix/ctmatrix/guest/internal/wire"
)

const (
	eventSource  = "ctnetlink_conntrack_event in nf_conntrack_netlink.c; nf_conntrack_ecache.c"
	eventsSysctl = "net.netfilter.nf_conntrack_events"
)

var allGroups = []int{unix.NFNLGRP_CONNTRACK_NEW, unix.NFNLGRP_CONNTRACK_UPDATE, unix.NFNLGRP_CONNTRACK_DESTROY}

// events ask what the kernel tells of connections by itself.
var events = []probe.Probe{
	telling("default", "Are there events where nobody listened when the connection began, by the setting nf_conntrack_events?",
		`nf_ct_ecache_ext_add; "netfilter: conntrack: add nf_conntrack_events autodetect mode"`, func(p *probe.P) {
			value, err := lab.ReadSysctl(eventsSysctl)
			p.Must(err)
			p.Text("by-default", "value", value)
			for _, setting := range []string{"0", "1", "2"} {
				p.Set(eventsSysctl, "1")
				if err := p.Box.SetSysctl(eventsSysctl, setting); err != nil {
					p.Text("setting-"+setting, "told", "refused")
					p.Text("setting-"+setting+"-late", "told", "refused")
					continue
				}
				p.Flush()
				p.Text("setting-"+setting, "told", lifeTold(p, true))
				p.Text("setting-"+setting+"-late", "told", lifeTold(p, false))
			}
		}),
	telling("tcp", "Which events does a TCP connection bring, in which order, and with which attributes?", eventSource, func(p *probe.P) {
		r := dial(p, allGroups...)
		f := tcpFlow()
		p.Forth(f.Orig(SYN))
		toldOf(p, "syn", r)
		p.Back(f.Reply(SYN | ACK))
		toldOf(p, "synack", r)
		p.Forth(f.Orig(ACK))
		toldOf(p, "ack", r)
		p.Forth(f.Orig(ACK, wire.Payload("x")))
		toldOf(p, "data", r)
		p.Forth(f.Orig(FIN | ACK))
		toldOf(p, "fin", r)
		p.Flush()
		toldOf(p, "flush", r)
	}),
	telling("udp", "Which events does a UDP flow bring, with counters and times?", eventSource, func(p *probe.P) {
		p.Set(acctSysctl, "1")
		p.Set("net.netfilter.nf_conntrack_timestamp", "1")
		r := dial(p, allGroups...)
		from, to := versions[0].udp()
		p.Forth(wire.UDP(from, to, "x"))
		toldOf(p, "first", r)
		p.Back(wire.UDP(to, from, "y"))
		toldOf(p, "answer", r)
		p.Forth(wire.UDP(from, to, "z"))
		toldOf(p, "again", r)
		p.Flush()
		toldOf(p, "flush", r)
	}),
	telling("expiry", "What is told of an entry that ends by itself, and when?", eventSource+"; gc_worker", func(p *probe.P) {
		p.Set("net.netfilter.nf_conntrack_udp_timeout", "5")
		r := dial(p, allGroups...)
		from, to := versions[0].udp()
		p.Forth(wire.UDP(from, to, "x"))
		toldOf(p, "first", r)
		p.Wait(200 * time.Second) // the collector comes by at least every two minutes
		toldOf(p, "end", r)
	}),
	telling("groups", "Does a listener to one kind of events hear of that kind only?", "nfnetlink_has_listeners; ctnetlink_conntrack_event", func(p *probe.P) {
		names := []string{"new", "update", "destroy"}
		for i, g := range allGroups {
			r := dial(p, g)
			f := tcpFlow()
			p.Forth(f.Orig(SYN))
			p.Back(f.Reply(SYN | ACK))
			p.Flush()
			heard, _, err := r.Told()
			p.Must(err)
			p.Text(names[i], "told", eventKinds(heard))
			p.Must(r.Leave(g))
		}
	}),
	telling("requests", "What is told of entries that are made, changed and deleted by request?", eventSource, func(p *probe.P) {
		r, other := dial(p, allGroups...), dial(p)
		a, b := netip.AddrPortFrom(client, firstPort), netip.AddrPortFrom(server, 53)
		_, err := other.Ask(ct.CtNew, create, unix.AF_INET, made(firstPort)...)
		p.Must(err)
		toldOf(p, "made", r)
		which := tuple(ctaTupleOrig, unix.IPPROTO_UDP, a, b)
		_, err = other.Ask(ct.CtNew, 0, unix.AF_INET, which, num32(ctaMark, 7))
		p.Must(err)
		toldOf(p, "mark", r)
		_, err = other.Ask(ct.CtNew, 0, unix.AF_INET, which, num32(ctaMark, 7))
		p.Must(err)
		toldOf(p, "mark-again", r)
		_, err = other.Ask(ct.CtNew, 0, unix.AF_INET, which, num32(ctaTimeout, 50))
		p.Must(err)
		toldOf(p, "timeout", r)
		_, err = other.Ask(ct.CtNew, 0, unix.AF_INET, which, num32(ctaStatus, isConfirmed|isSeenReply|isAssured))
		p.Must(err)
		toldOf(p, "status", r)
		_, err = other.Ask(ct.CtDelete, 0, unix.AF_INET, which)
		p.Must(err)
		toldOf(p, "deleted", r)
	}),
	telling("overrun", "A listener has no room: does it hear that, and are the ends of connections told later to one that asked for it?", "nf_conntrack_eventmask_report and ecache_work in nf_conntrack_ecache.c; NETLINK_BROADCAST_ERROR in netlink(7)", eventsOverrun),
	telling("expectations", "Which events does an expectation bring, with which attributes?", "ctnetlink_expect_event in nf_conntrack_netlink.c", func(p *probe.P) {
		assign(p, "ftp", "tcp", unix.IPPROTO_TCP, 21)
		r := dial(p, unix.NFNLGRP_CONNTRACK_EXP_NEW, unix.NFNLGRP_CONNTRACK_EXP_UPDATE, unix.NFNLGRP_CONNTRACK_EXP_DESTROY)
		f := ftpControl(p, versions[0], firstPort)
		p.Forth(f.Orig(ACK, portLine(20000)))
		toldOf(p, "port", r)
		p.Back(wire.TCP(netip.AddrPortFrom(server, 20), netip.AddrPortFrom(client, 20000)).Orig(SYN))
		toldOf(p, "data", r)
		p.Forth(f.Orig(ACK, portLine(20001)))
		toldOf(p, "second-port", r)
		p.Flush()
		toldOf(p, "flush", r)
	}, "nf_conntrack_ftp", "nft_objref"),
	telling("zones", "Do events tell the zone of a connection, and which events does a change of mark bring?", eventSource, func(p *probe.P) {
		r := dial(p, allGroups...)
		p.Add(inZone(7))
		p.Add(lab.On(lab.FilterForward, lab.CtState("established"), lab.CtSet("mark", []byte{1, 0, 0, 0})))
		from, to := versions[0].udp()
		p.Forth(wire.UDP(from, to, "x"))
		toldOf(p, "first", r)
		p.Back(wire.UDP(to, from, "y"))
		toldOf(p, "answer", r)
		p.Flush()
		toldOf(p, "flush", r)
	}),
	telling("nat", "What do events tell of a translated connection?", eventSource, func(p *probe.P) {
		p.Add(lab.On(lab.NATPostrouting, lab.SNAT(translated4)))
		r := dial(p, allGroups...)
		from, to := versions[0].udp()
		p.Forth(wire.UDP(from, to, "x"))
		toldOf(p, "first", r)
		p.Back(wire.UDP(to, addr(from, translated4), "y"))
		toldOf(p, "answer", r)
		p.Flush()
		toldOf(p, "flush", r)
	}, "nf_nat", "nft_chain_nat", "nft_nat"),
}

// telling is a probe of the family.
func telling(name, question, source string, run func(*probe.P), needs ...string) probe.Probe {
	return probe.Probe{
		Name: "events/" + name, Question: question, Source: source,
		Path: lab.Forward6, Only: probe.Initial, Needs: needs, Timed: name == "expiry" || name == "overrun", Run: run,
	}
}

// lifeTold tells of a flow's life to a listener that was there before it, or came
// after its first packet.
func lifeTold(p *probe.P, before bool) string {
	var r *ct.Raw
	if before {
		r = dial(p, allGroups...)
	}
	f := tcpFlow()
	p.Forth(f.Orig(SYN))
	if !before {
		r = dial(p, allGroups...)
	}
	p.Back(f.Reply(SYN | ACK))
	p.Flush()
	heard, _, err := r.Told()
	p.Must(err)
	for _, g := range allGroups {
		p.Must(r.Leave(g))
	}
	return eventKinds(heard)
}

// toldOf records the events that came, with their attributes.
func toldOf(p *probe.P, subject string, r *ct.Raw) {
	heard, lost, err := r.Told()
	p.Must(err)
	var texts []string
	for _, m := range heard {
		texts = append(texts, eventKind(m)+": "+m.Brief())
	}
	if lost {
		texts = append(texts, "some were lost")
	}
	p.Text(subject, "told", strings.ReplaceAll(listOr("nothing", texts), ", ", "; "))
}

// eventKind is what an event is: a message of ctnetlink and its flags.
func eventKind(m ct.Message) string {
	switch {
	case m.Kind == ct.CtDelete || m.Kind == ct.ExpDelete:
		return "destroy"
	case m.Flags&(unix.NLM_F_CREATE|unix.NLM_F_EXCL) != 0:
		return "new"
	}
	return "update"
}

func eventKinds(heard []ct.Message) string {
	var kinds []string
	for _, m := range heard {
		kinds = append(kinds, eventKind(m))
	}
	return listOr("nothing", kinds)
}

// eventsOverrun gives a listener room for few events, ends many connections at
// once, and reads what is told then and later.
func eventsOverrun(p *probe.P) {
	const many = 50
	ask := func(subject string, reliable bool) {
		p.Flush()
		r := dial(p, unix.NFNLGRP_CONNTRACK_DESTROY)
		if reliable {
			p.Must(r.Reliable())
		}
		var pkts []wire.Packet
		from, to := versions[0].udp()
		for i := range uint16(many) {
			pkts = append(pkts, wire.UDP(port(from, firstPort+i), to, "x"))
		}
		p.Forth(pkts...)
		p.Must(r.Room(4096))
		p.Flush()
		heard, lost, err := r.Told()
		p.Must(err)
		p.Flag(subject+"-at-once", "all", len(heard) == many)
		p.Flag(subject+"-at-once", "lost", lost)
		p.Must(r.Room(1 << 20))
		p.Wait(5 * time.Second)
		later, lost, err := r.Told()
		p.Must(err)
		all := slices.Concat(heard, later)
		p.Flag(subject+"-later", "all", len(all) == many)
		p.Flag(subject+"-later", "lost", lost)
		p.Count(subject+"-later", "entries", p.Held())
		p.Must(r.Leave(unix.NFNLGRP_CONNTRACK_DESTROY))
	}
	ask("plain", false)
	ask("reliable", true)
}
