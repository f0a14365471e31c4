package wire

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
)

// Piece is a part of a packet's segment that becomes a fragment.
type Piece struct {
	From, To int // in bytes; From is a multiple of 8
}

// fragmentHeader is the number of IPv6's extension header for fragments.
const fragmentHeader = 44

// Fragments cuts a packet into fragments of size bytes behind the IP header (of
// IPv6, behind the fragment header). Id tells the packet from others.
func Fragments(p Packet, id uint16, size int) []Packet {
	var pieces []Piece
	whole := len(p.Segment())
	for from := 0; from < whole; from += size {
		pieces = append(pieces, Piece{from, min(from+size, whole)})
	}
	return PiecesOf(p, id, pieces...)
}

// PiecesOf makes a fragment of each piece of a packet, in their order. What ends
// with the packet is the last.
func PiecesOf(p Packet, id uint16, pieces ...Piece) []Packet {
	segment := p.Segment()
	var out []Packet
	for _, piece := range pieces {
		more := piece.To < len(segment)
		out = append(out, fragment(p, id, piece.From, more, segment[piece.From:piece.To]))
	}
	return out
}

func fragment(p Packet, id uint16, offset int, more bool, data []byte) Packet {
	if p.Data[0]>>4 == 6 {
		where := uint16(offset)
		if more {
			where |= 1
		}
		header := []byte{p.Data[6], 0}
		header = binary.BigEndian.AppendUint16(header, where)
		header = binary.BigEndian.AppendUint32(header, uint32(id))
		ip := Packet{slices.Clone(p.Data[:40])}
		ip.Data[6] = fragmentHeader
		return ip.Carry(append(header, data...))
	}
	where := uint16(offset / 8)
	if more {
		where |= 1 << 13
	}
	ip := Packet{slices.Clone(p.Data[:headerLen(p.Data)])}
	binary.BigEndian.PutUint16(ip.Data[4:], id)
	where |= binary.BigEndian.Uint16(p.Data[6:]) & (1 << 14) // don't fragment
	binary.BigEndian.PutUint16(ip.Data[6:], where)
	return ip.Carry(data)
}

// DF returns an IPv4 packet that says not to fragment it.
func (p Packet) DF() Packet {
	return p.Set(6, p.Data[6]|1<<6).Resummed()
}

// NoDF returns a packet that may be fragmented on its way. IPv6 packets never
// may.
func (p Packet) NoDF() Packet {
	if p.Data[0]>>4 == 6 {
		return p
	}
	return p.Set(6, p.Data[6]&^(1<<6)).Resummed()
}

// Shape is what a packet is as a fragment: the place and size of what is behind
// the IP header, whether more follows, and whether it says not to fragment it:
// "0+400 more", "400+108", "whole 508, don't fragment".
func Shape(s Seen) string {
	data := s.Data
	where, size, id := uint16(0), 0, false
	switch {
	case data[0]>>4 == 4:
		where = binary.BigEndian.Uint16(data[6:])
		size = len(data) - headerLen(data)
	case data[6] == fragmentHeader:
		raw := binary.BigEndian.Uint16(data[42:])
		where = raw >> 3 & 0x1fff
		if raw&1 != 0 {
			where |= 1 << 13
		}
		size, id = len(data)-48, true
	default:
		size = len(data) - 40
	}
	offset, more := int(where&0x1fff)*8, where&(1<<13) != 0
	words := []string{fmt.Sprintf("%d+%d", offset, size)}
	switch {
	case offset == 0 && !more && id:
		words = []string{fmt.Sprintf("whole %d in a fragment", size)}
	case offset == 0 && !more:
		words = []string{fmt.Sprintf("whole %d", size)}
	case more:
		words = append(words, "more")
	}
	if data[0]>>4 == 4 && where&(1<<14) != 0 {
		words = append(words, "don't fragment")
	}
	return strings.Join(words, " ")
}
