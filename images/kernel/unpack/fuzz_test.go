package unpack

import (
	"bytes"
	"io"
	"strings"
	"testing"
)

// FuzzReader unpacks anything under each ending: an error or an end comes, and the
// content that was packed comes out of what was not touched.
func FuzzReader(f *testing.F) {
	for i, ext := range []string{".gz", ".xz", ".zst"} {
		f.Add(uint8(i), compressed(f, ext, strings.Repeat("some text ", 50)))
	}
	f.Fuzz(func(t *testing.T, which uint8, data []byte) {
		r, err := Reader("file"+[]string{".gz", ".xz", ".zst"}[which%3], bytes.NewReader(data))
		if err != nil {
			return
		}
		// A bomb is its reader's to bound.
		if _, err := io.Copy(io.Discard, io.LimitReader(r, 16<<20)); err != nil && err.Error() == "" {
			t.Error("an error without words")
		}
		if err := r.Close(); err != nil && err.Error() == "" {
			t.Error("an error without words")
		}
	})
}
