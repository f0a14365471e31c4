package kernel

import (
	"bytes"
	"compress/gzip"
	"testing"
)

// FuzzPlainChangelog unpacks changelogs as packages and the store have them.
func FuzzPlainChangelog(f *testing.F) {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write([]byte("linux (6.1.192-2) bookworm; urgency=medium\n"))
	if cerr := w.Close(); err != nil || cerr != nil {
		f.Fatal(err, cerr)
	}
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		if text, err := plainChangelog(data); err == nil && len(text) > maxChangelog {
			t.Fatalf("%d bytes", len(text))
		}
	})
}
