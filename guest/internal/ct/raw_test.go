package ct

import (
	"testing"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/ctmatrix/ctmatrix/guest/internal/nfnl"
)

// nested makes an attribute of attributes.
func nested(t *testing.T, number uint16, attrs ...netlink.Attribute) netlink.Attribute {
	t.Helper()
	return netlink.Attribute{Type: unix.NLA_F_NESTED | number, Data: marshal(t, attrs...)}
}

func marshal(t *testing.T, attrs ...netlink.Attribute) []byte {
	t.Helper()
	b, err := netlink.MarshalAttributes(attrs)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestNames(t *testing.T) {
	tuple := nested(t, 1,
		nested(t, 1, netlink.Attribute{Type: 1, Data: make([]byte, 4)}, netlink.Attribute{Type: 2, Data: make([]byte, 4)}),
		nested(t, 2, netlink.Attribute{Type: 1, Data: []byte{unix.IPPROTO_UDP}}, netlink.Attribute{Type: 2, Data: []byte{0x27, 0x10}}))
	attrs := marshal(t, tuple, netlink.Attribute{Type: 3, Data: make([]byte, 4)}, netlink.Attribute{Type: 99})
	m := Message{nfnl.Message{Kind: CtNew, Attrs: attrs}}
	if got, want := m.Names(), "tuple-orig(ip(v4-src v4-dst) proto(num src-port)) status attribute-99"; got != want {
		t.Errorf("names %q, want %q", got, want)
	}
	if got, want := m.Brief(), "tuple-orig status attribute-99"; got != want {
		t.Errorf("in brief %q, want %q", got, want)
	}
	if m.SourcePort() != 10000 || m.Protocol() != "udp" {
		t.Errorf("port %d of %s, want 10000 of udp", m.SourcePort(), m.Protocol())
	}
	cut := Message{nfnl.Message{Kind: CtNew, Attrs: attrs[:len(attrs)-2]}}
	if got, want := cut.Brief(), "tuple-orig status"; got != want {
		t.Errorf("in brief %q, want %q", got, want)
	}
	if got, want := (Message{nfnl.Message{Attrs: []byte{99, 0, 1, 0}}}).Names(), "damaged"; got != want {
		t.Errorf("names %q, want %q", got, want)
	}
}

func FuzzNames(f *testing.F) {
	f.Add(uint16(CtNew), []byte{12, 0, 1, 128, 8, 0, 1, 128, 4, 0, 1, 0})
	f.Add(uint16(ExpNew), []byte{4, 0, 2, 128})
	f.Fuzz(func(t *testing.T, kind uint16, attrs []byte) {
		m := Message{nfnl.Message{Kind: kind, Attrs: attrs}}
		m.Names()
		m.Brief()
		m.SourcePort()
		if m.Protocol() == "" {
			t.Error("no word for a protocol")
		}
	})
}
