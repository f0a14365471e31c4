package wire

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var (
	orig  = netip.MustParseAddrPort("198.18.0.2:10000")
	reply = netip.MustParseAddrPort("192.0.2.1:80")
)

var addresses = cmpopts.EquateComparable(netip.AddrPort{})

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
		if diff := cmp.Diff(step.want, got, addresses); diff != "" {
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
	if diff := cmp.Diff(want, got, addresses); diff != "" {
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
	f.Add([]byte{0x45})
	f.Fuzz(func(t *testing.T, b []byte) {
		if seen, err := Parse(b); err == nil && seen.Payload > len(b) {
			t.Errorf("payload of %d bytes in a packet of %d", seen.Payload, len(b))
		}
	})
}
