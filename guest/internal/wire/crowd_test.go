package wire

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A crowd's packets are those that each of its flows makes.
func TestCrowd(t *testing.T) {
	flows := func() (fs []*Flow) {
		for i := range uint16(300) {
			fs = append(fs, TCP(netip.AddrPortFrom(orig.Addr(), 10000+i*217), reply))
		}
		fs[7] = TCP(netip.AddrPortFrom(orig.Addr().Next(), 7), reply)
		fs[8].Skip(5)
		fs[9] = TCP(orig, netip.AddrPortFrom(reply.Addr(), 81))
		return append(fs, TCP(netip.MustParseAddrPort("[::1]:1"), netip.MustParseAddrPort("[::2]:2")))
	}
	at, each := flows(), flows()
	for _, flags := range []Flags{SYN, SYN | ACK, ACK, PSH | ACK, FIN | ACK, ACK} {
		opts := []Option{Payload("data"), SeqBy(1)}
		got, back := Origs(at, flags, opts...), Replies(at, flags)
		for i, f := range each {
			if diff := cmp.Diff(f.Orig(flags, opts...), got[i]); diff != "" {
				t.Fatalf("%s of flow %d: %s", flags, i, diff)
			}
			if diff := cmp.Diff(f.Reply(flags), back[i]); diff != "" {
				t.Fatalf("%s back of flow %d: %s", flags, i, diff)
			}
		}
	}
}

// A packet with another word is the one that is built with it, for every word.
func TestReworded(t *testing.T) {
	base, echo := UDP(orig, reply, "x"), Echo(orig.Addr(), reply.Addr(), false, 7, 1)
	v6, w6 := netip.MustParseAddrPort("[2001:db8::1]:5"), netip.MustParseAddrPort("[2001:db8::2]:6")
	base6 := UDP(v6, w6, "xyz")
	for n := range 1 << 16 {
		word := uint16(n)
		for name, c := range map[string][2]Packet{
			"from": {UDP(netip.AddrPortFrom(orig.Addr(), word), reply, "x"), base.FromPort(word)},
			"to":   {UDP(orig, netip.AddrPortFrom(reply.Addr(), word), "x"), base.ToPort(word)},
			"v6":   {UDP(v6, netip.AddrPortFrom(w6.Addr(), word), "xyz"), base6.ToPort(word)},
			"echo": {Echo(orig.Addr(), reply.Addr(), false, word, 1), echo.WithID(word)},
		} {
			if want, got := fmt.Sprintf("%x", c[0].Data), fmt.Sprintf("%x", c[1].Data); got != want {
				t.Fatalf("%s %d: %s, want %s", name, n, got, want)
			}
		}
	}
}
