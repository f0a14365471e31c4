package wire

import (
	"net/netip"
	"testing"
)

func TestOffers(t *testing.T) {
	f := TCP(netip.MustParseAddrPort("198.18.0.2:10000"), netip.MustParseAddrPort("198.19.0.2:80"))
	none := f.Orig(ACK)
	all := f.Orig(ACK, MSS(1460), SACKPermitted(), Timestamp(7, 9), WindowScale(5))
	for want, p := range map[string]Packet{
		"none": none,
		"mss 1460, sack permitted, timestamps, window scale 5": all,
	} {
		if got := Offers(parsed(t, p)); got != want {
			t.Errorf("offers %q, want %q", got, want)
		}
	}
	value, echo, ok := TimestampOf(parsed(t, all))
	if value != 7 || echo != 9 || !ok {
		t.Errorf("timestamp %d, echo %d, %v", value, echo, ok)
	}
	if _, _, ok := TimestampOf(parsed(t, none)); ok {
		t.Error("a timestamp where there is none")
	}
	if got := WindowOf(parsed(t, f.Orig(ACK, Window(1234)))); got != 1234 {
		t.Errorf("window %d, want 1234", got)
	}
}

// What is said of options that are wrong is about them, and ends.
func FuzzOffers(f *testing.F) {
	f.Add([]byte{2, 4, 5, 180, 1, 3, 3, 7, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 4, 2})
	f.Add([]byte{8, 1, 8, 200, 2})
	p := TCP(netip.MustParseAddrPort("198.18.0.2:10000"), netip.MustParseAddrPort("198.19.0.2:80")).Orig(SYN)
	f.Fuzz(func(t *testing.T, options []byte) {
		if len(options) > 40 || len(options)%4 != 0 {
			return
		}
		data := append(append([]byte{}, p.Data[:40]...), options...)
		data[32] = byte(5+len(options)/4) << 4
		s := Seen{Data: data, Proto: "tcp"}
		if Offers(s) == "" {
			t.Error("nothing is said")
		}
		TimestampOf(s)
	})
}
