package ct

import (
	"encoding/binary"
	"testing"
)

func FuzzDecode(f *testing.F) {
	message := func(size uint32, body string) []byte {
		b := binary.NativeEndian.AppendUint32(nil, size)
		b = binary.NativeEndian.AppendUint16(b, 0x0100)
		return append(append(b, make([]byte, 10)...), body...)
	}
	f.Add(message(20, "\x02\x00\x00\x00"))
	f.Add(message(0, ""))
	f.Add(message(1<<31, "x"))
	f.Fuzz(func(t *testing.T, b []byte) {
		events, err := decode(b)
		if err == nil && len(events) > len(b)/16 {
			t.Errorf("%d events in %d bytes", len(events), len(b))
		}
	})
}

func TestEntryText(t *testing.T) {
	for want, e := range map[string]Entry{
		"tcp SYN_SENT unreplied":  {Proto: "tcp", State: "SYN_SENT", Flags: []string{"unreplied"}},
		"tcp ESTABLISHED assured": {Proto: "tcp", State: "ESTABLISHED", Flags: []string{"assured"}},
		"udp":                     {Proto: "udp"},
	} {
		if got := e.String(); got != want {
			t.Errorf("entry is written %q, want %q", got, want)
		}
	}
}
