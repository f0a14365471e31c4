package suite

import (
	"net/netip"
	"time"

	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/internal/probe"
	"github.com/ctmatrix/ctmatrix/guest/internal/wire"
)

const (
	udpSource     = "udp_timeouts and nf_conntrack_udp_packet in nf_conntrack_proto_udp.c"
	udpLiteSource = "nf_conntrack_udplite_packet in nf_conntrack_proto_udp.c, where a kernel has it"
	greSource     = "gre_timeouts in nf_conntrack_proto_gre.c"
	icmpSource    = "nf_ct_icmp_timeout in nf_conntrack_proto_icmp.c and _icmpv6.c"
)

// pair is a protocol of which only two things matter: whether there was an
// answer, and how often.
type pair struct{ ask, answer wire.Packet }

func (a pair) asks(p *probe.P) { p.Through(a.ask) }

func (a pair) answers(p *probe.P) {
	p.Through(a.ask)
	p.Back(a.answer)
}

// goesOn is what follows the answer: only then does a tracker know that there was
// one.
func (a pair) goesOn(p *probe.P) {
	a.answers(p)
	p.Through(a.ask)
}

// streams goes on after more than two seconds, from when on the kernel takes UDP
// for a stream.
func (a pair) streams(p *probe.P) {
	a.answers(p)
	p.Wait(3 * time.Second)
	p.Through(a.ask)
	p.Back(a.answer)
}

var (
	client6 = netip.MustParseAddr("2001:db8:1::2")
	server6 = netip.MustParseAddr("2001:db8:2::2")
)

// otherLives are the protocols without states of their own.
func otherLives() []probe.Probe {
	udp := pair{wire.UDP(udpClient, udpServer, "ask"), wire.UDP(udpServer, udpClient, "answer")}
	lite := pair{wire.UDPLite(udpClient, udpServer, "ask"), wire.UDPLite(udpServer, udpClient, "answer")}
	gre := pair{wire.GRE(client, server), wire.GRE(server, client)}
	echo := pair{wire.Echo(client, server, false, 7, 1), wire.Echo(server, client, true, 7, 1)}
	echo6 := pair{wire.Echo(client6, server6, false, 7, 1), wire.Echo(server6, client6, true, 7, 1)}
	other := pair{
		wire.Datagram(client, server, wire.ProtoUnknown, []byte("ask")),
		wire.Datagram(server, client, wire.ProtoUnknown, []byte("answer")),
	}
	unchecked := probe.Sysctl{Name: "net.netfilter.nf_conntrack_checksum", Value: "0"}
	v6 := func(p probe.Probe) probe.Probe {
		p.Path = lab.Forward6
		return p
	}
	return []probe.Probe{
		life("udp-unreplied", "How long does the entry of an unanswered datagram live?", udpSource, udp.asks),
		life("udp-replied", "How long does the entry of an answered datagram live?", udpSource, udp.answers),
		life("udp-stream", "How long does the entry of a UDP stream live?", udpSource, udp.streams),
		life("udplite-unreplied", "How long does the entry of an unanswered UDP-Lite datagram live?", udpLiteSource, lite.asks, unchecked),
		life("udplite-replied", "How long does the entry of an answered UDP-Lite datagram live?", udpLiteSource, lite.answers, unchecked),
		{
			Name:     "timeouts/udplite-checked",
			Question: "Does a UDP-Lite datagram whose checksum is right get an entry where checksums are looked at?",
			Source:   "udplite_error in nf_conntrack_proto_udp.c, which has the sum made with UDP's protocol number; RFC 3828, section 3.1",
			Path:     lab.Forward,
			Only:     probe.Initial,
			Run: func(p *probe.P) {
				lite.asks(p)
				p.Class("datagram")
				p.Entry("datagram", p.Entries())
			},
		},
		life("icmp-request", "How long does the entry of an unanswered echo request live?", icmpSource, echo.asks),
		life("icmp-reply", "How long does the entry of an answered echo request live?", icmpSource, echo.answers),
		v6(life("icmpv6-request", "How long does the entry of an unanswered ICMPv6 echo request live?", icmpSource, echo6.asks)),
		v6(life("icmpv6-reply", "How long does the entry of an answered ICMPv6 echo request live?", icmpSource, echo6.answers)),
		life("gre-unreplied", "How long does the entry of an unanswered GRE packet live?", greSource, gre.asks),
		life("gre-replied", "How long does the entry of an answered GRE packet live when there is another?", greSource, gre.goesOn),
		life("generic-unreplied", "How long does the entry of a protocol live that nothing knows?", "nf_conntrack_proto_generic.c", other.asks),
		life("generic-replied", "Does an answer change that?", "nf_conntrack_proto_generic.c", other.answers),
	}
}
