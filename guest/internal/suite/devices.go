package suite

import (
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/internal/probe"
	"github.com/ctmatrix/ctmatrix/guest/internal/wire"
)

// devices ask what the devices that packets pass make of tracking.
var devices = []probe.Probe{
	onEther("ethernet", "Is a connection between Ethernet devices tracked as between others?", "nf_conntrack_in; the control of what follows", func(p *probe.P) {
		conversation(p, "")
	}),
	onEther("vlan", "Is a conversation in a VLAN the same as one outside it, and is an answer taken from another VLAN?", "nf_conntrack_in (which looks at no device)", func(p *probe.P) {
		p.Must(p.Box.AddVLAN(p.Box.Near, "near.10", 10))
		p.Must(p.Box.AddVLAN(p.Box.Near, "near.20", 20))
		from, to := versions[0].udp()
		p.Box.Near.Tag(10)
		outcome(p, "tagged", wire.UDP(from, to, "x"))
		p.Box.Near.Tag(20)
		outcome(p, "other-vlan", wire.UDP(from, to, "x"))
		p.Box.Near.Tag(0)
		outcome(p, "untagged", wire.UDP(from, to, "x"))
		outcomeBack(p, "answer", wire.UDP(to, from, "y"))
	}, "8021q"),
	onEther("bridge", "Are frames tracked that a bridge forwards, with nothing else, and with a rule of the bridge family?",
		"nf_conntrack_bridge.c (nf_ct_bridge_pre)", func(p *probe.P) {
			p.Set(callIptables, "0")
			p.Must(p.Box.AddBridge("br0", 9))
			bridged(p, "plain-")
			for _, class := range lab.ClassNames() {
				p.Add(lab.On(lab.BridgeForward, lab.CtState(class), lab.Meter("bridge."+class)))
			}
			bridged(p, "tracked-")
		}, "bridge", "nf_conntrack_bridge", "br_netfilter"),
	onEther("br-netfilter", "Are frames tracked that a bridge forwards where they are handed to IP's rules, and what becomes of fragments?",
		"br_nf_pre_routing in br_netfilter_hooks.c; selftest br_netfilter.sh", func(p *probe.P) {
			p.Set(callIptables, "1")
			p.Must(p.Box.AddBridge("br0", 9))
			bridged(p, "")
		}, "bridge", "br_netfilter"),
	onEther("vrf", "Packets come in by a device of a VRF: how often do they pass prerouting, by which device, and whose zone is taken?",
		`vrf_ip_rcv in drivers/net/vrf.c ("vrf: Reset skb conntrack connection on VRF rcv", taken back later); selftest conntrack_vrf.sh`, devicesVRF, "vrf"),
	onEther("down", "What becomes of entries when the device goes down, or is deleted, or loses its route?", "nf_conntrack has no hook there, masquerading aside", func(p *probe.P) {
		f := tcpFlow()
		opened(p, f)
		p.Must(p.Box.Far.Down())
		p.Entry("down", p.Entries())
		p.Must(p.Box.Far.Up())
		outcome(p, "no-route", f.Orig(ACK, wire.Payload("x")))
		p.Must(lab.Route(lab.Servers, lab.FarName))
		outcome(p, "up-again", f.Orig(ACK, wire.Payload("x")))
	}),
	onEther("asymmetric", "The answers take another way: what is a connection of which the box sees one direction?", "tcp_in_window and nf_conntrack_tcp_packet in nf_conntrack_proto_tcp.c", func(p *probe.P) {
		f := tcpFlow()
		outcome(p, "syn", f.Orig(SYN))
		f.Reply(SYN | ACK)
		outcome(p, "ack", f.Orig(ACK))
		outcome(p, "data", f.Orig(ACK, wire.Payload("hello")))
		f.Reply(ACK, wire.Payload("unseen"))
		outcome(p, "data-again", f.Orig(ACK, wire.Payload("more")))
		p.Flush()
		f = tcpFlow()
		f.Orig(SYN)
		outcomeBack(p, "synack-only", f.Reply(SYN|ACK))
		f.Orig(ACK)
		outcomeBack(p, "answers-only", f.Reply(ACK, wire.Payload("x")))
	}),
	onEther("other-device", "Is an answer taken that comes in by the device by which the question came?", "nf_conntrack_in (which looks at no device)", func(p *probe.P) {
		from, to := versions[0].udp()
		p.Forth(wire.UDP(from, to, "x"))
		p.Mark()
		p.Forth(wire.UDP(to, from, "y"))
		p.Class("answer")
		p.Entry("answer", p.Entries())
	}),
	{
		Name:     "devices/loopback",
		Question: "How often is a packet tracked that the box sends to itself, and what is its entry?",
		Source:   "nf_conntrack_in (loopback) and nf_ct_is_confirmed in nf_conntrack_core.c",
		Only:     probe.Initial,
		Run:      devicesLoopback,
	},
	{
		Name:     "devices/veth",
		Question: "A packet passes two namespaces that a veth pair joins: is it tracked in each, and does one's state or rules reach the other?",
		Source:   "veth_xmit and skb_scrub_packet (nf_reset_ct)",
		Only:     probe.Child,
		Needs:    []string{"veth"},
		Run:      devicesVeth,
	},
	{
		Name:     "devices/namespaces",
		Question: "Do entries, counters and statistics of one namespace show in another, and what is left when it goes?",
		Source:   "nf_conntrack_init_net and nf_conntrack_cleanup_net_list in nf_conntrack_core.c",
		Only:     probe.Initial,
		Rules:    []lab.Rule{silence},
		Run: func(p *probe.P) {
			p.Through(tenSYNs()...)
			count := func(subject string) {
				value, err := lab.ReadSysctl("net.netfilter.nf_conntrack_count")
				p.Must(err)
				p.Text(subject, "counted", value)
			}
			p.Mark()
			count("before")
			p.InChild(func(c *probe.P) {
				c.Add(append(lab.Classing(""), silence)...)
				c.Through(origs(flows(3, firstPort, web), SYN)...)
				c.Count("child", "entries", c.Held())
				value, err := lab.ReadSysctl("net.netfilter.nf_conntrack_count")
				c.Must(err)
				c.Text("child", "counted", value)
				c.Text("child", "stats", c.Stats().String())
			})
			count("after")
			p.Text("after", "stats", p.Stats().String())
			p.Count("after", "entries", p.Held())
		},
	},
}

// onEther is a probe of the family over Ethernet.
func onEther(name, question, source string, run func(*probe.P), needs ...string) probe.Probe {
	return probe.Probe{
		Name: "devices/" + name, Question: question, Source: source,
		Path: lab.Ether, Only: probe.Child, Needs: needs, Run: run,
	}
}

// conversation is a handshake and what tracking thinks of each packet.
func conversation(p *probe.P, prefix string) {
	f := tcpFlow()
	outcome(p, prefix+"syn", f.Orig(SYN))
	outcomeBack(p, prefix+"synack", f.Reply(SYN|ACK))
	outcome(p, prefix+"ack", f.Orig(ACK))
}

// callIptables is whether a bridge hands IPv4 packets to IP's rules.
const callIptables = "net.bridge.bridge-nf-call-iptables"

// bridged is a handshake over a bridge, and fragments: the class that each packet
// has for IP's rules and for the bridge's, and the entries.
func bridged(p *probe.P, prefix string) {
	p.Flush()
	tell := func(subject string, out []wire.Seen) {
		var classes []string
		m := p.Meters()
		for _, class := range lab.ClassNames() {
			if m["bridge."+class] > 0 {
				classes = append(classes, class)
			}
		}
		p.Text(prefix+subject, "classes", fmt.Sprintf("IP %s, bridge %s", p.Classes(), listOr("none", classes)))
		p.Text(prefix+subject, "pieces", shapes(out))
		p.Entry(prefix+subject, p.Entries())
		p.Mark()
	}
	p.Mark()
	f := tcpFlow()
	tell("syn", p.Forth(f.Orig(SYN)))
	tell("synack", p.Back(f.Reply(SYN|ACK)))
	tell("ack", p.Forth(f.Orig(ACK)))
	p.Flush()
	big := wire.UDP(udpClient, udpServer, strings.Repeat("x", 992)).NoDF()
	tell("fragments", p.Forth(wire.Fragments(big, 1, 400)...))
}

func devicesVRF(p *probe.P) {
	const table = 1000
	p.Must(p.Box.AddVRF("red", table, p.Box.Near, p.Box.Far))
	p.Must(lab.RouteIn(lab.Clients, lab.NearName, table))
	p.Must(lab.RouteIn(lab.Servers, lab.FarName, table))
	hooks := []lab.Rule{
		lab.On(lab.RawPrerouting, lab.In(lab.NearName), lab.Meter("in-near")),
		lab.On(lab.RawPrerouting, lab.In("red"), lab.Meter("in-vrf")),
		lab.On(lab.Postrouting, lab.Out(lab.FarName), lab.Meter("out-far")),
		lab.On(lab.Postrouting, lab.Out("red"), lab.Meter("out-vrf")),
	}
	from, to := versions[0].udp()
	ask := func(subject string, rules ...lab.Rule) {
		reload(p, append(append(lab.Classing(""), hooks...), rules...)...)
		zoneStep(p, subject, false, wire.UDP(from, to, "x"))
		m := p.Meters()
		p.Text(subject, "passage", fmt.Sprintf("in by near %d, by the VRF %d, out by far %d, by the VRF %d", m["in-near"], m["in-vrf"], m["out-far"], m["out-vrf"]))
	}
	ask("plain")
	ask("zone-of-device", inZone(1, lab.In(lab.NearName)))
	ask("zone-of-vrf", inZone(2, lab.In("red")))
	ask("zone-of-both", inZone(1, lab.In(lab.NearName)), inZone(2, lab.In("red")))
	ask("notrack-of-device", lab.On(lab.RawPrerouting, lab.In(lab.NearName), lab.Notrack))
	reload(p, lab.Classing("")...)
	conversation(p, "tcp-")
}

// devicesLoopback has a socket of the box send to another one.
func devicesLoopback(p *probe.P) {
	p.Add(lab.On(lab.RawOutput, lab.Out("lo"), lab.Meter("out")), lab.On(lab.RawPrerouting, lab.In("lo"), lab.Meter("in")))
	for _, class := range lab.ClassNames() {
		p.Add(lab.On(lab.ManglePrerouting, lab.In("lo"), lab.CtState(class), lab.Meter("lo."+class)))
	}
	take := p.Listen()
	lo := netip.MustParseAddr("127.0.0.1")
	send := func(subject string, from, to uint16) {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		p.Must(err)
		defer unix.Close(fd)
		p.Must(unix.Bind(fd, &unix.SockaddrInet4{Port: int(from), Addr: lo.As4()}))
		p.Mark()
		p.Must(unix.Sendto(fd, []byte("x"), 0, &unix.SockaddrInet4{Port: int(to), Addr: lo.As4()}))
		p.Through()
		m := p.Meters()
		var classes []string
		for _, class := range lab.ClassNames() {
			if n := m["lo."+class]; n > 0 {
				classes = append(classes, fmt.Sprintf("%s %d", class, n))
			}
		}
		p.Text(subject, "passage", fmt.Sprintf("out %d, in %d", m["out"], m["in"]))
		p.Text(subject, "classes", listOr("none", classes))
		p.Entry(subject, p.Entries())
		p.Events(subject, take())
	}
	// Nobody listens: the box answers with an error, over loopback, too.
	send("to-nobody", 5000, 5001)
	send("to-itself", 5002, 5002)
}

// devicesVeth has the probe's own namespace forward into another, which forwards
// to its own link.
func devicesVeth(p *probe.P) {
	here, err := lab.Namespace()
	p.Must(err)
	p.Cleanup(func() error { return unix.Close(here) })
	p.Must(lab.Route(lab.Clients, lab.NearName))
	p.Set("net.ipv4.ip_forward", "1")
	zoned := tcpFlow().Orig(SYN, wire.Payload("zoned"))
	p.Add(inZone(3, lab.Length(len(zoned.Data))))
	p.InChild(func(c *probe.P) {
		c.Must(lab.Veth("inner", "outer", here))
		c.Must(lab.SetMAC("inner", 0x11))
		c.Set("net.ipv4.ip_forward", "1")
		c.Must(lab.Route(netip.PrefixFrom(client, 32), "inner"))
		c.Must(lab.Route(lab.Servers, lab.NearName))
		c.Must(lab.Join("outer", 0x11, lab.Servers, here))
		c.Add(lab.Classing("")...)
		ask := func(subject string, pkt wire.Packet) {
			p.Mark()
			c.Mark()
			p.Through(pkt)
			c.Fate(subject, c.ComeOut())
			c.Text(subject, "outer", p.Classes()+": "+zonesOf(p.Entries()))
			c.Text(subject, "inner", c.Classes()+": "+zonesOf(c.Entries()))
		}
		ask("syn", tcpFlow().Orig(SYN))
		p.Flush()
		ask("syn-again", tcpFlow().Orig(SYN))
		c.Add(lab.On(lab.RawPrerouting, lab.Notrack))
		ask("inner-notrack", tcpFlow().Orig(SYN))
		ask("outer-zone", zoned)
	})
}
