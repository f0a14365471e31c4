package wire

import (
	"encoding/binary"
	"slices"
)

// Origs makes the next packet of each flow in the original direction.
func Origs(fs []*Flow, flags Flags, opts ...Option) []Packet {
	return crowd(fs, func(f *Flow) (from, to *end) { return &f.orig, &f.reply }, flags, opts)
}

// Replies makes the next packet of each flow in the reply direction.
func Replies(fs []*Flow, flags Flags, opts ...Option) []Packet {
	return crowd(fs, func(f *Flow) (from, to *end) { return &f.reply, &f.orig }, flags, opts)
}

// crowd makes the next packet of each flow. One that differs in its ports only
// from the first is made of that.
func crowd(fs []*Flow, ends func(*Flow) (from, to *end), flags Flags, opts []Option) []Packet {
	var like, after [2]end // the ends of the first, and behind its packet
	pkts := make([]Packet, len(fs))
	for i, f := range fs {
		from, to := ends(f)
		if i > 0 && from.alike(like[0]) && to.alike(like[1]) {
			pkts[i] = pkts[0].FromPort(from.addr.Port()).ToPort(to.addr.Port())
			from.next = after[0].next
			continue
		}
		before := [2]end{*from, *to}
		pkts[i] = segment(from, to, flags, opts)
		if i == 0 {
			like, after = before, [2]end{*from, *to}
		}
	}
	return pkts
}

// alike reports whether ends differ in their ports at most.
func (e end) alike(other end) bool {
	return e.next == other.next && e.addr.Addr() == other.addr.Addr()
}

// FromPort returns a packet, of a protocol that has ports and a checksum, with
// another source port.
func (p Packet) FromPort(port uint16) Packet { return p.reworded(0, port) }

// ToPort is FromPort for the destination port.
func (p Packet) ToPort(port uint16) Packet { return p.reworded(2, port) }

// WithID returns an echo of ICMP or ICMPv6 with another id.
func (p Packet) WithID(id uint16) Packet { return p.reworded(4, id) }

// reworded returns the packet with another word at an offset in its segment, and
// the segment's checksum changed by as much (RFC 1624, equation 3).
func (p Packet) reworded(at int, word uint16) Packet {
	data := slices.Clone(p.Data)
	segment := data[headerLen(data):]
	sum := segment[sumAt[protoOf(data)]:]
	n := uint32(^binary.BigEndian.Uint16(sum)) + uint32(^binary.BigEndian.Uint16(segment[at:])) + uint32(word)
	n = n>>16 + n&0xffff
	n = n>>16 + n&0xffff
	binary.BigEndian.PutUint16(sum, ^uint16(n))
	binary.BigEndian.PutUint16(segment[at:], word)
	return Packet{data}
}
