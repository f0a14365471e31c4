package dissect

import (
	"encoding/binary"
	"hash/crc32"
)

// sum adds up 16-bit words in ones' complement, RFC 1071.
func sum(b []byte, start uint32) uint16 {
	n := start
	for ; len(b) >= 2; b = b[2:] {
		n += uint32(b[0])<<8 | uint32(b[1])
		n = n&0xffff + n>>16
	}
	if len(b) == 1 {
		n += uint32(b[0]) << 8
	}
	for n>>16 != 0 {
		n = n&0xffff + n>>16
	}
	return uint16(n)
}

// pseudo is the sum of the pseudo header.
func (h *header) pseudo(size int) uint32 {
	n := uint32(sum(h.src.AsSlice(), 0))
	n += uint32(sum(h.dst.AsSlice(), 0))
	return n + uint32(h.proto) + uint32(size&0xffff) + uint32(size>>16)
}

// sumRight reports whether the checksum of a whole segment is right, or left out
// where that is allowed.
func (h *header) sumRight() bool {
	b := h.body
	switch h.proto {
	case 1:
		return sum(b, 0) == 0xffff
	case 17:
		if binary.BigEndian.Uint16(b[6:]) == 0 {
			return h.src.Is4()
		}
	case 132:
		sent := binary.LittleEndian.Uint32(b[8:])
		zeroed := append(append(append([]byte{}, b[:8]...), 0, 0, 0, 0), b[12:]...)
		return crc32.Checksum(zeroed, crc32.MakeTable(crc32.Castagnoli)) == sent
	case 33, 136: // may cover a part only
		return h.partRight()
	}
	return sum(b, h.pseudo(len(b))) == 0xffff
}

// partRight is sumRight of protocols whose header says how much is covered.
func (h *header) partRight() bool {
	covered := len(h.body)
	if h.proto == 136 {
		if n := int(binary.BigEndian.Uint16(h.body[4:])); n != 0 {
			covered = n
		}
	} else if n := int(h.body[5] & 15); n != 0 {
		covered = int(h.body[4])*4 + (n-1)*4
	}
	if covered > len(h.body) {
		return false
	}
	return sum(h.body[:covered], h.pseudo(len(h.body))) == 0xffff
}
