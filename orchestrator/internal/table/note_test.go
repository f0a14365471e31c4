package table

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ctmatrix/ctmatrix/orchestrator/internal/notes"
)

var today = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

// bookOf reads notes of lines such as "a/b mainline:6.17,6.12:6.12.13".
func bookOf(t *testing.T, lines ...string) Book {
	t.Helper()
	var text strings.Builder
	text.WriteString("notes:\n")
	for _, l := range lines {
		words := strings.Fields(l)
		since := strings.ReplaceAll(strings.ReplaceAll(words[1], ":", ": "), ",", ", ")
		fmt.Fprintf(&text, "  - {rows: [%s], since: {%s}, reason: because", words[0], since)
		if len(words) > 2 {
			fmt.Fprintf(&text, ", expires: %s", words[2])
		}
		text.WriteString("}\n")
	}
	list, err := notes.Read("n.yaml", strings.NewReader(text.String()))
	if err != nil {
		t.Fatal(err)
	}
	return Book{Notes: list, Day: today}
}

// explainedList tells which notes cover which boundaries, what is left open and
// which notes are stale.
func explainedList(t *Table) string {
	var out []string
	changes := t.Changes()
	for _, c := range changes {
		for _, b := range c.Boundaries {
			out = append(out, fmt.Sprint(edgeList(t, []Edge{b.Edge}), b.Notes))
		}
	}
	out = append(out, fmt.Sprint("open ", Unexplained(changes)))
	for _, s := range t.Stale() {
		out = append(out, fmt.Sprintf("stale %s: %s", t.Book.Where(s.Note), s.Reason))
	}
	return strings.Join(out, "; ")
}

func TestNotes(t *testing.T) {
	const backported = "6.1.1-1=1 6.1.9-1=2 6.12.1-1=1 6.12.9-1=2 6.16.3-1=2"
	const same = "its rows are the same on kernels that it tells apart"
	for name, c := range map[string]struct {
		cells string
		notes []string
		want  string
	}{
		"no notes": {backported, nil, "6.1.1>6.1.9[]; 6.12.1>6.12.9[]; 6.12.1>6.16.3[]; open 1"},
		"one for all branches": {
			backported, []string{"a/b mainline:6.13,6.1:6.1.5,6.12:6.12.9"},
			"6.1.1>6.1.9[0]; 6.12.1>6.12.9[0]; 6.12.1>6.16.3[0]; open 0",
		},
		"a branch is missing": {
			backported, []string{"a/b mainline:6.13,6.12:6.12.9"},
			"6.1.1>6.1.9[]; 6.12.1>6.12.9[0]; 6.12.1>6.16.3[0]; open 1",
		},
		"two together": {
			backported, []string{"a/b/x.y 6.1:6.1.5", "a/*/*.y mainline:6.13,6.12:6.12.9"},
			"6.1.1>6.1.9[0]; 6.12.1>6.12.9[1]; 6.12.1>6.16.3[1]; open 0",
		},
		"another place in the series": {
			backported, []string{"a/b mainline:6.13,6.1:6.1.10,6.12:6.12.9"},
			"6.1.1>6.1.9[]; 6.12.1>6.12.9[0]; 6.12.1>6.16.3[0]; open 1",
		},
		"another row":         {"6.1.1-1=1 6.12.1-1=2", []string{"a/c mainline:6.5"}, "6.1.1>6.12.1[]; open 1"},
		"no such row":         {"6.1.1-1=1 6.12.1-1=2", []string{"a/b/z.y mainline:6.5"}, "6.1.1>6.12.1[]; open 1; stale n.yaml:2: its probes have no such rows"},
		"the whole probe":     {"6.1.1-1=1 6.12.1-1=!unsupported", []string{"a/b mainline:6.5"}, "6.1.1>6.12.1[0]; open 0"},
		"nothing differs":     {"6.1.1-1=1 6.12.1-1=1", []string{"a/b mainline:6.5"}, "open 0; stale n.yaml:2: " + same},
		"two that cancel out": {"6.1.1-1=1 6.12.1-1=1", []string{"a/b mainline:6.5", "a/b mainline:6.7"}, "open 0"},
		"other kernels":       {"6.1.1-1=1 6.12.1-1=1", []string{"a/b mainline:6.16"}, "open 0"},
		"could not be asked":  {"6.1.1-1=1 6.12.1-1=!broken", []string{"a/b mainline:6.5"}, "open 0"},
		"expired":             {"6.1.1-1=1 6.12.1-1=2", []string{"a/b mainline:6.5 2026-10-31"}, "6.1.1>6.12.1[]; open 1; stale n.yaml:2: expired on 2026-10-31"},
		"its last day":        {"6.1.1-1=1 6.12.1-1=2", []string{"a/b mainline:6.5 2026-11-01"}, "6.1.1>6.12.1[0]; open 0"},
	} {
		t.Run(name, func(t *testing.T) {
			table := New(run(c.cells), nil)
			table.Book = bookOf(t, c.notes...)
			if got := explainedList(table); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestNotesOfADifference(t *testing.T) {
	for name, c := range map[string]struct {
		a, b  string
		notes []string
		want  string
	}{
		"two kernels":      {"6.1.1-1=1", "6.12.1-1=2", []string{"a/b mainline:6.5"}, "explained 1, open 0, stale 0"},
		"the same kernel":  {"6.1.1-1=1", "6.1.1-1=2", []string{"a/b mainline:6.5"}, "explained 0, open 1, stale 0"},
		"one of two pairs": {"6.1.1-1=1 6.12.1-1=1", "6.1.9-1=2 6.12.9-1=2", []string{"a/b 6.1:6.1.5"}, "explained 0, open 1, stale 0"},
		"both":             {"6.1.1-1=1 6.12.1-1=1", "6.1.9-1=2 6.12.9-1=2", []string{"a/b 6.1:6.1.5,6.12:6.12.9"}, "explained 1, open 0, stale 0"},
		"stale":            {"6.1.1-1=1", "6.12.1-1=1", []string{"a/b mainline:6.5", "a/c mainline:6.16"}, "explained 0, open 0, stale 1"},
	} {
		t.Run(name, func(t *testing.T) {
			b := New(run(c.b), nil)
			b.Book = bookOf(t, c.notes...)
			d := Diff(New(run(c.a), nil), b)
			explained := 0
			for _, r := range d.Rows {
				if r.Explained() {
					explained++
				}
			}
			if got := fmt.Sprintf("explained %d, open %d, stale %d", explained, d.Unexplained(), len(d.Stale())); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}
