package wire

import (
	"encoding/binary"
	"net"
	"net/netip"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// Protocol numbers of IANA that net/ and the system's headers spell in many
// ways.
const (
	ProtoGRE     = 47
	ProtoDCCP    = 33
	ProtoUDPLite = 136
	// ProtoUnknown is "use for experimentation and testing" of RFC 3692: nothing
	// tracks it but the generic tracker.
	ProtoUnknown = 253
)

// Datagram makes an IP packet of any protocol, of the version of its addresses.
func Datagram(from, to netip.Addr, proto uint8, payload []byte) Packet {
	return over(from, to, layers.IPProtocol(proto), gopacket.Payload(payload))
}

// over puts layers behind an IP header.
func over(from, to netip.Addr, proto layers.IPProtocol, ls ...gopacket.SerializableLayer) Packet {
	return serialize(append([]gopacket.SerializableLayer{ipHeader(from, to, proto)}, ls...)...)
}

// ipLayer is an IP header that can be written and that a checksum can cover.
type ipLayer interface {
	gopacket.SerializableLayer
	gopacket.NetworkLayer
}

func ipHeader(from, to netip.Addr, proto layers.IPProtocol) ipLayer {
	if from.Is4() {
		return header(from, to, proto)
	}
	return &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: proto, SrcIP: net.IP(from.AsSlice()), DstIP: net.IP(to.AsSlice())}
}

// Echo makes an ICMP or ICMPv6 echo request, or the reply to one.
func Echo(from, to netip.Addr, reply bool, id, seq uint16) Packet {
	request, answer := uint8(layers.ICMPv4TypeEchoRequest), uint8(layers.ICMPv4TypeEchoReply)
	if from.Is6() {
		request, answer = layers.ICMPv6TypeEchoRequest, layers.ICMPv6TypeEchoReply
	}
	if reply {
		request = answer
	}
	return ICMP(from, to, request, 0, binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, id), seq))
}

// GRE makes a packet of version 0 without key or checksum, RFC 2784.
func GRE(from, to netip.Addr) Packet {
	return over(from, to, layers.IPProtocolGRE, &layers.GRE{Protocol: layers.EthernetTypeIPv4}, gopacket.Payload("inside"))
}

// UDPLite makes a datagram whose checksum covers all of it, RFC 3828.
func UDPLite(from, to netip.AddrPort, payload string) Packet {
	b := make([]byte, 8, 8+len(payload))
	binary.BigEndian.PutUint16(b, from.Port())
	binary.BigEndian.PutUint16(b[2:], to.Port())
	b = append(b, payload...)
	binary.BigEndian.PutUint16(b[6:], checksum(from.Addr(), to.Addr(), ProtoUDPLite, b))
	return Datagram(from.Addr(), to.Addr(), ProtoUDPLite, b)
}

// checksum is the Internet checksum (RFC 1071) of a segment whose checksum field
// is zero, with the pseudo header of its addresses' version.
func checksum(from, to netip.Addr, proto uint8, segment []byte) uint16 {
	b := append(append(from.AsSlice(), to.AsSlice()...), 0, proto)
	b = binary.BigEndian.AppendUint16(b, uint16(len(segment)))
	return onesComplement(append(b, segment...))
}

// onesComplement is the sum of RFC 1071 over b.
func onesComplement(b []byte) uint16 {
	var sum uint32
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	if len(b)%2 == 1 {
		sum += uint32(b[len(b)-1]) << 8
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}

// Chunk is the type of an SCTP chunk, RFC 9260, section 3.2.
type Chunk uint8

// The chunks that move an association from state to state.
const (
	Init             Chunk = 1
	InitAck          Chunk = 2
	Heartbeat        Chunk = 4
	HeartbeatAck     Chunk = 5
	Abort            Chunk = 6
	Shutdown         Chunk = 7
	ShutdownAck      Chunk = 8
	CookieEcho       Chunk = 10
	CookieAck        Chunk = 11
	ShutdownComplete Chunk = 14
)

// InitTag is the verification tag that an INIT or INIT ACK of this package asks
// for.
const InitTag = 0x1234

// SCTP makes a packet with one chunk, of the least length that its type has.
func SCTP(from, to netip.AddrPort, tag uint32, chunk Chunk) Packet {
	return SCTPBundle(from, to, tag, SCTPChunk{Type: chunk})
}

// DCCPType is the type of a DCCP packet, RFC 4340, section 5.1.
type DCCPType uint8

// The types that move a connection from state to state.
const (
	DCCPRequest  DCCPType = 0
	DCCPResponse DCCPType = 1
	DCCPAck      DCCPType = 3
	DCCPCloseReq DCCPType = 5
	DCCPClose    DCCPType = 6
	DCCPReset    DCCPType = 7
)

// DCCP makes a packet without data, with long sequence numbers (of 48 bits).
func DCCP(from, to netip.AddrPort, typ DCCPType, seq, ack uint64) Packet {
	const head = 16
	b := make([]byte, head, head+12)
	binary.BigEndian.PutUint16(b, from.Port())
	binary.BigEndian.PutUint16(b[2:], to.Port())
	b[8] = byte(typ)<<1 | 1
	put48(b[10:], seq)
	if typ != DCCPRequest {
		b = append(b, make([]byte, 8)...)
		put48(b[head+2:], ack)
	}
	switch typ {
	case DCCPRequest, DCCPResponse, DCCPReset:
		b = append(b, 0, 0, 0, 0) // a service, or a reason
	}
	b[4] = byte(len(b) / 4)
	binary.BigEndian.PutUint16(b[6:], checksum(from.Addr(), to.Addr(), ProtoDCCP, b))
	return Datagram(from.Addr(), to.Addr(), ProtoDCCP, b)
}

func put48(b []byte, v uint64) {
	binary.BigEndian.PutUint16(b, uint16(v>>32))
	binary.BigEndian.PutUint32(b[2:], uint32(v))
}

// UDPLitePartial makes a datagram whose checksum covers its header only.
func UDPLitePartial(from, to netip.AddrPort, payload string) Packet {
	const header = 8
	b := make([]byte, header, header+len(payload))
	binary.BigEndian.PutUint16(b, from.Port())
	binary.BigEndian.PutUint16(b[2:], to.Port())
	binary.BigEndian.PutUint16(b[4:], header)
	b = append(b, payload...)
	pseudo := append(append(from.Addr().AsSlice(), to.Addr().AsSlice()...), 0, ProtoUDPLite)
	pseudo = binary.BigEndian.AppendUint16(pseudo, uint16(len(b))) // of all of it, RFC 3828, section 3.1
	binary.BigEndian.PutUint16(b[6:], onesComplement(append(pseudo, b[:header]...)))
	return Datagram(from.Addr(), to.Addr(), ProtoUDPLite, b)
}
