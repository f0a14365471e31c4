package suite

import (
	"net/netip"
	"time"

	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/internal/probe"
	"github.com/ctmatrix/ctmatrix/guest/internal/wire"
)

// FIN and PSH make closing and data read like the rest.
const (
	FIN = wire.FIN
	PSH = wire.PSH
)

// fewBuckets makes long waits cheap: the collector walks the whole table again
// and again, however empty it is.
var fewBuckets = probe.Sysctl{Name: bucketsSysctl, Value: "256"}

// talk is a conversation through the box. It ends when the last packet, whose
// entry is the subject, is through.
type talk func(p *probe.P)

// life is a probe of how long the entry lives that a conversation leaves.
func life(name, question, source string, t talk, sysctls ...probe.Sysctl) probe.Probe {
	return timed(name, question, source, func(p *probe.P) {
		t(p)
		p.Timeout("flow")
		p.Entry("flow", p.Entries())
		p.Lifetime("flow")
	}, sysctls...)
}

// timed is a probe that waits while packets are on their way through the box.
func timed(name, question, source string, run func(*probe.P), sysctls ...probe.Sysctl) probe.Probe {
	return probe.Probe{
		Name:     "timeouts/" + name,
		Question: question,
		Source:   source,
		Path:     lab.Forward,
		Only:     probe.Initial,
		Timed:    true,
		Sysctls:  append([]probe.Sysctl{fewBuckets}, sysctls...),
		Run:      run,
	}
}

// There is one entry in a table of 256 buckets, and what is asked is its own
// timer: no seed of the hash and no order of a dump can reach these rows. What
// can is the moment of the packet within a tick and within a second, which
// Timeout and Lifetime leave room for.
var timeouts = join(tcpLives, otherLives(), sctpLives(), dccpLives(), refreshes)

func join(lists ...[]probe.Probe) []probe.Probe {
	var all []probe.Probe
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}

const refreshSource = "nf_ct_refresh_acct and nf_ct_expires in nf_conntrack.h and nf_conntrack_core.c"

// refreshes ask when a timeout begins anew.
var refreshes = []probe.Probe{
	refresh("syn-again", "Does a repeated SYN give an unanswered entry its time again?",
		"nf_conntrack_tcp_packet: an entry stuck in SYN_SENT is not renewed (commit e15d4cdf27cb)",
		func(p *probe.P) {
			syn := tcpFlow().Orig(SYN)
			p.Through(syn)
			p.Wait(50 * time.Second)
			p.Through(syn)
		}),
	refresh("ack-again", "Does a packet of an established connection give it its time again?", refreshSource,
		func(p *probe.P) {
			f := established(p)
			p.Wait(1000 * time.Second)
			p.Through(f.Orig(ACK))
		}),
	refresh("invalid", "Does a packet out of the window give the connection its time again?", refreshSource,
		func(p *probe.P) {
			f := established(p)
			p.Wait(1000 * time.Second)
			f.Skip(1 << 30)
			p.Through(f.Orig(ACK))
		}),
	refresh("udp-again", "Does a second datagram give an unanswered entry its time again?", refreshSource,
		func(p *probe.P) {
			datagram := wire.UDP(udpClient, udpServer, "x")
			p.Through(datagram)
			p.Wait(20 * time.Second)
			p.Through(datagram)
		}),
	{
		Name:     "timeouts/changed",
		Question: "Does a timeout that is changed hold for entries that are there, and from which packet on?",
		Source:   refreshSource,
		Path:     lab.Forward,
		Only:     probe.Initial,
		Timed:    true,
		Run: func(p *probe.P) {
			datagram := wire.UDP(udpClient, udpServer, "x")
			p.Through(datagram)
			p.Set("net.netfilter.nf_conntrack_udp_timeout", "100")
			p.Timeout("before")
			p.Through(datagram)
			p.Timeout("after")
		},
	},
	{
		Name:     "timeouts/nat-later",
		Question: "Does a translation that is set up later reach a client that goes on repeating its SYN, and only when its entry has ended?",
		Source:   "nf_conntrack_tcp_packet: an entry stuck in SYN_SENT is not renewed (commit e15d4cdf27cb); selftest conntrack_tcp_unreplied.sh",
		Path:     lab.Forward,
		Only:     probe.Initial,
		Timed:    true,
		Needs:    nat,
		Run: func(p *probe.P) {
			f := tcpFlow()
			again := func() []wire.Seen { return p.Forth(f.Orig(SYN, wire.Seq(wire.OrigISN))) }
			again()
			p.Add(lab.On(lab.NATPrerouting, lab.In(lab.NearName), lab.DNAT(server.Next())))
			for _, at := range []struct {
				subject string
				wait    time.Duration
			}{{"after-50-s", 50 * time.Second}, {"after-100-s", 50 * time.Second}, {"after-130-s", 30 * time.Second}} {
				p.Wait(at.wait)
				p.Text(at.subject, "packet", ends(again()))
				p.Entry(at.subject, p.Entries())
			}
		},
	},
	refresh("udp-reply", "Do replies alone give an entry its time again?", refreshSource, func(p *probe.P) {
		p.Through(wire.UDP(udpClient, udpServer, "x"))
		p.Wait(20 * time.Second)
		p.Back(wire.UDP(udpServer, udpClient, "x"))
	}),
	refresh("icmp-again", "Does a repeated echo give its entry the time again?", refreshSource, func(p *probe.P) {
		p.Through(wire.Echo(client, server, false, 7, 1))
		p.Wait(20 * time.Second)
		p.Through(wire.Echo(client, server, false, 7, 2))
	}),
	refresh("generic-again", "Does another packet of a protocol that nothing knows give its entry the time again?", refreshSource, func(p *probe.P) {
		other := wire.Datagram(client, server, wire.ProtoUnknown, []byte("x"))
		p.Through(other)
		p.Wait(300 * time.Second)
		p.Through(other)
	}),
	refresh("closed", "Does a packet of a closed connection give it its time again?", refreshSource, func(p *probe.P) {
		f := timeWait(p)
		p.Wait(60 * time.Second)
		p.Back(f.Reply(ACK))
	}),
	timed("expired",
		"Is an entry whose time is up still listed, does a packet still find it, and is it counted until the collector comes?",
		"nf_ct_is_expired in nf_conntrack.h; nf_ct_gc_expired and gc_worker in nf_conntrack_core.c",
		func(p *probe.P) {
			datagram := wire.UDP(udpClient, udpServer, "x")
			p.Through(datagram)
			p.Wait(31 * time.Second)
			p.Count("listed", "entries", p.Listed())
			p.Mark()
			p.Through(datagram)
			p.Class("again")
			p.Timeout("again")
			// When the collector comes depends on when its module was loaded;
			// that it comes every minute, or sooner, does not.
			p.Wait(5 * time.Minute)
			p.Text("later", "counted", read(p, "net.netfilter.nf_conntrack_count"))
		}),
}

// refresh is a probe of what is left of a flow's time behind its last packet.
func refresh(name, question, source string, t talk) probe.Probe {
	return timed(name, question, source, func(p *probe.P) {
		t(p)
		p.Timeout("left")
		p.Class("packets")
	})
}

var (
	tcpClient = netip.AddrPortFrom(client, firstPort)
	tcpServer = netip.AddrPortFrom(server, 80)
	udpClient = netip.AddrPortFrom(client, firstPort)
	udpServer = netip.AddrPortFrom(server, 53)
)

func tcpFlow() *wire.Flow { return wire.TCP(tcpClient, tcpServer) }

// established is a connection whose three packets are through.
func established(p *probe.P) *wire.Flow {
	f := tcpFlow()
	p.Through(f.Orig(SYN))
	p.Back(f.Reply(SYN | ACK))
	p.Through(f.Orig(ACK))
	return f
}
