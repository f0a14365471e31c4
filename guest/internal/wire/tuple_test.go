package wire

import (
	"net/netip"
	"testing"
)

func TestTupleOf(t *testing.T) {
	a, b := netip.MustParseAddrPort("198.18.0.2:10000"), netip.MustParseAddrPort("198.19.0.2:53")
	a6, b6 := netip.MustParseAddrPort("[2001:db8:1::2]:10000"), netip.MustParseAddrPort("[2001:db8:2::2]:53")
	bare := func(ap netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(ap.Addr(), 0) }
	datagram := UDP(a, b, "question")
	pieces := Fragments(UDP(a, b, string(make([]byte, 100))), 7, 40)
	pieces6 := Fragments(UDP(a6, b6, string(make([]byte, 100))), 7, 40)
	for name, c := range map[string]struct {
		packet Packet
		want   Tuple
		ok     bool
	}{
		"tcp":        {TCP(a, b).Orig(SYN), Tuple{Proto: 6, Src: a, Dst: b}, true},
		"udp v6":     {UDP(a6, b6, ""), Tuple{Proto: 17, Src: a6, Dst: b6}, true},
		"echo":       {Echo(a.Addr(), b.Addr(), false, 7, 1), Tuple{Proto: 1, Src: bare(a), Dst: bare(b), ID: 7, Type: 8}, true},
		"echo reply": {Echo(a6.Addr(), b6.Addr(), true, 7, 1), Tuple{Proto: 58, Src: bare(a6), Dst: bare(b6), ID: 7, Type: 129}, true},
		"error":      {ICMPError(b.Addr(), a.Addr(), 3, 3, 0, datagram.Data), Tuple{Proto: 17, Src: b, Dst: a}, true},
		"error in error": {ICMPError(b.Addr(), a.Addr(), 3, 3, 0, ICMPError(a.Addr(), b.Addr(), 3, 3, 0, datagram.Data).Data),
			Tuple{}, false},
		"gre":            {GRE(a.Addr(), b.Addr()), Tuple{Proto: 47, Src: bare(a), Dst: bare(b)}, true},
		"unknown":        {Datagram(a.Addr(), b.Addr(), ProtoUnknown, []byte("x")), Tuple{Proto: 253, Src: bare(a), Dst: bare(b)}, true},
		"first piece":    {pieces[0], Tuple{Proto: 17, Src: a, Dst: b}, true},
		"later piece":    {pieces[1], Tuple{}, false},
		"first piece v6": {pieces6[0], Tuple{Proto: 17, Src: a6, Dst: b6}, true},
		"later piece v6": {pieces6[1], Tuple{}, false},
		"cut short":      {datagram.Cut(22), Tuple{}, false},
		"no packet":      {Packet{}, Tuple{}, false},
	} {
		got, part, ok := TupleOf(c.packet.Data)
		if ok != c.ok || ok && got != c.want {
			t.Errorf("%s: %+v, %v; want %+v, %v", name, got, ok, c.want, c.ok)
		}
		if piece := name == "first piece" || name == "later piece" || name == "first piece v6" || name == "later piece v6"; piece != (part != nil) {
			t.Errorf("%s: part %v", name, part)
		}
	}
	_, first, _ := TupleOf(pieces6[0].Data)
	if _, later, _ := TupleOf(pieces6[2].Data); *first != *later {
		t.Errorf("pieces of one packet are of %+v and %+v", *first, *later)
	}
	echo, _, _ := TupleOf(Echo(a.Addr(), b.Addr(), false, 7, 1).Data)
	if reply, _, _ := TupleOf(Echo(b.Addr(), a.Addr(), true, 7, 1).Data); echo.Inverse() != reply || reply.Inverse() != echo {
		t.Errorf("echo %+v has the inverse %+v, and its reply is %+v", echo, echo.Inverse(), reply)
	}
}

// Whatever a packet says, reading its tuple ends.
func FuzzTupleOf(f *testing.F) {
	a, b := netip.MustParseAddrPort("[2001:db8:1::2]:10000"), netip.MustParseAddrPort("[2001:db8:2::2]:53")
	f.Add(UDP(a, b, "x").Data)
	f.Add(Fragments(UDP(a, b, string(make([]byte, 100))), 7, 40)[1].Data)
	f.Add(ICMPError(b.Addr(), a.Addr(), 1, 4, 0, UDP(a, b, "x").Data).Data)
	f.Fuzz(func(t *testing.T, data []byte) {
		if tuple, _, ok := TupleOf(data); ok && tuple.Inverse().Inverse() != tuple {
			t.Errorf("the inverse of the inverse of %+v is %+v", tuple, tuple.Inverse().Inverse())
		}
	})
}
