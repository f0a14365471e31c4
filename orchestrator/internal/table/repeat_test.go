package table

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
)

// repeat makes cells of "version=v1,v2,v3" words: a repetition for each value.
func repeat(words string) []results.CellRows {
	var cells []results.CellRows
	for _, w := range strings.Fields(words) {
		version, values, _ := strings.Cut(w, "=")
		for i, v := range strings.Split(values, ",") {
			c := one(version, v)
			c.Repeat = i + 1
			cells = append(cells, c)
		}
	}
	return cells
}

// rowText writes a row's values.
func rowText(t *Table, row string) string {
	for _, r := range t.Rows {
		if r.Name == row {
			var out []string
			for _, v := range r.Values {
				out = append(out, strings.TrimSpace(string(v.Status)+" "+v.Text))
			}
			return strings.Join(out, "; ")
		}
	}
	return ""
}

func TestRepetitionsAreOneColumn(t *testing.T) {
	for name, c := range map[string]struct{ cells, columns, row, changes string }{
		"stable":            {"6.1.1-1=1,1 6.12.1-1=2,2", "6.1.1 6.12.1", "recorded 1; recorded 2", "a/b/x.y 6.1.1>6.12.1"},
		"unstable":          {"6.1.1-1=1,2,1 6.12.1-1=2,2,2", "6.1.1 6.12.1", `unstable 2× "1" · 1× "2"; recorded 2`, ""},
		"tie, by value":     {"6.1.1-1=9,5", "6.1.1", `unstable 1× "5" · 1× "9"`, ""},
		"unstable between":  {"5.10.1-1=1,1 6.1.1-1=1,2 6.12.1-1=2,2", "5.10.1 6.1.1 6.12.1", `recorded 1; unstable 1× "1" · 1× "2"; recorded 2`, "a/b/x.y 5.10.1>6.12.1(6.1.1)"},
		"outcome, unstable": {"6.1.1-1=1,!unsupported 6.12.1-1=1,1", "6.1.1 6.12.1", "unstable 1× recorded · 1× unsupported: because 6.1.1-1; recorded 1", ""},
		"unsupported":       {"6.1.1-1=!unsupported,!unsupported 6.12.1-1=1,1", "6.1.1 6.12.1", "unsupported because 6.1.1-1; recorded 1", "a/b 6.1.1>6.12.1"},
	} {
		t.Run(name, func(t *testing.T) {
			tab := New(repeat(c.cells), nil)
			if got := labelList(tab); got != c.columns {
				t.Errorf("columns %s, want %s", got, c.columns)
			}
			if got := rowText(tab, "a/b/x.y"); got != c.row {
				t.Errorf("row %s, want %s", got, c.row)
			}
			if got := changeList(tab); got != c.changes {
				t.Errorf("changes %s, want %s", got, c.changes)
			}
		})
	}
}

func TestUnstableIsResidueAndApart(t *testing.T) {
	cells := repeat("6.1.1-1=1,2,2 6.12.1-1=!broken,1,1")
	cells[1].Rows = append(cells[1].Rows, observe.Row{Name: "a/b/z.z", Kind: observe.Flag, Value: "yes"})
	tab := New(cells, nil)
	recorded := func(kind observe.Kind, text string) Value { return Value{Status: Recorded, Kind: kind, Text: text} }
	want := []UnstableRow{
		{Row: "a/b", Probe: "a/b", Columns: []UnstableColumn{{Column: 1, Seen: []Seen{
			{Value{Status: Recorded}, []int{1, 2}}, {Value{Status: Broken, Text: "because 6.12.1-1"}, []int{0}},
		}}}},
		{Row: "a/b/x.y", Probe: "a/b", Columns: []UnstableColumn{{Column: 0, Seen: []Seen{
			{recorded(observe.Count, "2"), []int{1, 2}}, {recorded(observe.Count, "1"), []int{0}},
		}}}},
		{Row: "a/b/z.z", Probe: "a/b", Columns: []UnstableColumn{{Column: 0, Seen: []Seen{
			{Value{Status: Absent}, []int{0, 2}}, {recorded(observe.Flag, "yes"), []int{1}},
		}}}},
	}
	r := tab.Residue()
	if d := cmp.Diff(want, r.Unstable, cmp.Comparer(func(a, b Value) bool { return a == b })); d != "" {
		t.Errorf("unstable (-want +got):\n%s", d)
	}
	if r.Empty() || len(r.Cells)+len(r.Probes)+len(r.Absent) > 0 {
		t.Errorf("residue %+v", r)
	}
}

func TestEveryOrderOfRepetitionsGivesOneTable(t *testing.T) {
	cells := repeat("6.1.1-1=1,2,1 6.12.1-1=2,2,3 7.3.1-1=1,1,!broken")
	want := New(cells, nil)
	for range len(cells) {
		cells = append(cells[1:], cells[0])
		if got := New(cells, nil); !reflect.DeepEqual(want, got) {
			t.Fatalf("table depends on the order of cells:\n%+v\n%+v", want, got)
		}
	}
}

// A repetition that crashed takes nothing from what the others found.
func TestARepetitionThatFailed(t *testing.T) {
	cells := repeat("6.1.1-1=1,1,!missing,!missing 6.12.1-1=2,2,2,2")
	cells[0].Kernel.Digest, cells[1].Kernel.Digest = "ab", "ab"
	cells[2].Outcome, cells[2].Reason = results.CellCrashed, "the kernel died"
	cells[3].Outcome, cells[3].Reason, cells[3].Probes = results.CellMissing, "interrupted", nil
	tab := New(cells, nil)
	c := tab.Columns[0]
	if got := fmt.Sprint(c.Outcome, ": ", c.Reason, " ", c.Runs); got != "crashed: run 3 of 4: the kernel died (and 1 more) 4" {
		t.Errorf("column %s", got)
	}
	if got := changeList(tab); got != "a/b/x.y 6.1.1>6.12.1" || len(tab.Unstable) > 0 || tab.Residue().Empty() {
		t.Errorf("changes %q, unstable %v", got, tab.Unstable)
	}
}

func TestOtherFilesAreNoRepetition(t *testing.T) {
	cells := repeat("6.1.1-1=1,2")
	cells[0].Kernel.Digest, cells[1].Kernel.Digest = "ab", "cd"
	if tab := New(cells, nil); len(tab.Columns) != 2 || len(tab.Unstable) > 0 {
		t.Errorf("columns %s, unstable %v", labelList(tab), tab.Unstable)
	}
}

func TestDiffLeavesOutWhatIsUnstable(t *testing.T) {
	for name, c := range map[string]struct{ a, b, want string }{
		"row":         {"6.1.1-1=1,2", "6.1.1-1=1,1", `6.1.1:6.1.1 by version; 6.1.1:6.1.1 ?a/b/x.y unstable: 1× "1" · 1× "2" > 1`},
		"probe":       {"6.1.1-1=1,1", "6.1.1-1=1,!broken", `6.1.1:6.1.1 by version; 6.1.1:6.1.1 ?a/b recorded > unstable: 1× broken: because 6.1.1-1 · 1× recorded`},
		"repetitions": {"6.1.1-1=1,1", "6.1.1-1=2,2,2", "6.1.1:6.1.1 by version; 6.1.1:6.1.1 a/b/x.y 1>2"},
	} {
		t.Run(name, func(t *testing.T) {
			d := Diff(New(repeat(c.a), nil), New(repeat(c.b), nil))
			if got := diffText(d); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestDiffLeavesOutAnUnstableRowThatOneSideLacks(t *testing.T) {
	a, b := repeat("6.1.1-1=1,1"), repeat("6.1.1-1=1,1")
	a[0].Rows = append(a[0].Rows, observe.Row{Name: "a/b/z.z", Kind: observe.Flag, Value: "yes"})
	for _, sides := range [][2][]results.CellRows{{a, b}, {b, a}} {
		d := Diff(New(sides[0], nil), New(sides[1], nil))
		if d.Changes() != 0 || len(d.Residue) != 1 || d.Residue[0].Row != "a/b/z.z" {
			t.Errorf("changes %d, residue %+v", d.Changes(), d.Residue)
		}
	}
}

// clocked gives cells a clock and makes probe c/d, which waits, beside a/b.
func clocked(clock string, cells []results.CellRows, value string) []results.CellRows {
	for i := range cells {
		cells[i].Guest.Clock = clock
		cells[i].Probes = append(cells[i].Probes, results.Probe{Name: "c/d", Outcome: observe.Recorded, Rows: 1})
		cells[i].Rows = append(cells[i].Rows, observe.Row{Name: "c/d/x.y", Kind: observe.Count, Value: value})
	}
	return cells
}

var timedHeads = []observe.Head{{Name: "a/b"}, {Name: "c/d", Timed: true}}

func TestDiffOfDifferentClocks(t *testing.T) {
	a := clocked("virtual", run("6.1.1-1=1 6.12.1-1=1"), "1")
	b := clocked("host", run("6.1.1-1=2 6.12.1-1=2"), "2")
	b[1].Guest.Clock = "virtual"
	b[0].Rows = append(b[0].Rows, observe.Row{Name: "c/d/z.z", Kind: observe.Flag, Value: "yes"})
	d := Diff(New(a, timedHeads), New(b, timedHeads))
	want := "6.1.1:6.1.1 by version; 6.12.1:6.12.1 by version; 6.1.1:6.1.1 a/b/x.y 1>2; 6.12.1:6.12.1 a/b/x.y 1>2; " +
		"6.12.1:6.12.1 c/d/x.y 1>2; 6.1.1:6.1.1 ?c/d clock"
	if got := diffText(d); got != want || len(d.New) > 0 || !d.Failed() {
		t.Errorf("got  %s\nwant %s\nnew %v", got, want, d.New)
	}
	if _, _, differ := d.Clocks(1); differ {
		t.Error("equal clocks differ")
	}
}

func TestTableOfDifferentClocks(t *testing.T) {
	cells := clocked("virtual", run("6.1.1-1=1"), "1")
	cells = append(cells, clocked("host", run("6.12.1-1=2"), "2")...)
	tab := New(cells, timedHeads)
	if got := changeList(tab); got != "a/b/x.y 6.1.1>6.12.1" {
		t.Errorf("changes %s", got)
	}
	want := []Clocked{{Probe: "c/d", Edge: Edge{From: 0, To: 1}}}
	if d := cmp.Diff(want, tab.Residue().Clocks); d != "" || tab.Residue().Empty() {
		t.Errorf("residue (-want +got):\n%s", d)
	}
}
