package suite

import (
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/internal/probe"
	"github.com/ctmatrix/ctmatrix/guest/internal/wire"
)

// ownBadSum sends segments of the box's own.
func ownBadSum(p *probe.P) {
	syn := wire.TCP(netip.AddrPortFrom(lab.Server, firstPort), tcpClient).Orig(SYN)
	for _, c := range []struct {
		name string
		pkt  wire.Packet
	}{
		{"right", syn}, {"wrong-sum", syn.Set(20+16, 0xde, 0xad)}, {"wrong-offset", syn.Set(20+12, 4<<4).Mended()},
		{"wrong-flags", syn.Set(20+13, 3).Mended()},
	} {
		p.Flush()
		p.Errno(c.name, sendRaw(p, c.pkt))
		p.Fate(c.name, p.ComeOut())
		p.Entry(c.name, p.Entries())
	}
}

// sendRaw has the box send a packet through a raw socket, to which the kernel adds
// nothing but the sum of the IP header.
func sendRaw(p *probe.P, pkt wire.Packet) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	p.Must(err)
	defer unix.Close(fd)
	return unix.Sendto(fd, pkt.Data, 0, &unix.SockaddrInet4{Addr: client.As4()})
}

func ipHeaders(p *probe.P) {
	pkt := wire.UDP(udpClient, udpServer, "payload")
	n := byte(len(pkt.Data))
	for _, c := range []struct {
		name string
		pkt  wire.Packet
	}{
		{"right", pkt},
		{"wrong-sum", pkt.Set(10, 0xde, 0xad)},
		{"version-5", pkt.Set(0, 0x55).Resummed()},
		{"header-of-16", pkt.Set(0, 0x44).Set(10, 0, 0)},
		{"header-of-60", pkt.Set(0, 0x4f).Set(10, 0, 0)},
		{"length-19", pkt.Set(3, 19).Resummed()},
		{"length-20", pkt.Set(3, 20).Resummed()},
		{"length-one-less", pkt.Set(3, n-1).Resummed()},
		{"length-one-more", pkt.Set(3, n+1).Resummed()},
		{"trailer", wire.Packet{Data: append(pkt.Set(0, pkt.Data...).Data, "trailer"...)}},
		{"protocol-0", wire.Datagram(client, server, 0, []byte("payload"))},
		{"protocol-icmpv6", wire.Datagram(client, server, 58, wire.Echo(client6, server6, false, 7, 1).Segment())},
	} {
		onward(p, c.name, c.pkt)
	}
}

func ip6Headers(p *probe.P) {
	v := versions[1]
	from, to := v.udp()
	pkt := wire.UDP(from, to, "payload")
	n := byte(len(pkt.Data) - 40)
	for _, c := range []struct {
		name string
		pkt  wire.Packet
	}{
		{"right", pkt},
		{"length-0", pkt.Set(4, 0, 0)},
		{"length-one-less", pkt.Set(4, 0, n-1)},
		{"length-one-more", pkt.Set(4, 0, n+1)},
		{"trailer", wire.Packet{Data: append(pkt.Set(0, pkt.Data...).Data, "trailer"...)}},
		{"flow-label", pkt.Set(1, 0x0f, 0xff, 0xff)},
		{"protocol-icmp", wire.Datagram(client6, server6, 1, wire.Echo(client, server, false, 7, 1).Segment())},
	} {
		onward(p, c.name, c.pkt)
	}
}

// onward sends a packet into an empty table and records what became of it, and
// how many bytes came out of the far link.
func onward(p *probe.P, subject string, pkt wire.Packet) {
	p.Flush()
	p.Mark()
	out := p.Forth(pkt)
	p.Outcome(subject, out)
	length := 0
	for _, s := range out {
		length += len(s.Data)
	}
	p.Count(subject, "bytes", length)
}

func sctpChunks(p *probe.P) {
	for _, v := range versions {
		from, to := v.udp()
		opening := wire.SCTP(from, to, 0, wire.Init)
		head := opening.Segment()[:12]
		init := opening.Segment()[12:]
		for _, c := range []struct {
			name   string
			chunks []byte
		}{
			{"init", init},
			{"none", nil},
			{"cut-head", init[:3]},
			{"head-only", init[:4]},
			{"init-cut", init[:len(init)-1]},
			{"length-0", with(init, 3, 0)},
			{"length-3", with(init, 3, 3)},
			{"length-over-packet", with(init, 2, 0xff, 0xff)},
			{"init-then-data", append(with(init, 0), 0, 3, 0, 16, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0)},
			{"data-then-init", append([]byte{0, 3, 0, 16, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0}, init...)},
			{"unknown-chunk", []byte{0xc1, 0, 0, 4}},
			{"abort", []byte{6, 0, 0, 4}},
			{"cookie-ack", []byte{11, 0, 0, 4}},
			{"heartbeat", []byte{4, 0, 0, 4}},
		} {
			p.Flush()
			outcome(p, v.name+"-"+c.name, opening.Carry(append(with(head, 0), c.chunks...)).Mended())
		}
	}
}

// with is a copy of b with other bytes from an offset on.
func with(b []byte, at int, bytes ...byte) []byte {
	c := append([]byte{}, b...)
	copy(c[at:], bytes)
	return c
}

func dccpHeaders(p *probe.P) {
	request := wire.DCCP(udpClient, udpServer, wire.DCCPRequest, 1000, 0)
	const offset, coverage, typ = 20 + 4, 20 + 5, 20 + 8
	for _, c := range []struct {
		name string
		pkt  wire.Packet
	}{
		{"right", request},
		{"offset-2", request.Set(offset, 2)},
		{"offset-3", request.Set(offset, 3)},
		{"offset-over-packet", request.Set(offset, 6)},
		{"coverage-1", request.Set(coverage, 1)},
		{"coverage-15", request.Set(coverage, 15)},
		{"type-9", request.Set(typ, 9<<1|1)},
		{"type-10", request.Set(typ, 10<<1|1)},
		{"short-sequence", request.Set(typ, 0)},
		{"data-with-short-sequence", request.Set(typ, 2<<1)},
		{"reset", request.Set(typ, 7<<1|1)},
	} {
		p.Flush()
		outcome(p, c.name, c.pkt.Mended())
	}
}

func liteCoverage(p *probe.P) {
	pkt := wire.UDPLite(udpClient, udpServer, "payload")
	n := 8 + len("payload")
	for _, covers := range []int{0, 1, 7, 8, n - 1, n, n + 1} {
		p.Flush()
		outcome(p, fmt.Sprintf("covers-%d", covers), pkt.Set(24, 0, byte(covers)))
	}
	p.Flush()
	outcome(p, "no-sum", pkt.Set(26, 0, 0))
}

func greHeaders(p *probe.P) {
	gre := func(header ...byte) wire.Packet {
		return wire.Datagram(client, server, wire.ProtoGRE, append(header, "inside"...))
	}
	for _, c := range []struct {
		name string
		pkt  wire.Packet
	}{
		{"version-0", gre(0, 0, 8, 0)},
		{"version-0-key", gre(0x20, 0, 8, 0, 0, 0, 0, 7)},
		{"version-1-ppp", gre(0x20, 1, 0x88, 0x0b, 0, 6, 0, 7)},
		{"version-1-no-key", gre(0, 1, 0x88, 0x0b, 0, 6, 0, 7)},
		{"version-1-ip", gre(0x20, 1, 8, 0, 0, 6, 0, 7)},
		{"version-1-cut-ip", wire.Datagram(client, server, wire.ProtoGRE, []byte{0x20, 1, 8, 0, 0, 6, 0})},
		{"version-1-cut-ppp", wire.Datagram(client, server, wire.ProtoGRE, []byte{0x20, 1, 0x88, 0x0b, 0, 6, 0})},
		{"version-2", gre(0, 2, 8, 0)},
		{"version-7", gre(0, 7, 8, 0)},
	} {
		p.Flush()
		outcome(p, c.name, c.pkt)
	}
	p.Flush()
	p.Forth(gre(0x20, 1, 0x88, 0x0b, 0, 6, 0, 7))
	p.Forth(gre(0x20, 1, 0x88, 0x0b, 0, 6, 0, 8))
	p.Count("two-call-ids", "entries", p.Held())
	p.Flush()
	p.Forth(gre(0x20, 0, 8, 0, 0, 0, 0, 7))
	p.Forth(gre(0x20, 0, 8, 0, 0, 0, 0, 8))
	p.Count("two-keys", "entries", p.Held())
}
