package wire

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// ICMPError makes an error message about a packet, of the IP version of its
// addresses: type, code, the four bytes between header and inner packet (a
// pointer, an MTU, a gateway), and as much of the packet as is given.
func ICMPError(from, to netip.Addr, typ, code uint8, rest uint32, inner []byte) Packet {
	body := binary.BigEndian.AppendUint32(nil, rest)
	return ICMP(from, to, typ, code, append(body, inner...))
}

// ICMP makes an ICMP or ICMPv6 message of a type, a code, and what is behind the
// checksum, at least four bytes of it.
func ICMP(from, to netip.Addr, typ, code uint8, body []byte) Packet {
	if from.Is4() {
		icmp := &layers.ICMPv4{
			TypeCode: layers.CreateICMPv4TypeCode(typ, code),
			Id:       binary.BigEndian.Uint16(body), Seq: binary.BigEndian.Uint16(body[2:]),
		}
		return over(from, to, layers.IPProtocolICMPv4, icmp, gopacket.Payload(body[4:]))
	}
	icmp := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(typ, code)}
	ip := ipHeader(from, to, layers.IPProtocolICMPv6)
	if err := icmp.SetNetworkLayerForChecksum(ip); err != nil {
		panic(fmt.Sprintf("wire: icmpv6 over %s: %v", from, err))
	}
	return serialize(ip, icmp, gopacket.Payload(body))
}
