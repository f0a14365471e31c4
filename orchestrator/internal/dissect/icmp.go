package dissect

import (
	"encoding/binary"
	"fmt"
)

// The messages of ICMP and ICMPv6, and the codes of their errors, as tcpdump and
// the registers of IANA have them, in short.
var (
	icmpTypes = map[byte]string{
		0: "echo reply", 3: "unreachable", 4: "source quench", 5: "redirect", 8: "echo request", 11: "time exceeded",
		12: "parameter problem", 13: "timestamp request", 14: "timestamp reply", 15: "information request",
		16: "information reply", 17: "mask request", 18: "mask reply",
	}
	icmpCodes = map[[2]byte]string{
		{3, 0}: "net", {3, 1}: "host", {3, 2}: "protocol", {3, 3}: "port", {3, 4}: "need to frag", {3, 5}: "source route",
		{3, 9}: "net prohibited", {3, 10}: "host prohibited", {3, 13}: "admin prohibited",
		{11, 0}: "in transit", {11, 1}: "reassembly",
	}
	icmp6Types = map[byte]string{
		1: "unreachable", 2: "packet too big", 3: "time exceeded", 4: "parameter problem", 128: "echo request", 129: "echo reply",
		130: "listener query", 131: "listener report", 132: "listener done", 133: "router solicitation", 134: "router advertisement",
		135: "neighbour solicitation", 136: "neighbour advertisement", 137: "redirect", 143: "listener report v2",
		139: "information request", 140: "information reply",
	}
	icmp6Codes = map[[2]byte]string{
		{1, 0}: "no route", {1, 1}: "admin prohibited", {1, 3}: "address", {1, 4}: "port", {3, 0}: "in transit", {3, 1}: "reassembly",
	}
)

func (h *header) icmp(b []byte, types map[byte]string, codes map[[2]byte]string) segment {
	if len(b) < 4 {
		return segment{kind: "damaged:", detail: fmt.Sprintf("%d bytes", len(b))}
	}
	typ, code := b[0], b[1]
	name, known := types[typ]
	if !known {
		name = fmt.Sprintf("type %d", typ)
	}
	if word, ok := codes[[2]byte{typ, code}]; ok {
		name += " " + word
	} else if code != 0 || !known {
		name += fmt.Sprintf(" code %d", code)
	}
	s := segment{kind: name, proto: true}
	if len(b) < 8 {
		s.detail = fmt.Sprintf("(%d bytes)", len(b))
		return s
	}
	v4 := h.proto == 1
	rest := binary.BigEndian.Uint32(b[4:])
	switch {
	case v4 && (typ == 0 || typ == 8 || typ >= 13 && typ <= 18), !v4 && (typ == 128 || typ == 129):
		s.detail = fmt.Sprintf("id %d seq %d len %d", rest>>16, rest&0xffff, len(b)-8)
		return s
	case v4 && typ == 3 && code == 4, !v4 && typ == 2:
		s.detail = fmt.Sprintf("mtu %d", rest)
	case v4 && (typ == 5 || typ == 12) || !v4 && typ == 4:
		s.detail = fmt.Sprintf("%#x", rest)
	case !v4 && typ >= 130:
		s.detail = fmt.Sprintf("len %d", len(b)-8)
		return s
	}
	isError := v4 && (typ >= 3 && typ <= 5 || typ == 11 || typ == 12) || !v4 && typ < 128
	if isError && len(b) > 8 {
		inner := packet(b[8:], h.depth+1)
		s.inner = &inner
	}
	return s
}
