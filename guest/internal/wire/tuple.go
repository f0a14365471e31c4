package wire

import (
	"encoding/binary"
	"net/netip"
)

// Tuple is what tracking tells the connections of a packet apart by
// (struct nf_conntrack_tuple): addresses, the protocol, and what that has for
// ports.
type Tuple struct {
	Proto      uint8
	Src, Dst   netip.AddrPort
	ID         uint16 // of ICMP and ICMPv6, as Type and Code
	Type, Code uint8
}

// Inverse is the tuple of an answer. That of an ICMP message which has none is
// the tuple itself, the other way round.
func (t Tuple) Inverse() Tuple {
	t.Src, t.Dst = t.Dst, t.Src
	if other, ok := answers[[2]uint8{t.Proto, t.Type}]; ok {
		t.Type = other
	}
	return t
}

// answers are the ICMP messages that tracking knows as question and answer
// (invmap of nf_conntrack_proto_icmp.c and nf_conntrack_proto_icmpv6.c).
var answers = map[[2]uint8]uint8{
	{1, 8}: 0, {1, 0}: 8, {1, 13}: 14, {1, 14}: 13, {1, 15}: 16, {1, 16}: 15, {1, 17}: 18, {1, 18}: 17,
	{58, 128}: 129, {58, 129}: 128, {58, 139}: 140, {58, 140}: 139,
}

// Part says which packet a fragment is of.
type Part struct {
	Src, Dst netip.Addr
	ID       uint32
	Proto    uint8
}

// TupleOf is the tuple of a packet, and whether it has one that can be told from
// the packet alone. An ICMP error has that of an answer to the packet inside,
// which is how the connection that it is about is found. Of a fragment that is
// not the first, only the part is told.
func TupleOf(packet []byte) (t Tuple, part *Part, ok bool) { return tupleOf(packet, true) }

func tupleOf(packet []byte, errors bool) (t Tuple, part *Part, ok bool) {
	t, segment, part, first, ok := networkOf(packet)
	if !ok || !first {
		return t, part, false
	}
	switch {
	case ported[t.Proto] && len(segment) >= 4:
		t.Src = netip.AddrPortFrom(t.Src.Addr(), binary.BigEndian.Uint16(segment))
		t.Dst = netip.AddrPortFrom(t.Dst.Addr(), binary.BigEndian.Uint16(segment[2:]))
	case (t.Proto == 1 || t.Proto == 58) && len(segment) >= 8:
		t.Type, t.Code, t.ID = segment[0], segment[1], binary.BigEndian.Uint16(segment[4:])
		if _, known := answers[[2]uint8{t.Proto, t.Type}]; known {
			return t, part, true
		}
		if !errors {
			return t, part, false
		}
		inner, _, ok := tupleOf(segment[8:], false)
		return inner.Inverse(), part, ok
	case t.Proto == ProtoGRE && len(segment) >= 4:
		return t, part, segment[1]&7 == 0 // of PPTP, no packet has the key of both sides
	case ported[t.Proto] || t.Proto == 1 || t.Proto == 58 || t.Proto == ProtoGRE:
		return t, part, false
	}
	return t, part, true
}

// networkOf reads the header of IP, and of IPv6 those behind it. First reports
// that the packet has the beginning of its segment.
func networkOf(packet []byte) (t Tuple, segment []byte, part *Part, first, ok bool) {
	switch {
	case len(packet) >= 20 && packet[0]>>4 == 4 && headerLen(packet) >= 20 && headerLen(packet) <= len(packet):
		src, dst := netip.AddrFrom4([4]byte(packet[12:])), netip.AddrFrom4([4]byte(packet[16:]))
		t = Tuple{Proto: packet[9], Src: netip.AddrPortFrom(src, 0), Dst: netip.AddrPortFrom(dst, 0)}
		where := binary.BigEndian.Uint16(packet[6:])
		const more, offset = 1 << 13, 1<<13 - 1
		if where&(more|offset) != 0 {
			part = &Part{src, dst, uint32(binary.BigEndian.Uint16(packet[4:])), t.Proto}
		}
		return t, packet[headerLen(packet):], part, where&offset == 0, true
	case len(packet) >= 40 && packet[0]>>4 == 6:
		src, dst := netip.AddrFrom16([16]byte(packet[8:])), netip.AddrFrom16([16]byte(packet[24:]))
		t = Tuple{Src: netip.AddrPortFrom(src, 0), Dst: netip.AddrPortFrom(dst, 0)}
		t.Proto, segment, part, first, ok = extensions(src, dst, packet[6], packet[40:])
		return t, segment, part, first, ok
	}
	return Tuple{}, nil, nil, false, false
}

// extensions goes by the headers between that of IPv6 and the segment.
func extensions(src, dst netip.Addr, next uint8, b []byte) (proto uint8, segment []byte, part *Part, first, ok bool) {
	first = true
	for {
		size := 0
		switch next {
		case 0, 43, 60: // hop-by-hop, routing, destination
			if len(b) < 8 {
				return next, nil, part, first, false
			}
			size = 8 + 8*int(b[1])
		case 51: // authentication
			if len(b) < 8 {
				return next, nil, part, first, false
			}
			size = 8 + 4*int(b[1])
		case fragmentHeader:
			if len(b) < 8 {
				return next, nil, part, first, false
			}
			part = &Part{src, dst, binary.BigEndian.Uint32(b[4:]), b[0]}
			first, size = binary.BigEndian.Uint16(b[2:])>>3 == 0, 8
		default:
			return next, b, part, first, true
		}
		if size > len(b) {
			return next, nil, part, first, false
		}
		if !first {
			return b[0], nil, part, false, true
		}
		next, b = b[0], b[size:]
	}
}
