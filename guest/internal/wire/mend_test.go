package wire

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"testing"
)

// What was damaged and mended again is what it was, over both versions of IP.
func TestMended(t *testing.T) {
	orig6, reply6 := netip.MustParseAddrPort("[2001:db8:1::2]:10000"), netip.MustParseAddrPort("[2001:db8:2::2]:80")
	for name, c := range map[string]struct {
		pkt Packet
		at  int
	}{
		"tcp":    {TCP(orig, reply).Orig(SYN, MSS(1460)), 20 + 16},
		"tcp6":   {TCP(orig6, reply6).Orig(SYN), 40 + 16},
		"udp6":   {UDP(orig6, reply6, "odd"), 40 + 6},
		"icmp":   {Echo(orig.Addr(), reply.Addr(), false, 7, 1), 20 + 2},
		"icmpv6": {Echo(orig6.Addr(), reply6.Addr(), false, 7, 1), 40 + 2},
		"sctp":   {SCTP(orig, reply, 1, Abort), 20 + 8},
		"dccp":   {DCCP(orig, reply, DCCPRequest, 1, 0), 20 + 6},
		"gre":    {GRE(orig.Addr(), reply.Addr()), 20},
	} {
		bad := c.pkt.Set(c.at, 0xde, 0xad)
		if name == "gre" {
			bad = c.pkt
		}
		if got := bad.Mended(); !bytes.Equal(got.Data, c.pkt.Data) {
			t.Errorf("%s: got  %x\nwant %x", name, got.Data, c.pkt.Data)
		}
	}
	short := TCP(orig, reply).Orig(SYN).Shorten(17)
	if got := short.Mended(); !bytes.Equal(got.Data, short.Data) {
		t.Errorf("short: %x", got.Data)
	}
}

// Headers say what is behind them after a change.
func TestCarry(t *testing.T) {
	pkt := UDP(orig, reply, "payload").Shorten(9)
	if len(pkt.Data) != 29 || pkt.Data[3] != 29 || onesComplement(pkt.Data[:20]) != 0 {
		t.Errorf("shortened: %x", pkt.Data)
	}
	pkt = UDP(orig, reply, "x").WithOptions(1, 1, 7, 3, 4)
	if len(pkt.Data) != 20+8+9 || pkt.Data[0] != 0x47 || onesComplement(pkt.Data[:28]) != 0 {
		t.Errorf("with options: %x", pkt.Data)
	}
}

func TestExtended(t *testing.T) {
	from, to := netip.MustParseAddrPort("[2001:db8:1::2]:10000"), netip.MustParseAddrPort("[2001:db8:2::2]:80")
	got := UDP(from, to, "x").Extended(Extension{0, []byte{0, 1, 4, 0, 0, 0, 0}}, Extension{60, []byte{0, 1, 4, 0, 0, 0, 0}}).Data
	if got[6] != 0 || got[5] != 16+9 || hex.EncodeToString(got[40:56]) != "3c00010400000000"+"1100010400000000" {
		t.Errorf("extended: %x", got)
	}
}
