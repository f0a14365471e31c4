package wire

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
)

// ported are the protocols, by number, whose header begins with two ports.
var ported = map[byte]bool{6: true, 17: true, ProtoDCCP: true, protoSCTP: true, ProtoUDPLite: true}

// Ends is from where to where a packet goes, with what tells the conversations of
// its protocol apart: "198.18.0.2:10000 -> 198.19.0.2:80", or
// "198.18.0.2 -> 198.19.0.2 id 7" of an echo.
func Ends(s Seen) string {
	from, to, id := endsOf(s)
	text := fmt.Sprintf("%s -> %s", from.Addr(), to.Addr())
	if from.Port() != 0 || to.Port() != 0 {
		text = fmt.Sprintf("%s -> %s", from, to)
	}
	if id >= 0 {
		text += fmt.Sprintf(" id %d", id)
	}
	return text
}

// SourceID is the source port of a packet, or the id of an echo, by which a
// translation tells clients apart; 0 of a protocol that has neither.
func SourceID(s Seen) uint16 {
	from, _, id := endsOf(s)
	if id >= 0 {
		return uint16(id)
	}
	return from.Port()
}

// endsOf reads ports, or the id of an echo; id is -1 where there is none.
func endsOf(s Seen) (from, to netip.AddrPort, id int) {
	proto, segment := protoOf(s.Data), s.Data[headerLen(s.Data):]
	from, to = s.Src, s.Dst
	echo := proto == 1 && (s.Type == 0 || s.Type == 8) || proto == 58 && (s.Type == 128 || s.Type == 129)
	switch {
	case ported[proto] && len(segment) >= 4:
		from = netip.AddrPortFrom(s.Src.Addr(), binary.BigEndian.Uint16(segment))
		to = netip.AddrPortFrom(s.Dst.Addr(), binary.BigEndian.Uint16(segment[2:]))
	case echo && len(segment) >= 6:
		return from, to, int(binary.BigEndian.Uint16(segment[4:]))
	}
	return from, to, -1
}

// Intact reports whether the checksums of a packet's headers are right, or left
// out where that is allowed (RFC 768).
func Intact(s Seen) bool {
	p := Packet{s.Data}
	segment := p.Segment()
	if s.Data[0]>>4 == 4 {
		if onesComplement(s.Data[:headerLen(s.Data)]) != 0 {
			return false
		}
		if protoOf(s.Data) == 17 && len(segment) >= 8 && segment[6] == 0 && segment[7] == 0 {
			return true
		}
	}
	return bytes.Equal(p.Mended().Data, s.Data)
}

// Sent returns the packet with another destination, and another destination port,
// checksums made right: what a peer sends that knows the other end by that
// address.
func (p Packet) Sent(to netip.AddrPort) Packet {
	at := 16
	if p.Data[0]>>4 == 6 {
		at = 24
	}
	port := to.Port()
	return p.Set(at, to.Addr().AsSlice()...).Set(headerLen(p.Data)+2, byte(port>>8), byte(port)).AllSums()
}

// AllSums returns the packet with all its checksums made right.
func (p Packet) AllSums() Packet {
	if p.Data[0]>>4 == 4 {
		p = p.Resummed()
	}
	return p.Mended()
}

// protoOf is the number of a packet's protocol, without regard to extension
// headers.
func protoOf(packet []byte) byte {
	if packet[0]>>4 == 4 {
		return packet[9]
	}
	return packet[6]
}
