package suite

import (
	"net/netip"

	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/internal/probe"
	"github.com/ctmatrix/ctmatrix/guest/internal/wire"
)

// flowtableMore ask of the ways to and from a flowtable: devices upon its own,
// routes that change, and what comes when it has let go.
var flowtableMore = []probe.Probe{
	func() probe.Probe {
		pr := offloaded("vlan", "Does a flowtable of Ethernet devices forward what comes and goes in their VLANs?",
			"nft_dev_path_info in nft_flow_offload.c, or nf_flow_table_path.c; nf_flow_skb_encap_protocol in nf_flow_table_ip.c", flowVLAN, "8021q")
		pr.Path, pr.Only = lab.Ether, probe.Child
		return pr
	}(),
	offloaded("route", "A route changes under a connection in a flowtable: when does the entry show that it is let go, and by what?",
		flowTearing+"; nf_flow_dst_check in nf_flow_table_ip.c, or nf_flow_table.h", func(p *probe.P) {
			f := handedOver(p)
			collected(p, "before")
			p.Must(lab.Route(netip.MustParsePrefix("203.0.113.0/24"), lab.FarName))
			collected(p, "other-route")
			ride(p, "other-route-data", false, f.Orig(ACK, wire.Payload("x")))
			ride(p, "other-route-data-again", false, f.Orig(ACK, wire.Payload("x")))
			p.Must(p.Box.Far.SetMTU(1400))
			p.Cleanup(func() error { return p.Box.Far.SetMTU(1500) })
			collected(p, "smaller")
			ride(p, "smaller-data", false, f.Orig(ACK, wire.Payload("x")))
		}),
	offloaded("reset-later", "A connection is reset, or goes on, whose packets went by the flowtable until it was deleted: what is the entry then?",
		flowTearing+" (IP_CT_TCP_FLAG_MAXACK_SET)", func(p *probe.P) {
			ask := func(subject string, rode bool, last func(f *wire.Flow) wire.Packet) {
				reload(p, lab.Classing("")...)
				f := handedOver(p)
				if rode {
					p.Forth(f.Orig(ACK, wire.Payload("ask")))
					p.Back(f.Reply(ACK, wire.Payload("answer")))
					p.Forth(f.Orig(ACK))
				}
				reloadRules(p)
				ride(p, subject, true, last(f))
			}
			rst := func(f *wire.Flow) wire.Packet { return f.Reply(RST) }
			ask("nothing-rode", false, rst)
			ask("rode", true, rst)
			ask("rode-below", true, func(f *wire.Flow) wire.Packet { return f.Reply(RST, wire.SeqBy(-6)) })
			ask("rode-data", true, func(f *wire.Flow) wire.Packet { return f.Reply(ACK, wire.Payload("more")) })
		}),
}

// flowVLAN has a connection go from a VLAN of one device to one of another.
func flowVLAN(p *probe.P) {
	p.Add(offloading)
	plain := tcpFlow()
	opened(p, plain)
	p.Back(plain.Reply(ACK))
	ride(p, "no-vlan", false, plain.Orig(ACK, wire.Payload("x")))
	p.Flush()
	p.Must(p.Box.AddVLAN(p.Box.Near, "near.10", 10))
	p.Must(p.Box.AddVLAN(p.Box.Far, "far.20", 20))
	p.Must(lab.Route(lab.Clients, "near.10"))
	p.Must(lab.Route(lab.Servers, "far.20"))
	p.Box.Near.Tag(10)
	p.Box.Far.Tag(20)
	f := tcpFlow()
	opened(p, f)
	p.Back(f.Reply(ACK))
	ride(p, "data", false, f.Orig(ACK, wire.Payload("x")))
	ride(p, "data-back", true, f.Reply(ACK, wire.Payload("y")))
	p.Box.Near.Tag(11)
	ride(p, "other-vlan", false, f.Orig(ACK, wire.Payload("x")))
	p.Box.Near.Tag(0)
	ride(p, "no-tag", false, f.Orig(ACK, wire.Payload("x")))
}
