package suite

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"strings"
	"time"

	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/internal/probe"
	"github.com/ctmatrix/ctmatrix/guest/internal/wire"
)

const (
	logSysctl  = "net.netfilter.nf_conntrack_log_invalid"
	allLogs    = "net.netfilter.nf_log_all_netns"
	logger4    = "net.netfilter.nf_log.2"
	logger6    = "net.netfilter.nf_log.10"
	ownLogger4 = "nf_log_ipv4"
	ownLogger6 = "nf_log_ipv6"
	logSource  = "nf_l4proto_log_invalid in nf_conntrack_proto.c; nf_conntrack_log_invalid in nf_conntrack-sysctl.rst"
)

// loggers write what is logged into the kernel's log. Since 5.13 they are one
// module, nf_log_syslog, which goes by the old names, too.
var loggers = []string{"nf_log_ipv4", "nf_log_ipv6"}

// logEverything has packets logged that are invalid by any tracker: 255 is
// IPPROTO_RAW.
var logEverything = []probe.Sysctl{{Name: logSysctl, Value: "255"}, {Name: logger4, Value: ownLogger4}}

// logs asks which invalid packets are logged, where, and with what reason. No line
// has anything in it that is drawn by chance, and none is held back, since
// settings let by as many as there are: no seed can reach these rows.
var logs = join([]probe.Probe{
	{
		Name:     "log/defaults",
		Question: "Is anything logged unasked, who logs for IPv4 and IPv6, and which loggers and values are refused?",
		Source:   logSource + "; nf_log_proc_dostring in nf_log.c",
		Needs:    loggers,
		Run: func(p *probe.P) {
			for _, s := range []struct{ subject, name string }{
				{"log-invalid", logSysctl}, {"logger-v4", logger4}, {"logger-v6", logger6},
			} {
				p.Text(s.subject, "value", read(p, s.name))
			}
			_, err := lab.ReadSysctl(allLogs)
			p.Flag("log-all-netns", "here", !errors.Is(err, fs.ErrNotExist))
			for _, w := range []struct{ subject, name, value string }{
				{"logger-unknown", logger4, "nobody"},
				{"logger-of-v6", logger4, ownLogger6},
				{"logger-none", logger4, "NONE"},
				{"log-invalid-254", logSysctl, "254"},
				{"log-invalid-255", logSysctl, "255"},
				{"log-invalid-256", logSysctl, "256"},
				{"log-invalid-negative", logSysctl, "-1"},
			} {
				p.Set(logSysctl, "0")
				p.Set(logger4, ownLogger4)
				p.Errno(w.subject, lab.WriteSysctl(w.name, w.value))
				p.Text(w.subject, "value", read(p, w.name))
			}
		},
	},
	{
		Name:     "log/values",
		Question: "With each value of nf_conntrack_log_invalid, of which protocols are invalid packets logged?",
		Source:   logSource,
		Path:     lab.Forward6, Only: probe.Initial, Needs: loggers,
		Run: func(p *probe.P) {
			for _, value := range []int{0, 1, 2, 6, 17, 33, 47, 58, 132, 136, 253, 254, 255} {
				p.Set(logSysctl, fmt.Sprint(value))
				p.Mark()
				for _, c := range invalids() {
					p.Forth(c.pkt)
				}
				p.Text(fmt.Sprintf("value-%d", value), "protocols", listOr("none", protocolsOf(p.Logged(logWord))))
			}
		},
	},
	{
		Name:     "log/lines",
		Question: "What does a line say of an invalid packet: of which link, and which of its headers?",
		Source:   logSource + "; nf_log_ip_packet and nf_log_ip6_packet in nf_log_syslog.c, or nf_log_ipv4.c and nf_log_ipv6.c",
		Path:     lab.Forward6, Only: probe.Initial, Needs: loggers, Sysctls: logEverything,
		Run: func(p *probe.P) {
			for _, c := range invalids() {
				p.Mark()
				p.Forth(c.pkt)
				lineOf(p, c.name)
			}
			p.Mark()
			p.Back(wire.TCP(tcpServer, tcpClient).Orig(SYN | FIN))
			lineOf(p, "tcp-from-far")
			p.Mark()
			p.Must(sendRaw(p, wire.TCP(netip.AddrPortFrom(lab.Server, firstPort), tcpClient).Orig(SYN|FIN)))
			p.ComeOut()
			lineOf(p, "tcp-own")
		},
	},
	{
		Name:     "log/logger",
		Question: "Is anything logged where no logger is chosen for the version of IP, and does one's choice matter to the other?",
		Source:   "nf_log_packet in nf_log.c",
		Path:     lab.Forward6, Only: probe.Initial, Needs: loggers, Sysctls: logEverything,
		Run: func(p *probe.P) {
			for _, c := range []struct{ subject, v4, v6 string }{
				{"both", ownLogger4, ownLogger6}, {"v4-only", ownLogger4, "NONE"}, {"v6-only", "NONE", ownLogger6}, {"none", "NONE", "NONE"},
			} {
				p.Set(logger4, c.v4)
				p.Set(logger6, c.v6)
				for _, v := range versions {
					logged(p, c.subject+"-"+v.name, v.tcp().Orig(SYN|FIN))
				}
			}
		},
	},
	logSpaces("0"), logSpaces("1"),
	{
		Name:     "log/table-full-rate",
		Question: "How many lines does a full table write while it drops, and does it say how many it did not write?",
		Source:   "__nf_conntrack_alloc in nf_conntrack_core.c; net_ratelimit; message_cost and message_burst in Documentation/admin-guide/sysctl/net.rst",
		Only:     probe.Initial,
		Timed:    true,
		Sysctls:  []probe.Sysctl{roomy, {Name: "net.core.message_cost", Value: "5"}, {Name: "net.core.message_burst", Value: "10"}},
		Run: func(p *probe.P) {
			listen(p)
			fill(p, 7)
			// Lines are counted in spans of five seconds from the first on. What
			// was held back is told when the next span begins.
			for _, span := range []struct {
				subject string
				syns    int
				from    uint16
			}{{"first", 9, 20000}, {"more-of-first", 9, 21000}, {"second", 20, 22000}, {"third", 1, 23000}} {
				if span.subject != "more-of-first" {
					p.Wait(6 * time.Second)
				}
				p.Mark()
				p.Through(origs(flows(span.syns, span.from, web), SYN)...)
				p.Delta(span.subject, "drop", p.Stats().Drop)
				p.Count(span.subject, "lines", p.LogLines("table full"))
				p.LogText(span.subject+"-before", "suppressed")
			}
		},
	},
}, reasons)

// logWord is what every line begins with.
const logWord = "nf_ct_proto_"

// invalids are an invalid packet of each protocol that says so.
func invalids() []struct {
	name string
	pkt  wire.Packet
} {
	v6 := versions[1]
	from6, to6 := v6.udp()
	return []struct {
		name string
		pkt  wire.Packet
	}{
		{"icmp", wire.ICMP(client, server, 40, 0, make([]byte, 4))},
		{"tcp", tcpFlow().Orig(SYN | FIN)},
		{"udp", wire.UDP(udpClient, udpServer, "x").Set(20+6, 0xde, 0xad)},
		{"dccp", wire.DCCP(udpClient, udpServer, wire.DCCPRequest, 1, 0).Set(20+6, 0xde, 0xad)},
		{"gre", wire.Datagram(client, server, wire.ProtoGRE, []byte{0x20, 1, 8, 0, 0, 6, 0, 7})},
		{"sctp", wire.SCTP(udpClient, udpServer, 0, wire.Init).Set(20+8, 0xde, 0xad)},
		{"udplite", wire.UDPLite(udpClient, udpServer, "x").Set(20+6, 0, 0)},
		{"tcp6", v6.tcp().Orig(SYN | FIN)},
		{"udp6", wire.UDP(from6, to6, "x").Set(40+6, 0xde, 0xad)},
		{"icmpv6", wire.Echo(client6, server6, false, 7, 1).Set(40+2, 0xde, 0xad)},
	}
}

// protocolsOf are the protocols of lines, in their order, each once.
func protocolsOf(lines []string) []string {
	var protocols []string
	for _, l := range lines {
		number, _, _ := strings.Cut(strings.TrimPrefix(l, logWord), ":")
		if len(protocols) == 0 || protocols[len(protocols)-1] != number {
			protocols = append(protocols, number)
		}
	}
	return protocols
}

// lineOf records the line of an invalid packet as it is.
func lineOf(p *probe.P, subject string) {
	p.Text(subject, "line", listOr("none", trimmed(p.Logged(logWord))))
}

func trimmed(lines []string) []string {
	for i, l := range lines {
		lines[i] = strings.TrimSpace(l)
	}
	return lines
}

// logged sends a packet from the client's side and records its class, and the
// reason with which it was logged: "invalid, logged 6: bad checksum".
func logged(p *probe.P, subject string, pkt wire.Packet) {
	p.Mark()
	p.Forth(pkt)
	reasonOf(p, subject)
}

// loggedBack is logged for a packet of the server's side.
func loggedBack(p *probe.P, subject string, pkt wire.Packet) {
	p.Mark()
	p.Back(pkt)
	reasonOf(p, subject)
}

func reasonOf(p *probe.P, subject string) {
	text := p.Classes() + ", not logged"
	var said []string
	for _, l := range p.Logged(logWord) {
		reason, _, _ := strings.Cut(strings.TrimPrefix(l, logWord), " IN=")
		said = append(said, strings.TrimSpace(reason))
	}
	if len(said) > 0 {
		text = p.Classes() + ", logged " + strings.Join(said, "; ")
	}
	p.Text(subject, "log", text)
}

// logSpaces asks whether a namespace may write into the kernel's log.
func logSpaces(all string) probe.Probe {
	return probe.Probe{
		Name:     "log/all-netns-" + all,
		Question: "With nf_log_all_netns at " + all + ", are invalid packets logged here, and what a full table drops?",
		Source:   "nf_log_allowed in nf_log_syslog.c, or nf_log_ip_packet in nf_log_ipv4.c; nf_log_all_netns in nf_log.c",
		Needs:    loggers,
		Sysctls:  append([]probe.Sysctl{roomy, {Name: allLogs, Value: all}}, logEverything...),
		Run: func(p *probe.P) {
			// A sum that is wrong keeps the box from answering, too.
			p.Through(wire.TCP(netip.AddrPortFrom(client, firstPort), web).Orig(SYN).Set(20+16, 0xde, 0xad))
			reasonOf(p, "tcp")
			listen(p)
			fill(p, 7)
			p.Mark()
			p.Through(origs(flows(2, 20000, web), SYN)...)
			p.Delta("table", "drop", p.Stats().Drop)
			p.Count("table-full", "lines", p.LogLines("table full"))
		},
	}
}
