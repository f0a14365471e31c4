package render

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write golden files anew")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

var summary = Summary{Elapsed: 38200 * time.Millisecond, Dir: "out/20261123T104500Z"}

func text(t *testing.T, s *sample, o Options) []byte {
	t.Helper()
	var buf bytes.Buffer
	if err := Text(&buf, s.table(), summary, o); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func TestText(t *testing.T) {
	golden(t, "four.80.txt", text(t, four(t), Options{Width: 80}))
	golden(t, "four.120.txt", text(t, four(t), Options{Width: 120}))
	golden(t, "four.80.color.txt", text(t, four(t), Options{Width: 80, Color: true}))
}
