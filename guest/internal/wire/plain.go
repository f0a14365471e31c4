package wire

import (
	"net/netip"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// plain reads packets as most are, a segment of TCP, UDP or ICMP behind an IP
// header, as layered does, and a tenth of its time: it makes nothing of the layers
// that nobody asks for. It reports whether the packet is such a one and whole.
func plain(data []byte) (Seen, bool) {
	none := gopacket.NilDecodeFeedback
	var (
		seen    Seen
		next    gopacket.LayerType
		segment []byte
	)
	switch {
	case len(data) > 0 && data[0]>>4 == 4:
		var ip layers.IPv4
		if ip.DecodeFromBytes(data, none) != nil {
			return Seen{}, false
		}
		seen, next, segment = between(ip.SrcIP, ip.DstIP, uint8(ip.Protocol)), ip.NextLayerType(), ip.Payload
	case len(data) > 0 && data[0]>>4 == 6:
		var ip layers.IPv6
		if ip.DecodeFromBytes(data, none) != nil || ip.HopByHop != nil {
			return Seen{}, false
		}
		seen, next, segment = between(ip.SrcIP, ip.DstIP, uint8(ip.NextHeader)), ip.NextLayerType(), ip.Payload
	default:
		return Seen{}, false
	}
	seen.Data = data
	return seen, seen.transport(next, segment)
}

// transport reads a segment of a protocol, and reports whether it could and there
// is nothing in it to be read.
func (s *Seen) transport(proto gopacket.LayerType, segment []byte) bool {
	none := gopacket.NilDecodeFeedback
	switch proto {
	case layers.LayerTypeTCP:
		var tcp layers.TCP
		if tcp.DecodeFromBytes(segment, none) != nil {
			return false
		}
		s.tcp(&tcp)
	case layers.LayerTypeUDP:
		var udp layers.UDP
		if udp.DecodeFromBytes(segment, none) != nil {
			return false
		}
		s.udp(&udp)
		next := udp.NextLayerType()
		return next == gopacket.LayerTypePayload || next == layers.LayerTypeDNS
	case layers.LayerTypeICMPv4:
		var icmp layers.ICMPv4
		if icmp.DecodeFromBytes(segment, none) != nil {
			return false
		}
		s.Proto, s.Payload = "icmp", len(icmp.Payload)
		s.Type, s.Code = icmp.TypeCode.Type(), icmp.TypeCode.Code()
	case layers.LayerTypeICMPv6:
		var icmp layers.ICMPv6
		if icmp.DecodeFromBytes(segment, none) != nil {
			return false
		}
		s.Proto, s.Payload = "icmpv6", len(icmp.Payload)
		s.Type, s.Code = icmp.TypeCode.Type(), icmp.TypeCode.Code()
	default:
		return false
	}
	return true
}

func (s *Seen) tcp(l *layers.TCP) {
	s.Proto = "tcp"
	s.ports(uint16(l.SrcPort), uint16(l.DstPort))
	s.Flags, s.Seq, s.Ack = flagsOf(l), l.Seq, l.Ack
	s.Payload = len(l.Payload)
}

func (s *Seen) udp(l *layers.UDP) {
	s.Proto = "udp"
	s.ports(uint16(l.SrcPort), uint16(l.DstPort))
	s.Payload = len(l.Payload)
}

func (s *Seen) ports(from, to uint16) {
	s.Src, s.Dst = netip.AddrPortFrom(s.Src.Addr(), from), netip.AddrPortFrom(s.Dst.Addr(), to)
}
