// Package dissect says in one line what a packet is, much as tcpdump does. It is
// pure and believes nothing: lengths that do not fit are said to be damaged, and
// what stands before them is told all the same. A library would stop there, and
// damaged packets are among what probes send.
package dissect

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
)

// Line is a packet in words.
type Line struct {
	// Shape is what kind of packet it is: link, addresses and protocol with what
	// tells one of its packets from another, without numbers that count on.
	Shape string
	// Text is all: "198.18.0.2:10000 > 192.0.2.1:80 tcp S seq 1000000 win 65535".
	Text string
}

// IP dissects a packet from its header of IP on.
func IP(data []byte) Line {
	return packet(data, 0)
}

// Ethernet dissects a frame. Of its header only the tag of a VLAN is told, and
// what is not IP.
func Ethernet(frame []byte) Line {
	const head, tag, vlan = 14, 4, 0x8100
	if len(frame) < head {
		return damaged("ethernet", "%d bytes", len(frame))
	}
	kind, data, before := binary.BigEndian.Uint16(frame[12:]), frame[head:], ""
	if kind == vlan && len(data) >= tag {
		before = fmt.Sprintf("vlan %d ", binary.BigEndian.Uint16(data)&0xfff)
		kind, data = binary.BigEndian.Uint16(data[2:]), data[tag:]
	}
	if kind != 0x0800 && kind != 0x86dd {
		text := fmt.Sprintf("%sethertype %#04x, %d bytes", before, kind, len(data))
		return Line{text, text}
	}
	l := IP(data)
	return Line{before + l.Shape, before + l.Text}
}

func damaged(what, format string, args ...any) Line {
	return Line{what + " damaged", what + " damaged: " + fmt.Sprintf(format, args...)}
}

// mostInner is how many packets inside of packets are told.
const mostInner = 3

func packet(data []byte, depth int) Line {
	if len(data) == 0 {
		return damaged("ip", "no bytes")
	}
	switch data[0] >> 4 {
	case 4:
		return ipv4(data, depth)
	case 6:
		return ipv6(data, depth)
	}
	return damaged("ip", "version %d", data[0]>>4)
}

// header is what the headers of IP say.
type header struct {
	src, dst netip.Addr
	proto    uint8
	body     []byte // behind the headers, of the length that these say
	offset   int    // of a fragment's body in bytes
	more     bool   // fragments
	notes    []string
	depth    int
}

func ipv4(b []byte, depth int) Line {
	const least = 20
	head := int(b[0]&15) * 4
	switch {
	case len(b) < least:
		return damaged("ip", "%d bytes", len(b))
	case head < least || head > len(b):
		return damaged("ip", "header of %d bytes in %d", head, len(b))
	}
	h := header{src: netip.AddrFrom4([4]byte(b[12:])), dst: netip.AddrFrom4([4]byte(b[16:])), proto: b[9], depth: depth}
	whole := int(binary.BigEndian.Uint16(b[2:]))
	h.cut(b, head, whole)
	where := binary.BigEndian.Uint16(b[6:])
	h.offset, h.more = int(where&(1<<13-1))*8, where&(1<<13) != 0
	if h.offset > 0 || h.more {
		h.fragment(uint32(binary.BigEndian.Uint16(b[4:])))
	}
	if head > least {
		h.notes = append(h.notes, fmt.Sprintf("ip options %x", b[least:head]))
	}
	if sum(b[:head], 0) != 0xffff {
		h.notes = append(h.notes, "ip checksum wrong")
	}
	return h.line()
}

// cut takes the body out of a packet, of which the header says how long it is.
// Inside an ICMP error it is cut off, and nobody minds.
func (h *header) cut(b []byte, head, whole int) {
	h.body = b[head:]
	switch {
	case whole < head:
		h.notes = append(h.notes, fmt.Sprintf("length %d", whole))
	case whole > len(b) && h.depth == 0:
		h.notes = append(h.notes, fmt.Sprintf("length %d of %d bytes", whole, len(b)))
	case whole < len(b):
		h.body = b[head:whole]
		h.notes = append(h.notes, fmt.Sprintf("%d bytes behind it", len(b)-whole))
	}
}

func (h *header) fragment(id uint32) {
	more := ""
	if h.more {
		more = "+"
	}
	h.notes = append(h.notes, fmt.Sprintf("frag %d:%d@%d%s", id, len(h.body), h.offset, more))
}

// extensions are the names of the headers between that of IPv6 and the body.
var extensions = map[uint8]string{0: "hop-by-hop", 43: "routing", 44: "fragment", 51: "ah", 60: "destination"}

func ipv6(b []byte, depth int) Line {
	const head, fragment = 40, 44
	if len(b) < head {
		return damaged("ip6", "%d bytes", len(b))
	}
	h := header{src: netip.AddrFrom16([16]byte(b[8:])), dst: netip.AddrFrom16([16]byte(b[24:])), proto: b[6], depth: depth}
	h.cut(b, head, head+int(binary.BigEndian.Uint16(b[4:])))
	for {
		name, known := extensions[h.proto]
		if !known || h.offset > 0 {
			return h.line()
		}
		size := 8
		if len(h.body) >= size && h.proto == 51 {
			size += int(h.body[1]) * 4
		} else if len(h.body) >= size && h.proto != fragment {
			size += int(h.body[1]) * 8
		}
		if len(h.body) < size {
			h.notes = append(h.notes, name+" header damaged")
			return h.line()
		}
		ext := h.body
		h.body = ext[size:]
		if h.proto == fragment {
			where := binary.BigEndian.Uint16(ext[2:])
			h.offset, h.more = int(where&^7), where&1 != 0
			h.fragment(binary.BigEndian.Uint32(ext[4:]))
		} else {
			h.notes = append(h.notes, name)
		}
		h.proto = ext[0]
	}
}

// line puts a packet into words.
func (h *header) line() Line {
	name := protocolName(h.proto)
	var s segment
	if h.offset == 0 {
		s = h.segment()
	}
	ends := h.src.String() + " > " + h.dst.String()
	if s.ports {
		ends = netip.AddrPortFrom(h.src, s.from).String() + " > " + netip.AddrPortFrom(h.dst, s.to).String()
	}
	text := []string{ends, name}
	shape := []string{ends, name}
	if s.kind != "" {
		text, shape = append(text, s.kind), append(shape, s.kind)
	}
	if s.detail != "" {
		text = append(text, s.detail)
	}
	if s.proto && h.offset == 0 && !h.more && h.depth == 0 && !h.sumRight() {
		h.notes = append(h.notes, name+" checksum wrong")
	}
	line := Line{Shape: strings.Join(shape, " "), Text: strings.Join(text, " ")}
	if len(h.notes) > 0 {
		line.Text += " (" + strings.Join(h.notes, ", ") + ")"
	}
	if s.inner != nil && h.depth < mostInner {
		line.Text += " about " + s.inner.Text
		line.Shape += " about " + s.inner.Shape
	}
	return line
}

// protocols are the names of the protocols that are told more of than their number.
var protocols = map[uint8]string{
	1: "icmp", 6: "tcp", 17: "udp", 33: "dccp", 47: "gre", 58: "icmp6", 132: "sctp", 136: "udplite",
}

func protocolName(n uint8) string {
	if name, ok := protocols[n]; ok {
		return name
	}
	return fmt.Sprintf("proto %d", n)
}
