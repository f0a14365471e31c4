package unpack

import (
	"bytes"
	"compress/gzip"
	"io"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

func compressed(t testing.TB, ext, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser
	var err error
	switch ext {
	case ".gz":
		w = gzip.NewWriter(&b)
	case ".xz":
		w, err = xz.NewWriter(&b)
	case ".zst":
		w, err = zstd.NewWriter(&b)
	default:
		return []byte(text)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestReader(t *testing.T) {
	text := strings.Repeat("modules are kept uncompressed\n", 999)
	for _, ext := range []string{".gz", ".xz", ".zst", ".ko", ""} {
		data := compressed(t, ext, text)
		r, err := Reader("file"+ext, bytes.NewReader(data))
		if err != nil {
			t.Fatalf("%s: %v", ext, err)
		}
		got, err := io.ReadAll(r)
		if err != nil || string(got) != text {
			t.Errorf("%s: read %d bytes, %v", ext, len(got), err)
		}
		if err := r.Close(); err != nil {
			t.Errorf("%s: close: %v", ext, err)
		}
	}
}

// A stream that was cut off must not pass for a short one.
func TestTruncated(t *testing.T) {
	for _, ext := range []string{".gz", ".xz", ".zst"} {
		data := compressed(t, ext, strings.Repeat("abcdefgh", 4096))
		r, err := Reader("file"+ext, bytes.NewReader(data[:len(data)-5]))
		if err == nil {
			_, err = io.Copy(io.Discard, r)
		}
		if err == nil {
			t.Errorf("%s: a truncated stream was read without an error", ext)
		}
	}
}

func TestPlain(t *testing.T) {
	for name, want := range map[string]string{
		"a/nf_nat.ko.xz": "a/nf_nat.ko", "a.ko": "a.ko", "Packages.gz": "Packages", "x.zst": "x",
	} {
		if got := Plain(name); got != want {
			t.Errorf("Plain(%q) = %q, want %q", name, got, want)
		}
	}
}
