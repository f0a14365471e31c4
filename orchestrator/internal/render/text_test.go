package render

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
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
	for name, make := range map[string]func(*testing.T) *sample{
		"four": four, "backport": backport, "failed": failed, "many": many, "hostile": hostile,
		"repetitions": repetitions, "clocks": clocks, "chances": chances, "configured": configured,
		"same":   func(t *testing.T) *sample { return newSample(t, "5.10.262-1", "6.1.192-2") },
		"single": func(t *testing.T) *sample { return newSample(t, "6.1.192-2") },
		"again": func(t *testing.T) *sample {
			s := newSample(t, "6.1.192-2", "6.1.192-2", "6.1.192-2")
			for i := range s.cells {
				s.cells[i].Repeat, s.cells[i].Guest.Clock = 1+i, "host"
			}
			return s
		},
		"none": func(t *testing.T) *sample { return newSample(t) },
	} {
		t.Run(name, func(t *testing.T) {
			s := make(t)
			golden(t, name+".80.txt", text(t, s, Options{Width: 80}))
			golden(t, name+".120.txt", text(t, s, Options{Width: 120}))
			golden(t, name+".80.color.txt", text(t, s, Options{Width: 80, Color: true}))
			for _, width := range []int{40, 57, 80, 120} {
				fits(t, text(t, s, Options{Width: width}), width)
			}
		})
	}
}

// fits holds plain text to its width, and to what a terminal just prints.
func fits(t *testing.T, text []byte, limit int) {
	t.Helper()
	for _, l := range strings.Split(string(text), "\n") {
		if w := width(l); w > limit {
			t.Errorf("line of %d columns, more than %d: %q", w, limit, l)
		}
		if observe.Escape(l) != l {
			t.Errorf("line that a terminal may act on: %q", l)
		}
		if strings.TrimRight(l, " ") != l {
			t.Errorf("line ends in space: %q", l)
		}
	}
}

func TestColourOnlyAddsColour(t *testing.T) {
	plain, colored := text(t, four(t), Options{}), text(t, four(t), Options{Color: true})
	stripped := regexp.MustCompile("\x1b\\[[0-9;]*m").ReplaceAll(colored, nil)
	if bytes.Equal(plain, colored) || !bytes.Equal(plain, stripped) {
		t.Errorf("colour changes the text:\n%s\n%s", plain, stripped)
	}
}

// What an interrupt leaves of a pool is said once.
func TestInterruptedCellsAreOneLine(t *testing.T) {
	s := newSample(t, "5.10.262-1", "6.1.192-2", "6.12.117-1", "7.3.4-1")
	for i, reason := range []string{"", "interrupted", "interrupted", "interrupted during a/b"} {
		if reason != "" {
			s.cells[i].Outcome, s.cells[i].Reason = results.CellMissing, reason
		}
	}
	got := string(text(t, s, Options{Width: 80}))
	for _, want := range []string{
		"\n  6.1.192, 6.12.117 missing: interrupted\n",
		"\n  7.3.4 missing: interrupted during a/b\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
}

func TestFold(t *testing.T) {
	for in, want := range map[string]string{
		"":                    "",
		"short":               "short",
		"exactly ten":         "exactly|ten",
		"0123456789":          "0123456789",
		"0123456789a":         "0123456789|a",
		"one two three four":  "one two|three four",
		"a            b":      "a|b",
		"   lead":             "   lead",
		"            lead":    "|lead",
		"世界世界世界":              "世界世界世|界",
		"trail              ": "trail",
	} {
		if got := strings.Join(fold(in, 10), "|"); got != want {
			t.Errorf("fold(%q) = %q, want %q", in, got, want)
		}
	}
}
