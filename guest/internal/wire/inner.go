package wire

import (
	"net/netip"
	"strings"
)

// Inner is the conversation that an ICMP error tells of, as its bytes say:
// "198.18.0.2:10000 -> 198.19.0.2:53"; "none" if the packet is no error or its
// inner packet cannot be read.
func Inner(s Seen) string {
	inner := innerPacket(s)
	if inner == nil {
		return "none"
	}
	in, err := Parse(inner)
	if err != nil {
		return "none"
	}
	if in.Src.Port() == 0 {
		return in.Src.Addr().String() + " -> " + in.Dst.Addr().String()
	}
	return in.Src.String() + " -> " + in.Dst.String()
}

// innerPacket is what follows an ICMP error's header, or nil if nothing does.
func innerPacket(s Seen) []byte {
	head := headerLen(s.Data)
	isError := s.Proto == "icmp" && (s.Type == 3 || s.Type == 4 || s.Type == 5 || s.Type == 11 || s.Type == 12) ||
		s.Proto == "icmpv6" && s.Type < 128
	if !isError || len(s.Data) <= head+8 {
		return nil
	}
	return s.Data[head+8:]
}

// Sums says of each checksum of a packet, and of the packet that it tells of,
// whether it is right: "ip right, icmp right, inner ip right, inner udp right".
// IPv6 headers have none.
func Sums(s Seen) string {
	parts := sums("", s)
	if inner := innerPacket(s); inner != nil {
		if in, err := Parse(inner); err == nil {
			parts = append(parts, sums("inner ", in)...)
		}
	}
	return strings.Join(parts, ", ")
}

func sums(word string, s Seen) []string {
	var parts []string
	say := func(what string, right bool) {
		verdict := " wrong"
		if right {
			verdict = " right"
		}
		parts = append(parts, word+what+verdict)
	}
	head := headerLen(s.Data)
	if s.Data[0]>>4 == 4 {
		say("ip", onesComplement(s.Data[:head]) == 0)
	}
	segment := s.Data[head:]
	switch s.Proto {
	case "icmp":
		say(s.Proto, onesComplement(segment) == 0)
	case "icmpv6", "tcp", "udp":
		say(s.Proto, pseudoSum(s.Src.Addr(), s.Dst.Addr(), s.Data, segment) == 0)
	}
	return parts
}

// pseudoSum is zero if the segment's checksum is right.
func pseudoSum(from, to netip.Addr, packet, segment []byte) uint16 {
	proto := packet[6]
	if packet[0]>>4 == 4 {
		proto = packet[9]
	}
	return checksum(from, to, proto, segment)
}

// headerLen is the length of a packet's IP header, without extensions.
func headerLen(packet []byte) int {
	if packet[0]>>4 == 4 {
		return int(packet[0]&15) * 4
	}
	return 40
}
