package wire

import (
	"net/netip"
	"testing"
)

// What an error tells of, and which sums are right, is read from its bytes alone.
func TestInner(t *testing.T) {
	from6, to6 := netip.MustParseAddrPort("[2001:db8:1::2]:10000"), netip.MustParseAddrPort("[2001:db8:2::2]:53")
	udp4, udp6 := UDP(orig, reply, "x"), UDP(from6, to6, "x")
	for name, c := range map[string]struct {
		pkt         Packet
		inner, sums string
	}{
		"error": {ICMPError(reply.Addr(), orig.Addr(), 3, 3, 0, udp4.Data),
			"198.18.0.2:10000 -> 192.0.2.1:80", "ip right, icmp right, inner ip right, inner udp right"},
		"error 6": {ICMPError(to6.Addr(), from6.Addr(), 1, 4, 0, udp6.Data),
			"[2001:db8:1::2]:10000 -> [2001:db8:2::2]:53", "icmpv6 right, inner udp right"},
		"wrong inner sum": {ICMPError(reply.Addr(), orig.Addr(), 3, 3, 0, udp4.Set(26, 1, 2).Data),
			"198.18.0.2:10000 -> 192.0.2.1:80", "ip right, icmp right, inner ip right, inner udp wrong"},
		"wrong sums": {ICMPError(reply.Addr(), orig.Addr(), 3, 3, 0, udp4.Data).Set(8, 3).Set(22, 1, 2),
			"198.18.0.2:10000 -> 192.0.2.1:80", "ip wrong, icmp wrong, inner ip right, inner udp right"},
		"about an echo": {ICMPError(reply.Addr(), orig.Addr(), 11, 0, 0, Echo(orig.Addr(), reply.Addr(), false, 7, 1).Data),
			"198.18.0.2 -> 192.0.2.1", "ip right, icmp right, inner ip right, inner icmp right"},
		"no error":   {Echo(orig.Addr(), reply.Addr(), false, 7, 1), "none", "ip right, icmp right"},
		"no packet":  {ICMPError(reply.Addr(), orig.Addr(), 3, 3, 0, nil), "none", "ip right, icmp right"},
		"a datagram": {udp4, "none", "ip right, udp right"},
		"a segment":  {TCP(from6, to6).Orig(SYN), "none", "tcp right"},
		"unknown":    {GRE(orig.Addr(), reply.Addr()), "none", "ip right"},
	} {
		seen, err := Parse(c.pkt.Data)
		if err != nil {
			t.Fatal(err)
		}
		if got := Inner(seen); got != c.inner {
			t.Errorf("%s: tells of %q, want %q", name, got, c.inner)
		}
		if got := Sums(seen); got != c.sums {
			t.Errorf("%s: sums %q, want %q", name, got, c.sums)
		}
	}
}
