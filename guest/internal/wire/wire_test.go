package wire

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var (
	orig  = netip.MustParseAddrPort("198.18.0.2:10000")
	reply = netip.MustParseAddrPort("192.0.2.1:80")
)

var (
	addresses = cmpopts.EquateComparable(netip.AddrPort{})
	noData    = cmpopts.IgnoreFields(Seen{}, "Data")
)

// A conversation keeps its sequence numbers as RFC 9293 counts them.
func TestFlow(t *testing.T) {
	f := TCP(orig, reply)
	for i, step := range []struct {
		pkt  Packet
		want Seen
	}{
		{f.Orig(SYN), Seen{Proto: "tcp", Src: orig, Dst: reply, Flags: SYN, Seq: OrigISN}},
		{f.Reply(SYN | ACK), Seen{Proto: "tcp", Src: reply, Dst: orig, Flags: SYN | ACK, Seq: ReplyISN, Ack: OrigISN + 1}},
		{f.Orig(ACK), Seen{Proto: "tcp", Src: orig, Dst: reply, Flags: ACK, Seq: OrigISN + 1, Ack: ReplyISN + 1}},
		{f.Orig(PSH|ACK, Payload("hello")), Seen{Proto: "tcp", Src: orig, Dst: reply, Flags: PSH | ACK, Seq: OrigISN + 1, Ack: ReplyISN + 1, Payload: 5}},
		{f.Orig(FIN | ACK), Seen{Proto: "tcp", Src: orig, Dst: reply, Flags: FIN | ACK, Seq: OrigISN + 6, Ack: ReplyISN + 1}},
		{f.Reply(ACK), Seen{Proto: "tcp", Src: reply, Dst: orig, Flags: ACK, Seq: ReplyISN + 1, Ack: OrigISN + 7}},
		{f.Reply(RST|ACK, Seq(5), Ack(6)), Seen{Proto: "tcp", Src: reply, Dst: orig, Flags: RST | ACK, Seq: 5, Ack: 6}},
		{f.Reply(ACK), Seen{Proto: "tcp", Src: reply, Dst: orig, Flags: ACK, Seq: ReplyISN + 1, Ack: OrigISN + 7}},
	} {
		got, err := Parse(step.pkt.Data)
		if err != nil {
			t.Fatalf("packet %d: %v", i, err)
		}
		if diff := cmp.Diff(step.want, got, addresses, noData); diff != "" {
			t.Errorf("packet %d: %s", i, diff)
		}
	}
}

// After a real socket answered, what follows acknowledges its number.
func TestHeardReply(t *testing.T) {
	f := TCP(orig, reply)
	f.Orig(SYN)
	f.HeardReply(Seen{Flags: SYN | ACK, Seq: 77})
	got, err := Parse(f.Orig(ACK).Data)
	if err != nil {
		t.Fatal(err)
	}
	if got.Ack != 78 {
		t.Errorf("acknowledges %d, want 78", got.Ack)
	}
}

func TestUDP(t *testing.T) {
	got, err := Parse(UDP(orig, reply, "control").Data)
	if err != nil {
		t.Fatal(err)
	}
	want := Seen{Proto: "udp", Src: orig, Dst: reply, Payload: 7}
	if diff := cmp.Diff(want, got, addresses, noData); diff != "" {
		t.Error(diff)
	}
}

func TestFlagNames(t *testing.T) {
	for flags, want := range map[Flags]string{0: "none", SYN | ACK: "SYN+ACK", FIN | PSH | URG: "FIN+PSH+URG"} {
		if got := flags.String(); got != want {
			t.Errorf("flags %#x are written %q, want %q", uint8(flags), got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(TCP(orig, reply).Orig(SYN).Data)
	f.Add(UDP(orig, reply, "x").Data)
	f.Add(UDP(netip.MustParseAddrPort("[::1]:1"), netip.MustParseAddrPort("[::1]:2"), "x").Data)
	f.Add(UDP(orig, netip.MustParseAddrPort("192.0.2.1:53"), "x").Data)
	f.Add(UDP(orig, netip.MustParseAddrPort("192.0.2.1:4789"), string(UDP(orig, reply, "tunnel").Data)).Data)
	f.Add(Echo(orig.Addr(), reply.Addr(), false, 7, 1).Data)
	f.Add(Echo(netip.MustParseAddr("::1"), netip.MustParseAddr("::2"), true, 7, 1).Data)
	f.Add(Fragments(UDP(orig, reply, string(make([]byte, 100))), 7, 40)[1].Data)
	f.Add([]byte{0x45})
	f.Add([]byte{0x60})
	f.Fuzz(func(t *testing.T, b []byte) {
		seen, err := Parse(b)
		if err == nil && seen.Payload > len(b) {
			t.Errorf("payload of %d bytes in a packet of %d", seen.Payload, len(b))
		}
		whole, wrong := layered(b)
		if (err == nil) != (wrong == nil) {
			t.Errorf("read at once %v, layer by layer %v", err, wrong)
		}
		if diff := cmp.Diff(whole, seen, addresses); diff != "" {
			t.Errorf("read layer by layer, and at once: %s", diff)
		}
	})
}

// The same conversation over IPv6, whose packets are parsed by their version.
func TestFlow6(t *testing.T) {
	from, to := netip.MustParseAddrPort("[2001:db8:1::2]:10000"), netip.MustParseAddrPort("[2001:db8:2::2]:80")
	for name, c := range map[string]struct {
		pkt  Packet
		want Seen
	}{
		"tcp": {TCP(from, to).Orig(SYN), Seen{Proto: "tcp", Src: from, Dst: to, Flags: SYN, Seq: OrigISN}},
		"udp": {UDP(from, to, "abc"), Seen{Proto: "udp", Src: from, Dst: to, Payload: 3}},
	} {
		got, err := Parse(c.pkt.Data)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, got, addresses, noData); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if sum := checksum(from.Addr(), to.Addr(), c.pkt.Data[6], c.pkt.Data[40:]); sum != 0 {
			t.Errorf("%s: the sum is wrong by %#x", name, sum)
		}
	}
}

// A header with options ends at a multiple of four bytes, and tells where.
func TestTCPOptions(t *testing.T) {
	f := TCP(orig, reply)
	pkt := f.Orig(SYN, Window(1024), MSS(1460), WindowScale(7), SACKPermitted(), Timestamp(1, 0))
	head := pkt.Data[20:]
	if got := int(head[12]>>4) * 4; got != len(head) || got != 20+20 {
		t.Errorf("header of %d bytes says %d", len(head), got)
	}
	const want = "020405b4" + "030307" + "0402" + "080a0000000100000000" + "00"
	if got := hex.EncodeToString(head[20:]); got != want {
		t.Errorf("options %s, want %s", got, want)
	}
	if head[14] != 4 || head[15] != 0 {
		t.Errorf("window %x", head[14:16])
	}
	sack := f.Orig(ACK, SACK(5, 6)).Data[40:]
	if got := hex.EncodeToString(sack); got != "050a00000005000000060000" {
		t.Errorf("SACK %s", got)
	}
}

func TestICMPError(t *testing.T) {
	inner := UDP(orig, reply, "x")
	pkt := ICMPError(reply.Addr(), orig.Addr(), 3, 4, 1400, inner.Data)
	got, err := Parse(pkt.Data)
	if err != nil {
		t.Fatal(err)
	}
	if got.Proto != "icmp" || got.Type != 3 || got.Code != 4 || got.Src.Addr() != reply.Addr() {
		t.Errorf("parsed as %+v", got)
	}
	if !bytes.Equal(pkt.Data[24:28], []byte{0, 0, 1400 >> 8, 1400 & 255}) || !bytes.Equal(pkt.Data[28:], inner.Data) {
		t.Errorf("behind the header: %x", pkt.Data[24:])
	}
	from, to := netip.MustParseAddr("2001:db8:1::2"), netip.MustParseAddr("2001:db8:2::2")
	got, err = Parse(ICMPError(from, to, 2, 0, 1280, inner.Data).Data)
	if err != nil {
		t.Fatal(err)
	}
	if got.Proto != "icmpv6" || got.Type != 2 || got.Payload != 4+len(inner.Data) {
		t.Errorf("parsed as %+v", got)
	}
}

// Damage goes to a copy.
func TestDamage(t *testing.T) {
	whole := UDP(orig, reply, "x")
	before := slices.Clone(whole.Data)
	if got := whole.Set(26, 0xff, 0xfe).Data; got[26] != 0xff || got[27] != 0xfe || len(got) != len(before) {
		t.Errorf("set: %x", got)
	}
	if got := whole.Cut(24).Data; !bytes.Equal(got, before[:24]) {
		t.Errorf("cut: %x", got)
	}
	if !bytes.Equal(whole.Data, before) {
		t.Error("the whole packet was changed")
	}
}
