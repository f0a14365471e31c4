package wire

import (
	"encoding/binary"
	"hash/crc32"
	"net/netip"
	"slices"
)

// Segment is a copy of what is behind the packet's IP header, without regard to
// extension headers.
func (p Packet) Segment() []byte { return slices.Clone(p.Data[headerLen(p.Data):]) }

// Carry returns the packet with another segment behind its IP header, whose
// length and checksum are made right. The segment is taken as it is.
func (p Packet) Carry(segment []byte) Packet {
	head := headerLen(p.Data)
	return Packet{append(slices.Clone(p.Data[:head]), segment...)}.fit()
}

// Shorten returns a packet whose segment has its first n bytes only, and whose IP
// header says so.
func (p Packet) Shorten(n int) Packet { return p.Carry(p.Segment()[:n]) }

// fit makes length and checksum of the IP header right.
func (p Packet) fit() Packet {
	if p.Data[0]>>4 == 6 {
		binary.BigEndian.PutUint16(p.Data[4:], uint16(len(p.Data)-40))
		return p
	}
	binary.BigEndian.PutUint16(p.Data[2:], uint16(len(p.Data)))
	return p.Resummed()
}

// Resummed returns the packet with the checksum of its IPv4 header made right.
func (p Packet) Resummed() Packet {
	data := p.Set(10, 0, 0).Data
	binary.BigEndian.PutUint16(data[10:], onesComplement(data[:headerLen(data)]))
	return Packet{data}
}

// sumAt is where in the header of a protocol its checksum lies.
var sumAt = map[byte]int{1: 2, 58: 2, 6: 16, 17: 6, ProtoDCCP: 6, ProtoUDPLite: 6, protoSCTP: 8}

const protoSCTP = 132

// Mended returns the packet with the checksum of its segment made right, over all
// of it. One that is too short to have a checksum stays as it is.
func (p Packet) Mended() Packet {
	proto := p.Data[9]
	src, dst := p.Data[12:16], p.Data[16:20]
	if p.Data[0]>>4 == 6 {
		proto, src, dst = p.Data[6], p.Data[8:24], p.Data[24:40]
	}
	segment := p.Segment()
	at, ok := sumAt[proto]
	switch {
	case !ok || len(segment) < at+2:
		return p
	case proto == protoSCTP:
		return p.Carry(sctpSummed(segment))
	}
	segment[at], segment[at+1] = 0, 0
	sum := onesComplement(segment) // ICMP has no pseudo header
	if proto != 1 {
		from, _ := netip.AddrFromSlice(src) // of the length that the header has
		to, _ := netip.AddrFromSlice(dst)
		sum = checksum(from, to, proto, segment)
	}
	binary.BigEndian.PutUint16(segment[at:], sum)
	return p.Carry(segment)
}

// sctpSummed puts the CRC of RFC 9260, appendix A, into a segment that has room
// for it.
func sctpSummed(segment []byte) []byte {
	const at = 8
	if len(segment) < at+4 {
		return segment
	}
	clear(segment[at : at+4])
	binary.LittleEndian.PutUint32(segment[at:], crc32.Checksum(segment, crc32.MakeTable(crc32.Castagnoli)))
	return segment
}

// WithOptions returns an IPv4 packet with options in its header, filled up to a
// multiple of four bytes with the end of the list.
func (p Packet) WithOptions(options ...byte) Packet {
	for len(options)%4 != 0 {
		options = append(options, 0)
	}
	data := slices.Concat(p.Data[:20], options, p.Data[20:])
	data[0] = 4<<4 | byte(5+len(options)/4)
	return Packet{data}.fit()
}

// Extension is an extension header of IPv6: its protocol number, and what is
// behind the number of the next.
type Extension struct {
	Number byte
	Rest   []byte
}

// Extended returns an IPv6 packet with extension headers before its segment.
func (p Packet) Extended(chain ...Extension) Packet {
	data := slices.Clone(p.Data[:40])
	number := data[6]
	next := 6 // where the number of the next header goes
	for _, e := range chain {
		data[next] = e.Number
		next = len(data)
		data = append(append(data, number), e.Rest...)
	}
	data[next] = number
	return Packet{append(data, p.Data[40:]...)}.fit()
}
