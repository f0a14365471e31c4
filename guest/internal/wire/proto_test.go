package wire

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// The packets byte by byte, from the headers as the RFCs draw them; sums by hand.
func TestProtocols(t *testing.T) {
	const ip4 = "c6120002" + "c0000201" // the addresses
	for name, c := range map[string]struct {
		pkt   Packet
		proto byte
		want  string // behind the IPv4 header
	}{
		"unknown": {Datagram(orig.Addr(), reply.Addr(), ProtoUnknown, []byte{1, 2}), 253, "0102"},
		"echo":    {Echo(orig.Addr(), reply.Addr(), false, 7, 1), 1, "0800f7f700070001"},
		"reply":   {Echo(orig.Addr(), reply.Addr(), true, 7, 1), 1, "0000fff700070001"},
		"gre":     {GRE(orig.Addr(), reply.Addr()), 47, "00000800" + hex.EncodeToString([]byte("inside"))},
		"init": {SCTP(orig, reply, 0, Init), 132, "27100050" + "00000000" + "3b9fd1ed" +
			"01000014" + "00001234" + "0000ffff" + "00010001" + "00000001"},
		"cookie": {SCTP(orig, reply, 9, CookieEcho), 132, "27100050" + "00000009" + "1b1ba49e" + "0a000008" + "00000000"},
		"request": {DCCP(orig, reply, DCCPRequest, 1<<32+2, 0), 33, "27100050" + "0500" + "4a51" +
			"01" + "00" + "000100000002" + "00000000"},
		"ack": {DCCP(orig, reply, DCCPAck, 3, 4), 33, "27100050" + "0600" + "4349" + "07" + "00" + "000000000003" + "0000" + "000000000004"},
	} {
		t.Run(name, func(t *testing.T) {
			data := c.pkt.Data
			if data[9] != c.proto || hex.EncodeToString(data[12:20]) != ip4 {
				t.Errorf("header %x", data[:20])
			}
			got := hex.EncodeToString(data[20:])
			if name == "init" || name == "cookie" {
				got, c.want = got[:16]+got[24:], c.want[:16]+c.want[24:] // the checksum has a test of its own
			}
			if got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// A receiver adds the checksum in and must find all ones.
func TestChecksums(t *testing.T) {
	for name, c := range map[string]struct {
		pkt   Packet
		proto uint8
	}{
		"dccp":     {DCCP(orig, reply, DCCPResponse, 1, 2), ProtoDCCP},
		"udp-lite": {UDPLite(orig, reply, "odd"), ProtoUDPLite},
	} {
		if got := checksum(orig.Addr(), reply.Addr(), c.proto, c.pkt.Data[20:]); got != 0 {
			t.Errorf("%s: the sum is wrong by %#x", name, got)
		}
	}
	// SCTP has a CRC of the packet with a zero in its place, least byte first
	// (RFC 9260, appendix A).
	data := bytes.Clone(SCTP(orig, reply, 1, Abort).Data[20:])
	got := binary.LittleEndian.Uint32(data[8:])
	clear(data[8:12])
	if want := crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli)); got != want {
		t.Errorf("sctp: the sum is %#x, want %#x", got, want)
	}
}

func TestEcho6(t *testing.T) {
	from, to := netip.MustParseAddr("2001:db8:1::2"), netip.MustParseAddr("2001:db8:2::2")
	for _, reply := range []bool{false, true} {
		pkt := gopacket.NewPacket(Echo(from, to, reply, 7, 1).Data, layers.LayerTypeIPv6, gopacket.Default)
		icmp, ok := pkt.Layer(layers.LayerTypeICMPv6).(*layers.ICMPv6)
		if !ok {
			t.Fatalf("no ICMPv6 in %v", pkt)
		}
		want := uint8(layers.ICMPv6TypeEchoRequest)
		if reply {
			want = layers.ICMPv6TypeEchoReply
		}
		if icmp.TypeCode.Type() != want || icmp.Checksum == 0 {
			t.Errorf("type %d, checksum %#x", icmp.TypeCode.Type(), icmp.Checksum)
		}
	}
}
