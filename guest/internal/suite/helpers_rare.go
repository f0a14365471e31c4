package suite

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ctmatrix/ctmatrix/guest/internal/ct"
	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/internal/probe"
	"github.com/ctmatrix/ctmatrix/guest/internal/wire"
)

const broadcastSource = "nf_conntrack_broadcast_help in nf_conntrack_broadcast.c"

var helpersRare = []probe.Probe{
	helped("netbios", "netbios_ns", "The box asks all hosts of a network for a name: who may answer, and for how long?", broadcastSource, func(p *probe.P) {
		broadcasts(p, "netbios-ns", 137, 2*time.Second, 4*time.Second)
	}),
	helped("snmp", "snmp", "The box asks all agents of a network: who may answer, and for how long?", broadcastSource, func(p *probe.P) {
		broadcasts(p, "snmp", 161, 28*time.Second, 40*time.Second)
	}),
	helped("snmp-nat", "snmp", "Which addresses does NAT change inside of traps and answers of SNMP, and what becomes of those that cannot be read?", "help and snmp_translate in nf_nat_snmp_basic_main.c; RFC 1157", helpersSNMP,
		"nf_nat_snmp_basic", "nf_nat", "nft_chain_nat", "nft_nat"),
	helped("h323-ras", "h323", "Which confirmations of a gatekeeper make it expected elsewhere?", "process_gcf in nf_conntrack_h323_main.c; ITU-T H.225.0", func(p *probe.P) {
		assign(p, "RAS", "udp", unix.IPPROTO_UDP, 1719)
		from, to := between(versions[0], 1719)
		other := netip.AddrPortFrom(to.Addr(), 3000)
		right := gatekeeperConfirm(other)
		for _, m := range []struct{ name, text string }{
			{"confirm", right}, {"same-place", gatekeeperConfirm(to)}, {"other-host", gatekeeperConfirm(addr(other, versions[0].router()))},
			{"port-zero", gatekeeperConfirm(port(other, 0))},
			{"cut", right[:len(right)-1]}, {"unknown", "\x7f" + right[1:]}, {"nothing", "\x04"},
		} {
			p.Flush()
			p.Forth(wire.UDP(from, to, "\x02\x00\x00\x00"))
			heard(p, m.name, p.Back(wire.UDP(to, from, m.text)))
		}
		p.Flush()
		p.Forth(wire.UDP(from, to, "\x02\x00\x00\x00"))
		p.Back(wire.UDP(to, from, right))
		p.Must(lab.PassTicks(1))
		outcome(p, "elsewhere", wire.UDP(from, other, "x"))
		heard(p, "elsewhere-confirm", p.Back(wire.UDP(other, from, gatekeeperConfirm(port(other, 4000)))))
	}),
	helped("h323-call", "h323", "Which answers to a call make its control channel expected?", "process_connect and expect_h245 in nf_conntrack_h323_main.c; ITU-T H.225.0, Q.931", func(p *probe.P) {
		assign(p, "Q.931", "tcp", unix.IPPROTO_TCP, 1720)
		channel := netip.AddrPortFrom(server, 20000)
		right := callConnect(channel)
		for _, m := range []struct{ name, text string }{
			{"connect", right}, {"other-host", callConnect(addr(channel, versions[0].router()))}, {"port-zero", callConnect(port(channel, 0))},
			{"in-two", right + right}, {"cut", right[:len(right)-4]}, {"keep-alive", "\x03\x00\x00\x04"},
			{"other-packet", "\x02" + right[1:]}, {"short-packet", "\x03\x00\x00\x05x"},
		} {
			p.Flush()
			f := wire.TCP(netip.AddrPortFrom(client, firstPort), netip.AddrPortFrom(server, 1720))
			opened(p, f)
			heard(p, m.name, p.Back(f.Reply(ACK, wire.Payload(m.text))))
		}
	}),
}

// broadcasts has the box ask all hosts of a network from a port on which a helper
// listens, and some of them answer.
func broadcasts(p *probe.P, helper string, number uint16, soon, late time.Duration) {
	network := netip.MustParsePrefix("198.51.100.1/24")
	p.Must(p.Box.GiveIn(lab.NearName, network))
	p.Must(p.Box.Rules.TryObject(lab.FilterOutput, "helper", lab.HelperObjectKind, helperPolicy(helper, unix.IPPROTO_UDP)...))
	p.Add(lab.On(lab.FilterOutput, lab.Proto("udp"), lab.Object(lab.HelperObjectKind, "helper")))
	at := netip.AddrPortFrom(network.Addr(), number)
	all, some, out := netip.MustParseAddr("198.51.100.255"), netip.MustParseAddr("198.51.100.7"), netip.MustParseAddr("203.0.113.7")
	socket := ownSocket(p, at)
	p.Must(socket.MayBroadcast())
	ask := func(subject string, to netip.Addr) {
		p.Flush()
		p.Must(socket.Send(addr(at, to)))
		p.Entry(subject, func() []ct.Entry { p.ComeOut(); return p.Entries() }())
		p.Expected(subject)
	}
	answer := func(subject string, from netip.AddrPort) {
		p.Mark()
		p.Through(wire.UDP(from, at, "x"))
		p.Class(subject)
	}
	ask("one-host", some)
	ask("all-hosts", all)
	answer("answer", addr(at, some))
	answer("second-answer", netip.AddrPortFrom(some.Next(), number))
	answer("other-port", netip.AddrPortFrom(some.Next().Next(), 3000))
	answer("other-network", addr(at, out))
	p.Flush()
	p.Must(socket.Send(addr(at, all)))
	p.ComeOut()
	p.Wait(soon)
	answer("soon", addr(at, some))
	p.Wait(late - soon)
	answer("late", netip.AddrPortFrom(some.Next(), number))
}

func helpersSNMP(p *probe.P) {
	assign(p, "snmp", "udp", unix.IPPROTO_UDP, 161)
	assign(p, "snmp_trap", "udp", unix.IPPROTO_UDP, 162)
	p.Add(sourceNAT[0])
	from, to := between(versions[0], 161)
	const get, response, trap = 0xa0, 0xa2, 0xa7
	said := func(subject, text string, out []wire.Seen) {
		var texts, sums []string
		for _, seen := range out {
			sums = append(sums, wire.Sums(seen))
			if payloadOf(seen) == text {
				texts = append(texts, "as it was")
				continue
			}
			texts = append(texts, fmt.Sprintf("%x", payloadOf(seen)))
		}
		p.Text(subject, "text", listOr("lost", texts))
		p.Text(subject, "checksums", listOr("none", sums))
	}
	for _, m := range []struct{ name, text string }{
		{"own-address", snmpMessage(trap, 1, client)}, {"other-address", snmpMessage(trap, 1, client.Next())},
		{"version-1", snmpMessage(trap, 0, client)}, {"version-3", snmpMessage(trap, 3, client)},
		{"response", snmpMessage(response, 1, client)}, {"no-snmp", "hello"},
		{"cut", snmpMessage(trap, 1, client)[:30]}, {"nothing", ""},
	} {
		p.Flush()
		said("trap-"+m.name, m.text, p.Forth(wire.UDP(from, port(to, 162), m.text)))
		p.Flush()
		p.Forth(wire.UDP(from, to, snmpMessage(get, 1, client.Next())))
		said("answer-"+m.name, m.text, p.Back(wire.UDP(to, netip.AddrPortFrom(translated4, from.Port()), m.text)))
	}
}

// snmpMessage is a message that binds an address to a name: version, community, and
// a PDU with an id, an error and one variable (RFC 1157, section 4).
func snmpMessage(pdu byte, version byte, a netip.Addr) string {
	ber := func(tag byte, content ...string) string {
		all := strings.Join(content, "")
		return string([]byte{tag, byte(len(all))}) + all
	}
	ip := a.As4()
	variable := ber(0x30, ber(6, "\x2b\x06\x01\x02\x01\x04\x14\x01\x01"), ber(0x40, string(ip[:])))
	return ber(0x30, ber(2, string([]byte{version})), ber(4, "public"),
		ber(pdu, ber(2, "\x01"), ber(2, "\x00"), ber(2, "\x00"), ber(0x30, variable)))
}

// h225 is the object identifier of H.225.0 version 4, as PER packs it.
const h225 = "\x06\x00\x08\x91\x4a\x00\x04"

// transport is an address of IPv4 and a port, as PER packs them into a CHOICE.
func transport(at netip.AddrPort) string {
	ip := at.Addr().As4()
	return "\x00" + string(ip[:]) + string([]byte{byte(at.Port() >> 8), byte(at.Port())})
}

// gatekeeperConfirm is the RAS message that says where the gatekeeper is: the
// second choice, without what is optional; number, version and address.
func gatekeeperConfirm(at netip.AddrPort) string {
	return "\x04\x00" + "\x00\x01" + h225 + transport(at)
}

// callConnect is Q.931's CONNECT in a TPKT (RFC 1006), whose user-user element has
// the third choice of H.225.0's bodies with an address of the control channel.
func callConnect(at netip.AddrPort) string {
	body := "\x05" + "\x02\x40" + h225 + transport(at) + "\x00\x00" + strings.Repeat("\x01", 16)
	q931 := "\x08\x02\x00\x01\x07" + "\x7e" + string([]byte{0, byte(len(body))}) + body
	return "\x03\x00" + string([]byte{0, byte(len(q931) + 4)}) + q931
}
