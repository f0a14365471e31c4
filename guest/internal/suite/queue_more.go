package suite

import (
	"encoding/binary"
	"fmt"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/internal/probe"
	"github.com/ctmatrix/ctmatrix/guest/internal/wire"
)

// queueMore ask of the queue itself, and of what else a verdict changes.
var queueMore = []probe.Probe{
	func() probe.Probe {
		pr := inQueue("payload-v6", "Which changes of an IPv6 packet, of its extension headers and of a segment does a verdict take, and what comes out?",
			queueSource+"; nfqnl_mangle and nfqnl_validate_ip6", queuePayload6)
		pr.Path = lab.Forward6
		return pr
	}(),
	inQueue("settings", "Which settings of a queue does the kernel take, and from whom?", "nfqnl_recv_config in nfnetlink_queue.c", queueSettings),
	inQueue("priority", "Is the listener told the priority that a packet has by its type of service, and may a verdict change it?",
		queueSource+" (NFQA_PRIORITY)", func(p *probe.P) {
			p.Add(queueing)
			p.Add(lab.On(lab.Postrouting, lab.PacketPriority(3), lab.Meter("changed")), lab.On(lab.Postrouting, lab.PacketPriority(6), lab.Meter("interactive")))
			w := listenQueue(p, 10, 0)
			ask := func(subject string, pkt wire.Packet, opts ...lab.VerdictOption) {
				p.Mark()
				h := w.hold(pkt)
				p.Text(subject, "attributes", listOr("none", h.Attrs))
				w.accept(h, opts...)
				m := p.Meters()
				p.Text(subject, "priority", fmt.Sprintf("%d with 6, %d with 3", m["interactive"], m["changed"]))
			}
			const lowDelay = 0x10
			from, to := versions[0].udp()
			ask("plain", wire.UDP(from, to, "x"))
			ask("low-delay", wire.UDP(from, to, "x").Set(1, lowDelay).Resummed())
			ask("changed", wire.UDP(from, to, "x").Set(1, lowDelay).Resummed(), lab.WithPriority(3))
		}),
}

func queuePayload6(p *probe.P) {
	p.Add(queueing)
	w := listenQueue(p, 10, 0)
	v := versions[1]
	from, to := v.udp()
	const nextHeader, hops, length = 6, 7, 4
	nothing := []byte{0, 1, 4, 0, 0, 0, 0} // of eight bytes, padding in them
	other := []byte{0, 1, 2, 0, 0, 1, 0}   // the same with two paddings
	const destinationOptions = 60
	right := wire.UDP(from, to, "0123456789")
	extended := right.Extended(wire.Extension{Number: destinationOptions, Rest: nothing})
	segment := v.tcp().Orig(SYN, wire.MSS(1400))
	for _, c := range []struct {
		name   string
		pkt    wire.Packet
		change func([]byte) []byte
	}{
		{"same", right, func(b []byte) []byte { return b }},
		{"other-text", right, func(b []byte) []byte { b[len(b)-1] = 'x'; return wire.Packet{Data: b}.Mended().Data }},
		{"longer", right, func([]byte) []byte { return wire.UDP(from, to, "0123456789 and more").Data }},
		{"shorter", right, func([]byte) []byte { return wire.UDP(from, to, "0123").Data }},
		{"other-port", right, func([]byte) []byte { return wire.UDP(from, port(to, 99), "0123456789").Data }},
		{"other-address", right, func([]byte) []byte { return wire.UDP(from, addr(to, v.router()), "0123456789").Data }},
		{"other-proto", right, func(b []byte) []byte { b[nextHeader] = unix.IPPROTO_TCP; return b }},
		{"other-ttl", right, func(b []byte) []byte { b[hops]--; return b }},
		{"options", right, func([]byte) []byte { return extended.Data }},
		{"version-4", right, func(b []byte) []byte { b[0] = 0x45; return b }},
		{"length-less", right, func(b []byte) []byte { binary.BigEndian.PutUint16(b[length:], 4); return b }},
		{"length-more", right, func(b []byte) []byte { binary.BigEndian.PutUint16(b[length:], 400); return b }},
		{"header-only", right, func(b []byte) []byte { return wire.Packet{Data: b}.Shorten(4).Data }},
		{"ip-header-cut", right, func(b []byte) []byte { return b[:12] }},
		{"extended-same", extended, func(b []byte) []byte { return b }},
		{"extended-other-text", extended, func([]byte) []byte {
			return wire.UDP(from, to, "something else").Extended(wire.Extension{Number: destinationOptions, Rest: nothing}).Data
		}},
		{"extended-other-options", extended, func([]byte) []byte {
			return right.Extended(wire.Extension{Number: destinationOptions, Rest: other}).Data
		}},
		{"extended-no-more", extended, func([]byte) []byte { return right.Data }},
		{"tcp-same", segment, func(b []byte) []byte { return b }},
		{"tcp-longer-header", segment, func(b []byte) []byte { b[40+12] = 15 << 4; return wire.Packet{Data: b}.Mended().Data }},
		{"tcp-short-header", segment, func(b []byte) []byte { b[40+12] = 4 << 4; return wire.Packet{Data: b}.Mended().Data }},
	} {
		p.Flush()
		h := w.hold(c.pkt)
		p.Errno(c.name, w.q.Verdict(h.ID, lab.VerdictAccept, lab.WithPayload(c.change(h.Data))))
		var texts []string
		for _, s := range p.Forth() {
			texts = append(texts, fmt.Sprintf("%d bytes to %s", len(s.Data), s.Dst))
		}
		p.Text(c.name, "packet", listOr("none", texts))
		p.Text(c.name, "orig", origsOf(p))
	}
}

// queueSettings asks with attributes of enum nfqnl_attr_config.
func queueSettings(p *probe.P) {
	q := listenQueue(p, 10, 0).q
	const command, copying, length, mask, flags = 1, 2, 3, 4, 5
	const bind, unbind, bindFamily, unbindFamily, unknownCommand = 1, 2, 3, 4, 9
	say := func(what byte) netlink.Attribute {
		return netlink.Attribute{Type: command, Data: []byte{what, 0, 0, unix.AF_INET}}
	}
	copies := func(mode byte) netlink.Attribute {
		return netlink.Attribute{Type: copying, Data: append(binary.BigEndian.AppendUint32(nil, 0xffff), mode)}
	}
	set := func(subject string, attrs ...netlink.Attribute) { p.Errno(subject, q.Configure(attrs...)) }
	set("nothing")
	set("bind-again", say(bind))
	set("bind-family", say(bindFamily))
	set("unbind-family", say(unbindFamily))
	set("command-unknown", say(unknownCommand))
	set("command-short", netlink.Attribute{Type: command, Data: []byte{bind}})
	for mode, name := range []string{"copy-none", "copy-meta", "copy-packet", "copy-unknown"} {
		set(name, copies(byte(mode)))
	}
	set("copy-short", netlink.Attribute{Type: copying, Data: []byte{2}})
	set("length-0", lab.Attr32(length, 0))
	set("length-huge", lab.Attr32(length, 1<<31))
	set("length-short", netlink.Attribute{Type: length, Data: []byte{1}})
	set("flags-unmasked", lab.Attr32(flags, 1))
	set("mask-alone", lab.Attr32(mask, 1))
	set("flags-known", lab.Attr32(flags, 15), lab.Attr32(mask, 15))
	set("flags-unknown", lab.Attr32(flags, 1<<5), lab.Attr32(mask, 1<<5))
	set("flags-unknown-unmasked", lab.Attr32(flags, 1<<5), lab.Attr32(mask, 1))
	set("mask-unknown", lab.Attr32(flags, 1), lab.Attr32(mask, 1<<5|1))
	_, err := lab.OpenQueue(queueNumber, 10, 0)
	p.Errno("other-listener", err)
	set("unbind", say(unbind))
	set("unbind-again", say(unbind))
	set("length-unbound", lab.Attr32(length, 10))
	set("bind-anew", say(bind))
}
