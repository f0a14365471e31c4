package table

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ctmatrix/ctmatrix/guest/observe"
)

// What is up to luck is no row, change or flicker, and does not count for a trial;
// what was counted is told by kernel and repetition.
func TestChanceIsApart(t *testing.T) {
	cells := repeat("6.1.1-1=1,1 6.12.1-1=1,1 7.3.1-1=!broken,!unsupported")
	for i, v := range []string{"3 of 9", "4 of 9", "", "5 of 9", "6 of 9"} {
		if v != "" {
			cells[i].Rows = append(cells[i].Rows, observe.Row{Name: "a/b/z.lost", Kind: observe.Chance, Value: v})
		}
	}
	tab := New(cells, nil)
	want := []ChanceRow{{Row: "a/b/z.lost", Probe: "a/b", Counts: [][]string{{"3 of 9", "4 of 9"}, {"5 of 9"}, nil}}}
	if d := cmp.Diff(want, tab.Chance); d != "" {
		t.Errorf("chance (-want +got):\n%s", d)
	}
	if len(tab.Rows) != 1 || len(tab.Changes()) != 0 {
		t.Errorf("rows %v, changes %v", tab.Rows, tab.Changes())
	}
	for _, u := range tab.Unstable {
		if u.Row != "a/b" {
			t.Errorf("unstable: %v", u)
		}
	}
	var recordings []Recording
	for _, c := range cells[:2] {
		c.Guest.Agent = "agent"
		recordings = append(recordings, Recording{CellRows: c})
	}
	if b := Stability(recordings).Builds[0]; len(b.Flips) != 0 || b.Rows != 1 {
		t.Errorf("a trial counts %d rows and flips %v", b.Rows, b.Flips)
	}
}
