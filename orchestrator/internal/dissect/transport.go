package dissect

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// segment is what the protocol above IP says.
type segment struct {
	ports    bool
	from, to uint16
	kind     string // belongs to the shape
	detail   string
	proto    bool // its checksum can be looked at
	inner    *Line
}

func (h *header) segment() segment {
	b := h.body
	switch h.proto {
	case 1:
		return h.icmp(b, icmpTypes, icmpCodes)
	case 58:
		return h.icmp(b, icmp6Types, icmp6Codes)
	case 47:
		return h.gre(b)
	}
	least := map[uint8]int{6: 20, 17: 8, 33: 12, 132: 12, 136: 8}[h.proto]
	if least == 0 {
		return segment{detail: fmt.Sprintf("len %d", len(b))}
	}
	s := segment{}
	if len(b) >= 4 {
		s.ports, s.from, s.to = true, binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	}
	if len(b) < least {
		switch {
		case h.more:
			s.detail = fmt.Sprintf("%d bytes of the header", len(b))
		case h.depth == 0:
			s.kind, s.detail = "damaged:", fmt.Sprintf("%d bytes", len(b))
		}
		return s
	}
	s.proto = true
	switch h.proto {
	case 6:
		s.tcp(b, h)
	case 17:
		s.detail = fmt.Sprintf("len %d", len(b)-8)
		if n := int(binary.BigEndian.Uint16(b[4:])); n != len(b) && h.depth == 0 && !h.more {
			s.detail += fmt.Sprintf(" (header says %d)", n-8)
		}
	case 33:
		s.dccp(b)
	case 132:
		s.sctp(b)
	case 136:
		s.detail = fmt.Sprintf("len %d cover %d", len(b)-8, binary.BigEndian.Uint16(b[4:]))
	}
	return s
}

// tcpFlags are tcpdump's letters, from the lowest bit on. None is "none" there,
// too.
const tcpFlags = "FSRP.UEW"

func (s *segment) tcp(b []byte, h *header) {
	flags := ""
	for i, letter := range tcpFlags {
		if b[13]&(1<<i) != 0 {
			flags += string(letter)
		}
	}
	if strings.Contains(flags, ".") { // which tcpdump has last
		flags = strings.Replace(flags, ".", "", 1) + "."
	}
	if flags == "" {
		flags = "none"
	}
	s.kind = "[" + flags + "]"
	size := int(b[12]>>4) * 4
	words := []string{fmt.Sprintf("seq %d", binary.BigEndian.Uint32(b[4:]))}
	if b[13]&16 != 0 {
		words = append(words, fmt.Sprintf("ack %d", binary.BigEndian.Uint32(b[8:])))
	}
	words = append(words, fmt.Sprintf("win %d", binary.BigEndian.Uint16(b[14:])))
	if size < 20 || size > len(b) {
		words = append(words, fmt.Sprintf("header of %d bytes in %d, damaged", size, len(b)))
	} else {
		if options := tcpOptions(b[20:size]); options != "" {
			words = append(words, "<"+options+">")
		}
		if n := len(b) - size; n > 0 || h.depth == 0 {
			words = append(words, fmt.Sprintf("len %d", n))
		}
	}
	s.detail = strings.Join(words, " ")
}

func tcpOptions(b []byte) string {
	var words []string
	for len(b) > 0 && b[0] != 0 {
		if b[0] == 1 {
			words, b = append(words, "nop"), b[1:]
			continue
		}
		if len(b) < 2 || b[1] < 2 || int(b[1]) > len(b) {
			words = append(words, fmt.Sprintf("damaged %x", b))
			break
		}
		words = append(words, tcpOption(b[0], b[2:b[1]]))
		b = b[b[1]:]
	}
	return strings.Join(words, ",")
}

func tcpOption(kind byte, data []byte) string {
	word := func(i int) uint32 { return binary.BigEndian.Uint32(data[i:]) }
	switch {
	case kind == 2 && len(data) == 2:
		return fmt.Sprintf("mss %d", binary.BigEndian.Uint16(data))
	case kind == 3 && len(data) == 1:
		return fmt.Sprintf("wscale %d", data[0])
	case kind == 4 && len(data) == 0:
		return "sackOK"
	case kind == 5 && len(data) > 0 && len(data)%8 == 0:
		var blocks []string
		for i := 0; i < len(data); i += 8 {
			blocks = append(blocks, fmt.Sprintf("%d-%d", word(i), word(i+4)))
		}
		return "sack " + strings.Join(blocks, " ")
	case kind == 8 && len(data) == 8:
		return fmt.Sprintf("TS %d %d", word(0), word(4))
	}
	return strings.TrimSpace(fmt.Sprintf("opt-%d %x", kind, data))
}

// chunkNames are the types of RFC 9260, section 3.2.
var chunkNames = map[byte]string{
	0: "DATA", 1: "INIT", 2: "INIT-ACK", 3: "SACK", 4: "HEARTBEAT", 5: "HEARTBEAT-ACK", 6: "ABORT", 7: "SHUTDOWN",
	8: "SHUTDOWN-ACK", 9: "ERROR", 10: "COOKIE-ECHO", 11: "COOKIE-ACK", 14: "SHUTDOWN-COMPLETE",
}

func (s *segment) sctp(b []byte) {
	s.detail = fmt.Sprintf("tag %#x", binary.BigEndian.Uint32(b[4:]))
	var chunks []string
	for b = b[12:]; len(b) > 0 && len(chunks) < 32; {
		if len(b) < 4 {
			chunks = append(chunks, "damaged")
			break
		}
		name, known := chunkNames[b[0]]
		if !known {
			name = fmt.Sprintf("chunk-%d", b[0])
		}
		size := int(binary.BigEndian.Uint16(b[2:]))
		if (b[0] == 1 || b[0] == 2) && len(b) >= 8 {
			s.detail += fmt.Sprintf(" init-tag %#x", binary.BigEndian.Uint32(b[4:]))
		}
		if size < 4 || size > len(b) {
			chunks = append(chunks, name+"(damaged)")
			break
		}
		chunks = append(chunks, name)
		b = b[min((size+3)&^3, len(b)):]
	}
	s.kind = "[" + strings.Join(chunks, " ") + "]"
}

// dccpTypes are those of RFC 4340, section 5.1.
var dccpTypes = []string{"request", "response", "data", "ack", "dataack", "closereq", "close", "reset", "sync", "syncack"}

func (s *segment) dccp(b []byte) {
	typ := int(b[8] >> 1 & 15)
	s.kind = fmt.Sprintf("[type %d]", typ)
	if typ < len(dccpTypes) {
		s.kind = "[" + dccpTypes[typ] + "]"
	}
	seq := func(b []byte) uint64 {
		return uint64(binary.BigEndian.Uint16(b))<<32 | uint64(binary.BigEndian.Uint32(b[2:]))
	}
	if b[8]&1 == 0 || len(b) < 16 { // short sequence numbers
		s.detail = fmt.Sprintf("seq %d", uint32(b[9])<<16|uint32(binary.BigEndian.Uint16(b[10:])))
		return
	}
	s.detail = fmt.Sprintf("seq %d", seq(b[10:]))
	if typ != 0 && typ != 2 && len(b) >= 24 {
		s.detail += fmt.Sprintf(" ack %d", seq(b[18:]))
	}
}

// gre tells what RFC 2784, RFC 2890 and (version 1) RFC 2637 put into the header.
func (h *header) gre(b []byte) segment {
	if len(b) < 4 {
		return segment{kind: "damaged:", detail: fmt.Sprintf("%d bytes", len(b))}
	}
	kind := binary.BigEndian.Uint16(b[2:])
	s := segment{kind: fmt.Sprintf("v%d ethertype %#04x", b[1]&7, kind)}
	at := 4
	if b[0]&0x80 != 0 { // checksum and what is reserved
		at += 4
	}
	if b[0]&0x20 != 0 && len(b) >= at+4 {
		if b[1]&7 == 1 {
			s.detail = fmt.Sprintf("call %d ", binary.BigEndian.Uint16(b[at+2:]))
		} else {
			s.detail = fmt.Sprintf("key %#x ", binary.BigEndian.Uint32(b[at:]))
		}
	}
	s.detail += fmt.Sprintf("len %d", len(b)-4)
	return s
}
