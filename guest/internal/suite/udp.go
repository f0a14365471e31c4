package suite

import (
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/internal/probe"
	"github.com/ctmatrix/ctmatrix/guest/internal/wire"
)

const (
	udpTracker     = "nf_conntrack_udp_packet in nf_conntrack_proto_udp.c"
	udpErrors      = "udp_error in nf_conntrack_proto_udp.c"
	checksumSysctl = "net.netfilter.nf_conntrack_checksum"
)

// udp asks what makes a conversation of datagrams a stream. Entries are few and
// looked up by the probe's own tuples: no seed reaches these rows. Waits lie four
// hundredths of a second away from the boundary of two seconds, ten ticks.
var udp = []probe.Probe{
	{
		Name:     "udp/life",
		Question: "When is a conversation replied, a stream and assured, and how long does it live at each step, over both versions of IP?",
		Source:   udpTracker,
		Path:     lab.Forward6,
		Only:     probe.Initial,
		Timed:    true,
		Run: func(p *probe.P) {
			for _, v := range versions {
				p.Flush()
				from, to := v.udp()
				outcome(p, v.name+"-first", wire.UDP(from, to, "a"))
				outcome(p, v.name+"-again", wire.UDP(from, to, "b"))
				outcomeBack(p, v.name+"-reply", wire.UDP(to, from, "c"))
				outcome(p, v.name+"-third", wire.UDP(from, to, "d"))
				p.Wait(3 * time.Second)
				outcomeBack(p, v.name+"-late-reply", wire.UDP(to, from, "e"))
				outcome(p, v.name+"-late", wire.UDP(from, to, "f"))
				p.Wait(60 * time.Second)
				outcome(p, v.name+"-idle", wire.UDP(from, to, "g"))
			}
			moved(p)
		},
	},
	udpStream("stream-orig", "How old must a replied conversation be for a packet of its client to make it a stream?",
		func(p *probe.P, subject string) { outcome(p, subject, wire.UDP(udpClient, udpServer, "x")) }),
	udpStream("stream-reply", "And for a packet of its server?",
		func(p *probe.P, subject string) { outcomeBack(p, subject, wire.UDP(udpServer, udpClient, "x")) }),
	{
		Name:     "udp/late-first-reply",
		Question: "Does a reply that comes after more than two seconds make the conversation a stream at once?",
		Source:   udpTracker,
		Path:     lab.Forward,
		Only:     probe.Initial,
		Timed:    true,
		Run: func(p *probe.P) {
			p.Forth(wire.UDP(udpClient, udpServer, "x"))
			p.Wait(3 * time.Second)
			outcomeBack(p, "reply", wire.UDP(udpServer, udpClient, "x"))
			outcomeBack(p, "reply-again", wire.UDP(udpServer, udpClient, "x"))
			moved(p)
		},
	},
	{
		Name:     "udp/reversed",
		Question: "Whose conversation is it where the server speaks first?",
		Source:   udpTracker,
		Path:     lab.Forward,
		Only:     probe.Initial,
		Run: func(p *probe.P) {
			outcomeBack(p, "first", wire.UDP(udpServer, udpClient, "x"))
			outcome(p, "answer", wire.UDP(udpClient, udpServer, "x"))
			p.Text("entry", "orig", originalOf(p))
		},
	},
	{
		Name:     "udp/no-checksum",
		Question: "Is a datagram without a checksum tracked, over IPv4 where it may be so and over IPv6 where it may not?",
		Source:   udpErrors + "; RFC 8200, section 8.1",
		Path:     lab.Forward6,
		Only:     probe.Initial,
		Run: func(p *probe.P) {
			for _, v := range versions {
				p.Flush()
				from, to := v.udp()
				outcome(p, v.name+"-none", wire.UDP(from, to, "x").Set(v.transport()+6, 0, 0))
				p.Flush()
				outcome(p, v.name+"-right", wire.UDP(from, to, "x"))
			}
			moved(p)
		},
	},
	badChecksum("udp/bad-checksum-looked-at", "1"),
	badChecksum("udp/bad-checksum-let-by", "0"),
	{
		Name:     "udp/port-zero",
		Question: "Are datagrams from or to port 0 tracked?",
		Source:   udpErrors + "; nf_ct_get_tuple in nf_conntrack_core.c",
		Path:     lab.Forward,
		Only:     probe.Initial,
		Run: func(p *probe.P) {
			for _, c := range []struct {
				subject  string
				from, to uint16
			}{{"from-zero", 0, 53}, {"to-zero", firstPort, 0}, {"both-zero", 0, 0}} {
				p.Flush()
				from, to := netip.AddrPortFrom(client, c.from), netip.AddrPortFrom(server, c.to)
				outcome(p, c.subject, wire.UDP(from, to, "x"))
				outcomeBack(p, c.subject+"-reply", wire.UDP(to, from, "x"))
			}
			moved(p)
		},
	},
	{
		Name:     "udp/two-sockets",
		Question: "Do two sockets that send from one port to one address share an entry, and is it a stream that both make?",
		Source:   udpTracker + "; SO_REUSEPORT",
		Only:     probe.Initial,
		Run: func(p *probe.P) {
			first, second := sharing(p), sharing(p)
			p.Must(unix.Sendto(first, []byte("one"), 0, sockaddr(remote)))
			p.Fate("first", p.ComeOut())
			p.Timeout("first")
			p.Must(unix.Sendto(second, []byte("two"), 0, sockaddr(remote)))
			p.Fate("second", p.ComeOut())
			p.Entry("both", p.Entries())
			p.Through(wire.UDP(remote, netip.AddrPortFrom(lab.Server, sharedPort), "reply"))
			p.Class("reply")
			p.Entry("reply", p.Entries())
		},
	},
}

// sharedPort is the local port of sockets that share one.
const sharedPort = 5353

// sharing opens a datagram socket of the box on the shared port.
func sharing(p *probe.P) int {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	p.Must(err)
	p.Cleanup(func() error { return unix.Close(fd) })
	p.Must(unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1))
	p.Must(unix.Bind(fd, &unix.SockaddrInet4{Port: sharedPort, Addr: lab.Server.As4()}))
	return fd
}

// udpStream asks for the age at which a replied conversation becomes a stream,
// which is assured: just below two seconds, and just above.
func udpStream(name, question string, send func(p *probe.P, subject string)) probe.Probe {
	return probe.Probe{
		Name: "udp/" + name, Question: question,
		Source: udpTracker + ": two seconds (commit d535c8a69c19)",
		Path:   lab.Forward, Only: probe.Initial, Timed: true,
		Run: func(p *probe.P) {
			for _, c := range []struct {
				subject string
				age     time.Duration
			}{{"young", 1960 * time.Millisecond}, {"old", 2040 * time.Millisecond}} {
				p.Flush()
				began := lab.Now()
				p.Forth(wire.UDP(udpClient, udpServer, "x"))
				p.Back(wire.UDP(udpServer, udpClient, "x"))
				p.Wait(c.age - (lab.Now() - began))
				send(p, c.subject)
			}
		},
	}
}

// badChecksum asks what nf_conntrack_checksum at value does to wrong sums.
func badChecksum(name, value string) probe.Probe {
	return probe.Probe{
		Name:     name,
		Question: "With nf_conntrack_checksum at " + value + ", is a datagram with a wrong checksum tracked, first or in a conversation?",
		Source:   udpErrors + "; nf_conntrack_checksum in nf_conntrack-sysctl.rst",
		Path:     lab.Forward6,
		Only:     probe.Initial,
		Sysctls:  []probe.Sysctl{{Name: checksumSysctl, Value: value}},
		Run: func(p *probe.P) {
			for _, v := range versions {
				p.Flush()
				from, to := v.udp()
				bad := wire.UDP(from, to, "x").Set(v.transport()+6, 0xde, 0xad)
				outcome(p, v.name+"-first", bad)
				p.Flush()
				p.Forth(wire.UDP(from, to, "x"))
				outcome(p, v.name+"-later", bad)
				outcomeBack(p, v.name+"-reply", wire.UDP(to, from, "x").Set(v.transport()+6, 0xde, 0xad))
			}
			moved(p)
		},
	}
}
