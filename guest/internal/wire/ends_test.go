package wire

import (
	"net/netip"
	"testing"
)

func TestEnds(t *testing.T) {
	a, b := netip.MustParseAddr("198.18.0.2"), netip.MustParseAddr("198.19.0.2")
	a6, b6 := netip.MustParseAddr("2001:db8:1::2"), netip.MustParseAddr("2001:db8:2::2")
	at := netip.AddrPortFrom
	for _, test := range []struct {
		pkt  Packet
		want string
		id   uint16
	}{
		{TCP(at(a, 10000), at(b, 80)).Orig(SYN), "198.18.0.2:10000 -> 198.19.0.2:80", 10000},
		{UDP(at(a6, 10000), at(b6, 53), "x"), "[2001:db8:1::2]:10000 -> [2001:db8:2::2]:53", 10000},
		{SCTP(at(a, 10000), at(b, 9), 0, Init), "198.18.0.2:10000 -> 198.19.0.2:9", 10000},
		{UDPLite(at(a, 10000), at(b, 9), "x"), "198.18.0.2:10000 -> 198.19.0.2:9", 10000},
		{DCCP(at(a, 10000), at(b, 9), DCCPRequest, 1, 0), "198.18.0.2:10000 -> 198.19.0.2:9", 10000},
		{Echo(a, b, false, 7, 1), "198.18.0.2 -> 198.19.0.2 id 7", 7},
		{Echo(b6, a6, true, 7, 1), "2001:db8:2::2 -> 2001:db8:1::2 id 7", 7},
		{GRE(a, b), "198.18.0.2 -> 198.19.0.2", 0},
	} {
		s, err := Parse(test.pkt.Data)
		if err != nil {
			t.Fatal(err)
		}
		if got := Ends(s); got != test.want || SourceID(s) != test.id {
			t.Errorf("Ends = %s, SourceID = %d, want %s, %d", got, SourceID(s), test.want, test.id)
		}
		if !Intact(s) {
			t.Errorf("%s is not intact", test.want)
		}
	}
}

func TestSent(t *testing.T) {
	at := netip.MustParseAddrPort
	pkt := TCP(at("198.19.0.2:80"), at("198.18.0.2:10000")).Orig(SYN | ACK).Sent(at("203.0.113.1:5000"))
	s, err := Parse(pkt.Data)
	if err != nil {
		t.Fatal(err)
	}
	if got := Ends(s); got != "198.19.0.2:80 -> 203.0.113.1:5000" || !Intact(s) {
		t.Errorf("Sent = %s, intact %t", got, Intact(s))
	}
	broken := pkt.Set(16, 1)
	if s.Data = broken.Data; Intact(s) {
		t.Error("a packet whose address was changed is intact")
	}
}
