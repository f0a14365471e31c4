package wire

import (
	"encoding/binary"
	"net/netip"
)

// Refreshed returns the packet with the checksums of its IPv4 and TCP, UDP or
// ICMP headers made anew, after Set or Cut. IPv4 without options only.
func Refreshed(p Packet) Packet {
	const head, sumAt = 20, 10
	data := p.Set(sumAt, 0, 0).Data
	binary.BigEndian.PutUint16(data[sumAt:], onesComplement(data[:head]))
	at, ok := map[byte]int{1: 2, 6: 16, 17: 6}[data[9]]
	if !ok {
		return Packet{data}
	}
	segment := data[head:]
	segment[at], segment[at+1] = 0, 0
	if data[9] == 1 {
		binary.BigEndian.PutUint16(segment[at:], onesComplement(segment))
		return Packet{data}
	}
	src, dst := netip.AddrFrom4([4]byte(data[12:16])), netip.AddrFrom4([4]byte(data[16:20]))
	binary.BigEndian.PutUint16(segment[at:], checksum(src, dst, data[9], segment))
	return Packet{data}
}
