package suite

import (
	"fmt"
	"time"

	"github.com/ctmatrix/ctmatrix/guest/internal/ct"
	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/internal/probe"
	"github.com/ctmatrix/ctmatrix/guest/internal/wire"
)

const (
	acctSource  = "nf_ct_acct_add in nf_conntrack_acct.h; nf_ct_refresh_acct and nf_ct_acct_update in nf_conntrack_core.c"
	acctSysctl  = "net.netfilter.nf_conntrack_acct"
	stampSysctl = "net.netfilter.nf_conntrack_timestamp"
)

var accounts = probe.Sysctl{Name: acctSysctl, Value: "1"}

// accounting asks what is counted of a flow. Sizes are those of the packets sent.
var accounting = []probe.Probe{
	{
		Name:     "accounting/packets",
		Question: "Which packets of a connection are counted, from which on, and how many bytes of each, over both versions of IP?",
		Source:   acctSource,
		Path:     lab.Forward6,
		Only:     probe.Initial,
		Sysctls:  []probe.Sysctl{accounts},
		Run: func(p *probe.P) {
			for _, v := range versions {
				p.Flush()
				f := v.tcp()
				p.Forth(f.Orig(SYN))
				counted(p, v.name+"-syn")
				p.Back(f.Reply(SYN | ACK))
				counted(p, v.name+"-synack")
				p.Forth(f.Orig(ACK))
				p.Forth(f.Orig(PSH|ACK, wire.Payload("hundred")))
				counted(p, v.name+"-data")
				p.Forth(f.Orig(ACK, wire.SeqBy(10_000_000)))
				counted(p, v.name+"-invalid")
				p.Forth(f.Orig(SYN, wire.SeqBy(500_000)))
				counted(p, v.name+"-ignored")
				p.Forth(f.Orig(RST))
				counted(p, v.name+"-rst")
			}
		},
	},
	{
		Name:     "accounting/errors",
		Question: "Is an ICMP error counted for the flow that it is related to, and an echo's reply for the echo?",
		Source:   acctSource,
		Path:     lab.Forward6,
		Only:     probe.Initial,
		Sysctls:  []probe.Sysctl{accounts},
		Run: func(p *probe.P) {
			for _, v := range versions {
				p.Flush()
				from, to := v.udp()
				about := wire.UDP(from, to, "x")
				p.Forth(about)
				e := v.errors()[0]
				p.Back(wire.ICMPError(v.router(), v.client, e.typ, e.code, e.rest, about.Data))
				counted(p, v.name+"-error")
				p.Flush()
				p.Forth(wire.Echo(v.client, v.server, false, 7, 1))
				p.Back(wire.Echo(v.server, v.client, true, 7, 1))
				counted(p, v.name+"-echo")
			}
		},
	},
	{
		Name:     "accounting/dropped",
		Question: "Is a packet counted that a rule drops after tracking, in a flow that has an entry?",
		Source:   acctSource + ": counted where it is tracked, before the filter",
		Path:     lab.Forward,
		Only:     probe.Initial,
		Sysctls:  []probe.Sysctl{accounts},
		Run: func(p *probe.P) {
			p.Forth(wire.UDP(udpClient, udpServer, "x"))
			counted(p, "first")
			p.Add(lab.On(lab.FilterForward, lab.Drop))
			p.Fate("dropped", p.Forth(wire.UDP(udpClient, udpServer, "x")))
			counted(p, "dropped")
		},
	},
	{
		Name:     "accounting/switched",
		Question: "Does counting begin for entries that are there when it is switched on, and end for those when it is switched off?",
		Source:   "nf_ct_acct_ext_add: an entry gets its counters when it is made",
		Path:     lab.Forward,
		Only:     probe.Initial,
		Sysctls:  []probe.Sysctl{{Name: acctSysctl, Value: "0"}},
		Run: func(p *probe.P) {
			datagram := wire.UDP(udpClient, udpServer, "x")
			p.Forth(datagram)
			counted(p, "off")
			p.Set(acctSysctl, "1")
			p.Forth(datagram)
			counted(p, "on-later")
			p.Flush()
			p.Forth(datagram)
			counted(p, "on")
			p.Set(acctSysctl, "0")
			p.Forth(datagram)
			counted(p, "off-later")
		},
	},
	{
		Name:     "accounting/events",
		Question: "Do the events of an entry's end carry its counters, and those of its beginning?",
		Source:   "ctnetlink_conntrack_event in nf_conntrack_netlink.c",
		Path:     lab.Forward,
		Only:     probe.Initial,
		Sysctls:  []probe.Sysctl{accounts},
		Run: func(p *probe.P) {
			take := p.Listen()
			p.Forth(wire.UDP(udpClient, udpServer, "x"))
			p.Text("new", "counters", countersOf(entriesOf(take())))
			p.Back(wire.UDP(udpServer, udpClient, "xy"))
			p.Text("update", "counters", countersOf(entriesOf(take())))
			p.Delete(p.Entries()[0])
			p.Text("destroy", "counters", countersOf(entriesOf(take())))
		},
	},
	{
		Name:     "accounting/timestamps",
		Question: "Are the beginning and the end of an entry recorded where it is asked for, and how far are they apart?",
		Source:   "nf_conntrack_tstamp in nf_conntrack_core.c and nf_conntrack_netlink.c; nf_conntrack_timestamp in nf_conntrack-sysctl.rst",
		Path:     lab.Forward,
		Only:     probe.Initial,
		Timed:    true,
		Run: func(p *probe.P) {
			for _, value := range []string{"0", "1"} {
				p.Set(stampSysctl, value)
				p.Flush()
				take := p.Listen()
				p.Forth(wire.UDP(udpClient, udpServer, "x"))
				p.Flag("entry-"+value, "start", !p.Entries()[0].Start.IsZero())
				p.Flag("new-"+value, "start", hasStart(take()))
				p.Wait(10 * time.Second)
				p.Delete(p.Entries()[0])
				destroyed := entriesOf(take())
				if len(destroyed) != 1 {
					p.Broken("%d events at the end of one entry", len(destroyed))
				}
				e := destroyed[0]
				p.Flag("destroy-"+value, "stop", !e.Stop.IsZero())
				p.Text("destroy-"+value, "seconds", fmt.Sprintf("%.0f", max(0, e.Stop.Sub(e.Start).Seconds())))
			}
		},
	},
}

// counted records what the entries' counters say, "packets/bytes" of the original
// and of the reply direction.
func counted(p *probe.P, subject string) { p.Text(subject, "counters", countersOf(p.Entries())) }

func countersOf(entries []ct.Entry) string {
	var all []string
	for _, e := range entries {
		if e.Counters == ([2]ct.Counter{}) {
			continue
		}
		o, r := e.Counters[0], e.Counters[1]
		all = append(all, fmt.Sprintf("%d/%d %d/%d", o.Packets, o.Bytes, r.Packets, r.Bytes))
	}
	return listOr("none", all)
}

func entriesOf(events []ct.Event) []ct.Entry {
	var entries []ct.Entry
	for _, e := range events {
		entries = append(entries, e.Entry)
	}
	return entries
}

func hasStart(events []ct.Event) bool {
	for _, e := range events {
		if !e.Entry.Start.IsZero() {
			return true
		}
	}
	return false
}
