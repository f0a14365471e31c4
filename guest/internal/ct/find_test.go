package ct

import (
	"encoding/hex"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ctmatrix/ctmatrix/guest/internal/nfnl"
	"github.com/ctmatrix/ctmatrix/guest/internal/wire"
)

// A tuple is asked for by the attributes that the kernel wants for its protocol.
func TestTupleAttr(t *testing.T) {
	src, dst := netip.MustParseAddrPort("198.18.0.2:10000"), netip.MustParseAddrPort("192.0.2.1:80")
	src6, dst6 := netip.MustParseAddr("2001:db8:1::2"), netip.MustParseAddr("2001:db8:2::2")
	for _, c := range []struct {
		tuple wire.Tuple
		names string
	}{
		{wire.Tuple{Proto: unix.IPPROTO_TCP, Src: src, Dst: dst}, "ip(v4-src v4-dst) proto(num src-port dst-port)"},
		{wire.Tuple{Proto: unix.IPPROTO_ICMP, Src: src, Dst: dst, Type: 8, ID: 7}, "ip(v4-src v4-dst) proto(num icmp-id icmp-type icmp-code)"},
		{wire.Tuple{Proto: unix.IPPROTO_ICMPV6, Src: netip.AddrPortFrom(src6, 0), Dst: netip.AddrPortFrom(dst6, 0), Type: 128},
			"ip(v6-src v6-dst) proto(num icmpv6-id icmpv6-type icmpv6-code)"},
	} {
		if got := names(nfnl.Attr(tupleAttr(c.tuple), 1), tupleAttrs); got != c.names {
			t.Errorf("%+v: %s, want %s", c.tuple, got, c.names)
		}
	}
	attr := nfnl.Attr(tupleAttr(wire.Tuple{Proto: unix.IPPROTO_TCP, Src: src, Dst: dst}), 1)
	if port := nfnl.Attr(nfnl.Attr(attr, 2), 3); hex.EncodeToString(port) != "0050" {
		t.Errorf("destination port %x", port)
	}
}

func TestFound(t *testing.T) {
	// status (seen reply, assured, confirmed), protoinfo of TCP in state 3, timeout, id
	attrs, err := hex.DecodeString("08000300" + "0000000e" + "10000480" + "0c000180" + "05000100" + "03000000" +
		"08000700" + "00069780" + "08000c00" + "01020304")
	if err != nil {
		t.Fatal(err)
	}
	got := found(Message{nfnl.Message{Attrs: attrs}}, unix.IPPROTO_TCP)
	if want := (Found{Text: "tcp ESTABLISHED assured", Seconds: 432000, ID: 0x01020304}); *got != want {
		t.Errorf("%+v, want %+v", *got, want)
	}
	if got := found(Message{}, unix.IPPROTO_UDP); *got != (Found{Text: "udp unreplied"}) {
		t.Errorf("of no attributes: %+v", *got)
	}
}
