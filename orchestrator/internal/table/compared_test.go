package table

import (
	"testing"

	"github.com/ctmatrix/ctmatrix/guest/observe"
)

// A probe is compared between those that answer, past those that do not, and never
// across clocks if it depends on them.
func TestCompared(t *testing.T) {
	for words, want := range map[string]string{
		"6.1.1-1=1 6.12.1-1=1 6.12.9-1=2":               "6.1.1>6.12.1 6.12.1>6.12.9",
		"6.1.1-1=1 6.12.1-1=!broken 6.12.9-1=2":         "6.1.1>6.12.9",
		"6.1.1-1=1 6.12.1-1=!crashed 6.12.9-1=!missing": "",
		"6.1.1-1=!broken 6.12.1-1=!unsupported":         "",
		"6.1.1-1=1 6.12.1-1=!unsupported":               "6.1.1>6.12.1",
	} {
		tab := New(run(words), nil)
		if got := edgeList(tab, tab.Compared(tab.Probes[0])); got != want {
			t.Errorf("%s: %q, want %q", words, got, want)
		}
	}
	cells := run("6.1.1-1=1 6.12.1-1=1")
	cells[0].Guest.Clock, cells[1].Guest.Clock = "virtual", "host"
	for timed, want := range map[bool]int{false: 1, true: 0} {
		tab := New(cells, []observe.Head{{Name: "a/b", Timed: timed}})
		if got := tab.Compared(tab.Probes[0]); len(got) != want {
			t.Errorf("timed %v: %v", timed, got)
		}
	}
}
