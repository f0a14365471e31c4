// Package wire builds the packets that probes send and reads the ones they get
// back. It is the only user of gopacket. Everything in it is pure: no sockets,
// no clock.
package wire

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// Flags are TCP header flags in the bit order of RFC 9293, section 3.1.
type Flags uint8

// The TCP flags.
const (
	FIN Flags = 1 << iota
	SYN
	RST
	PSH
	ACK
	URG
)

var flagNames = []struct {
	flag Flags
	name string
}{{SYN, "SYN"}, {FIN, "FIN"}, {RST, "RST"}, {PSH, "PSH"}, {URG, "URG"}, {ACK, "ACK"}}

// String spells the flags as "SYN+ACK", or "none".
func (f Flags) String() string {
	var names []string
	for _, n := range flagNames {
		if f&n.flag != 0 {
			names = append(names, n.name)
		}
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, "+")
}

// Packet is one IP packet, from its first header byte to its last.
type Packet struct {
	Data []byte
}

// Seen is what a packet that came out of the box says of itself. Fields of
// layers it does not have are zero.
type Seen struct {
	Proto    string // "tcp", "udp", "icmp", or the number
	Src, Dst netip.AddrPort
	Flags    Flags  // TCP only
	Seq, Ack uint32 // TCP only
	Payload  int    // bytes after the transport header
}

// Kind is the word by which packets are counted: a TCP packet's flags, or the
// protocol.
func (s Seen) Kind() string {
	if s.Proto == "tcp" {
		return s.Flags.String()
	}
	return s.Proto
}

// Parse reads an IPv4 packet. It does not check checksums.
func Parse(data []byte) (Seen, error) {
	pkt := gopacket.NewPacket(data, layers.LayerTypeIPv4, gopacket.NoCopy)
	ip, ok := pkt.NetworkLayer().(*layers.IPv4)
	if !ok {
		return Seen{}, fmt.Errorf("parse packet of %d bytes: no IPv4 header", len(data))
	}
	src, _ := netip.AddrFromSlice(ip.SrcIP.To4())
	dst, _ := netip.AddrFromSlice(ip.DstIP.To4())
	seen := Seen{Proto: fmt.Sprint(uint8(ip.Protocol)), Src: netip.AddrPortFrom(src, 0), Dst: netip.AddrPortFrom(dst, 0)}
	switch l := pkt.TransportLayer().(type) {
	case *layers.TCP:
		seen.Proto = "tcp"
		seen.Src, seen.Dst = netip.AddrPortFrom(src, uint16(l.SrcPort)), netip.AddrPortFrom(dst, uint16(l.DstPort))
		seen.Flags, seen.Seq, seen.Ack = flagsOf(l), l.Seq, l.Ack
		seen.Payload = len(l.Payload)
	case *layers.UDP:
		seen.Proto = "udp"
		seen.Src, seen.Dst = netip.AddrPortFrom(src, uint16(l.SrcPort)), netip.AddrPortFrom(dst, uint16(l.DstPort))
		seen.Payload = len(l.Payload)
	default:
		if icmp, ok := pkt.Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4); ok {
			seen.Proto = "icmp"
			seen.Payload = len(icmp.Payload)
		}
	}
	return seen, nil
}

func flagsOf(t *layers.TCP) Flags {
	var f Flags
	for _, b := range []struct {
		set  bool
		flag Flags
	}{{t.FIN, FIN}, {t.SYN, SYN}, {t.RST, RST}, {t.PSH, PSH}, {t.ACK, ACK}, {t.URG, URG}} {
		if b.set {
			f |= b.flag
		}
	}
	return f
}
