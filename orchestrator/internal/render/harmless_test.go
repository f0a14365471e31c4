package render

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// JSON says the same with nothing in it that a terminal acts on.
func FuzzHarmless(f *testing.F) {
	for _, s := range []string{"", "plain", "\u009b31m\x7f\u202e\u2028", "世界 ·", "\U000e0001\U0010ffff", "\xff", "\ufeff\ufffe"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var buf bytes.Buffer
		if err := encode(&buf, map[string]string{"text": s}); err != nil {
			t.Fatal(err)
		}
		for _, r := range buf.String() {
			if r != '\n' && !strconv.IsPrint(r) {
				t.Fatalf("%q is written of %q", r, s)
			}
		}
		var got map[string]string
		if err := json.Unmarshal(buf.Bytes(), &got); err != nil {
			t.Fatalf("%v of %q", err, s)
		}
		if d := cmp.Diff(strings.ToValidUTF8(s, "\ufffd"), got["text"]); d != "" && !strings.Contains(got["text"], "\ufffd") {
			t.Fatalf("of %q (-want +got)\n%s", s, d)
		}
	})
}
