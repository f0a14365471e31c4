package ct

import (
	"net/netip"
	"testing"

	"github.com/ti-mo/conntrack"
	"golang.org/x/sys/unix"
)

func TestExpectation(t *testing.T) {
	tuple := func(src, dst string, sport, dport uint16) conntrack.Tuple {
		return conntrack.Tuple{
			IP:    conntrack.IPTuple{SourceAddress: netip.MustParseAddr(src), DestinationAddress: netip.MustParseAddr(dst)},
			Proto: conntrack.ProtoTuple{Protocol: unix.IPPROTO_TCP, SourcePort: sport, DestinationPort: dport},
		}
	}
	a, b := "198.19.0.2", "198.18.0.2"
	for want, x := range map[string]conntrack.Expect{
		"tcp 198.19.0.2:any -> 198.18.0.2:20000":                   {Tuple: tuple(a, b, 0, 20000), Mask: tuple("255.255.255.255", "255.255.255.255", 0, 65535)},
		"tcp any:any -> 198.18.0.2:20000 permanent userspace":      {Tuple: tuple(a, b, 5, 20000), Mask: tuple("0.0.0.0", "255.255.255.255", 0, 65535), Flags: 5},
		"tcp 198.19.0.2:20 -> 198.18.0.2:20000 class 1 zone 3 nat": {Tuple: tuple(a, b, 20, 20000), Mask: tuple("255.255.255.255", "255.255.255.255", 65535, 65535), Class: 1, Zone: 3, NAT: conntrack.ExpectNAT{Tuple: tuple(b, a, 1, 2)}},
	} {
		if got := expectation(x).String(); got != want {
			t.Errorf("expectation %q, want %q", got, want)
		}
	}
}
