// Package wire builds the packets that probes send and reads the ones they get
// back. It is the only user of gopacket. Everything in it is pure: no sockets,
// no clock.
package wire

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
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

// Set returns the packet with other bytes from an offset on. Checksums stay what
// they were.
func (p Packet) Set(offset int, bytes ...byte) Packet {
	data := slices.Clone(p.Data)
	copy(data[offset:], bytes)
	return Packet{data}
}

// Cut returns the first n bytes of the packet. Its headers tell the old length.
func (p Packet) Cut(n int) Packet { return Packet{slices.Clone(p.Data[:n])} }

// Seen is what a packet that came out of the box says of itself. Fields of
// layers it does not have are zero.
type Seen struct {
	Proto      string // "tcp", "udp", "icmp", "icmpv6", or the number
	Src, Dst   netip.AddrPort
	Flags      Flags  // TCP only
	Seq, Ack   uint32 // TCP only
	Type, Code uint8  // ICMP and ICMPv6 only
	Payload    int    // bytes after the transport header
	Data       []byte // the whole packet
}

// Kind is the word by which packets are counted: a TCP packet's flags, or the
// protocol.
func (s Seen) Kind() string {
	if s.Proto == "tcp" {
		return s.Flags.String()
	}
	return s.Proto
}

// Parse reads an IPv4 or IPv6 packet and keeps a copy of it. It does not check
// checksums.
func Parse(data []byte) (Seen, error) {
	data = slices.Clone(data)
	if seen, ok := plain(data); ok {
		return seen, nil
	}
	return layered(data)
}

// layered reads any packet, and all the layers that it has.
func layered(data []byte) (Seen, error) {
	first := layers.LayerTypeIPv4
	if len(data) > 0 && data[0]>>4 == 6 {
		first = layers.LayerTypeIPv6
	}
	pkt := gopacket.NewPacket(data, first, gopacket.NoCopy)
	seen, err := network(pkt)
	if err != nil {
		return Seen{}, fmt.Errorf("parse packet of %d bytes: %w", len(data), err)
	}
	seen.Data = data
	switch l := pkt.TransportLayer().(type) {
	case *layers.TCP:
		seen.tcp(l)
	case *layers.UDP:
		seen.udp(l)
	}
	if icmp, ok := pkt.Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4); ok {
		seen.Proto, seen.Payload = "icmp", len(icmp.Payload)
		seen.Type, seen.Code = icmp.TypeCode.Type(), icmp.TypeCode.Code()
	}
	if icmp, ok := pkt.Layer(layers.LayerTypeICMPv6).(*layers.ICMPv6); ok {
		seen.Proto, seen.Payload = "icmpv6", len(icmp.Payload)
		seen.Type, seen.Code = icmp.TypeCode.Type(), icmp.TypeCode.Code()
	}
	return seen, nil
}

// network reads what the IP header says.
func network(pkt gopacket.Packet) (Seen, error) {
	switch ip := pkt.NetworkLayer().(type) {
	case *layers.IPv4:
		return between(ip.SrcIP.To4(), ip.DstIP.To4(), uint8(ip.Protocol)), nil
	case *layers.IPv6:
		return between(ip.SrcIP, ip.DstIP, uint8(ip.NextHeader)), nil
	}
	return Seen{}, errors.New("no IP header")
}

func between(src, dst []byte, proto uint8) Seen {
	from, _ := netip.AddrFromSlice(src) // of the length that the header has
	to, _ := netip.AddrFromSlice(dst)
	return Seen{Proto: strconv.Itoa(int(proto)), Src: netip.AddrPortFrom(from, 0), Dst: netip.AddrPortFrom(to, 0)}
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
