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

// one makes a cell of a kernel version whose probe a/b records row a/b/x.y.
// A value that starts with "!" is an outcome instead: "!broken".
func one(version, value string) results.CellRows {
	series := strings.FieldsFunc(version, func(r rune) bool { return strings.ContainsRune(".~-", r) })
	c := results.CellRows{Cell: results.Cell{
		Kernel: results.Kernel{
			Ref: "debian:" + version, Version: version, Series: series[0] + "." + series[1],
			Label: strings.Split(version, "-")[0], Arch: "amd64", Source: "debian",
		},
		Outcome: results.CellOK, Variant: "default",
	}}
	if outcome, ok := strings.CutPrefix(value, "!"); ok {
		c.Probes = []results.Probe{{Name: "a/b", Outcome: observe.Outcome(outcome), Reason: "because " + version}}
		return c
	}
	c.Probes = []results.Probe{{Name: "a/b", Outcome: observe.Recorded, Rows: 1}}
	c.Rows = []observe.Row{{Name: "a/b/x.y", Kind: observe.Count, Value: value}}
	return c
}

// run makes cells of "version=value" words.
func run(words string) []results.CellRows {
	var cells []results.CellRows
	for _, w := range strings.Fields(words) {
		version, value, _ := strings.Cut(w, "=")
		cells = append(cells, one(version, value))
	}
	return cells
}

func labelList(t *Table) string {
	var out []string
	for _, c := range t.Columns {
		out = append(out, c.Label)
	}
	return strings.Join(out, " ")
}

// edgeList writes edges as "old>new".
func edgeList(t *Table, edges []Edge) string {
	var out []string
	for _, e := range edges {
		out = append(out, t.Columns[e.From].Label+">"+t.Columns[e.To].Label)
	}
	return strings.Join(out, " ")
}

// changeList writes changes as "row old>new(skipped)".
func changeList(t *Table) string {
	var out []string
	for _, c := range t.Changes() {
		words := []string{c.Row.Name}
		for _, b := range c.Boundaries {
			w := edgeList(t, []Edge{b.Edge})
			for _, s := range b.Skipped {
				w += "(" + t.Columns[s].Label + ")"
			}
			words = append(words, w)
		}
		out = append(out, strings.Join(words, " "))
	}
	return strings.Join(out, "; ")
}

func TestOrderAndEdges(t *testing.T) {
	for name, c := range map[string]struct{ cells, order, edges string }{
		"series":      {"7.3.4-1 5.10.262-1 6.12.117-1 6.1.192-2", "5.10.262 6.1.192 6.12.117 7.3.4", "5.10.262>6.1.192 6.1.192>6.12.117 6.12.117>7.3.4"},
		"in a series": {"6.1.20-1 6.1.3-1 6.1.100-1", "6.1.3 6.1.20 6.1.100", "6.1.3>6.1.20 6.1.20>6.1.100"},
		"candidates":  {"7.3.4-1 7.3~rc7-1~exp1 7.3~rc10-1~exp1", "7.3~rc7 7.3~rc10 7.3.4", "7.3~rc7>7.3~rc10 7.3~rc10>7.3.4"},
		"tree": {
			"6.12.117-1 6.1.192-1 6.12.1-1 6.1.100-1 7.3.4-1", "6.1.100 6.1.192 6.12.1 6.12.117 7.3.4",
			"6.1.100>6.1.192 6.1.100>6.12.1 6.12.1>6.12.117 6.12.1>7.3.4",
		},
		"one": {"6.1.1-1", "6.1.1", ""}, "none": {"", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			tab := New(run(c.cells), nil)
			if got := labelList(tab); got != c.order {
				t.Errorf("order %s, want %s", got, c.order)
			}
			if got := edgeList(tab, tab.Edges()); got != c.edges {
				t.Errorf("edges %s, want %s", got, c.edges)
			}
			var parents []Edge
			for i, col := range tab.Columns {
				if col.Parent >= 0 {
					parents = append(parents, Edge{From: col.Parent, To: i})
				}
			}
			if d := cmp.Diff(tab.Edges(), parents); d != "" {
				t.Errorf("edges and parents:\n%s", d)
			}
		})
	}
}

func TestEveryOrderOfCellsGivesOneTable(t *testing.T) {
	cells := run("6.1.100-1=1 6.1.192-1=2 6.12.1-1=1 6.12.117-1=2 7.3~rc7-1=!broken 7.3.4-1=3")
	want := New(cells, nil)
	for range len(cells) {
		cells = append(cells[1:], cells[0])
		if got := New(cells, nil); !reflect.DeepEqual(want, got) {
			t.Fatalf("table depends on the order of cells:\n%+v\n%+v", want, got)
		}
	}
}

func TestChanges(t *testing.T) {
	for name, c := range map[string]struct{ cells, want string }{
		"equal":              {"5.10.1-1=1 6.1.1-1=1", ""},
		"step":               {"5.10.1-1=1 6.1.1-1=1 6.12.1-1=2 7.3.1-1=2", "a/b/x.y 6.1.1>6.12.1"},
		"there and back":     {"5.10.1-1=1 6.1.1-1=2 6.12.1-1=1", "a/b/x.y 5.10.1>6.1.1 6.1.1>6.12.1"},
		"backport":           {"6.1.1-1=1 6.1.9-1=2 6.12.1-1=1 6.12.9-1=2", "a/b/x.y 6.1.1>6.1.9 6.12.1>6.12.9"},
		"branched before it": {"6.1.1-1=1 6.1.9-1=2 6.12.1-1=1", "a/b/x.y 6.1.1>6.1.9"},
		"broken between":     {"5.10.1-1=1 6.1.1-1=!broken 6.12.1-1=2", "a/b/x.y 5.10.1>6.12.1(6.1.1)"},
		"crashed first":      {"5.10.1-1=!crashed 6.1.1-1=1 6.1.2-1=1 6.12.1-1=2", "a/b/x.y 6.1.1>6.12.1"},
		"broken root":        {"6.1.1-1=!broken 6.1.9-1=1 6.12.1-1=2", "a/b/x.y 6.1.9>6.12.1(6.1.1)"},
		"missing last":       {"5.10.1-1=1 6.1.1-1=!missing", ""},
		"unsupported first":  {"5.10.1-1=!unsupported 6.1.1-1=1 6.12.1-1=1", "a/b 5.10.1>6.1.1"},
		"unsupported twice":  {"5.10.1-1=!unsupported 6.1.1-1=!unsupported", ""},
		"unsupported between": {
			"5.10.1-1=1 6.1.1-1=!unsupported 6.12.1-1=2",
			"a/b 5.10.1>6.1.1 6.1.1>6.12.1; a/b/x.y 5.10.1>6.12.1(6.1.1)",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := changeList(New(run(c.cells), nil)); got != c.want {
				t.Errorf("changes %q, want %q", got, c.want)
			}
		})
	}
}

func TestKindsNeverAgree(t *testing.T) {
	cells := run("5.10.1-1=1 6.1.1-1=1")
	cells[1].Rows[0].Kind = observe.Delta
	if got := changeList(New(cells, nil)); got != "a/b/x.y 5.10.1>6.1.1" {
		t.Errorf("changes %q", got)
	}
}

func TestVariantsAreNoNeighbours(t *testing.T) {
	cells := run("5.10.1-1=1 5.10.1-1=2 6.1.1-1=1 6.1.1-1=3")
	cells[1].Variant, cells[3].Variant = "legacy", "legacy"
	tab := New(cells, nil)
	if got := labelList(tab); got != "5.10.1+default 6.1.1+default 5.10.1+legacy 6.1.1+legacy" {
		t.Errorf("columns %s", got)
	}
	if got := changeList(tab); got != "a/b/x.y 5.10.1+legacy>6.1.1+legacy" {
		t.Errorf("changes %s", got)
	}
}

func TestFlavoursHangFromEachOther(t *testing.T) {
	cells := run("6.1.1-1=1 6.12.1-1=1 6.1.1-1=2 6.12.1-1=2")
	cells[2].Kernel.Flavour, cells[3].Kernel.Flavour = "rt", "rt"
	tab := New(cells, nil)
	if got := changeList(tab); got != "a/b/x.y 6.1.1>6.1.1 rt" {
		t.Errorf("changes %s of %s", got, labelList(tab))
	}
}

func TestLabels(t *testing.T) {
	for cells, want := range map[string]string{
		"6.1.1-1 6.1.2-1":         "6.1.1 6.1.2",
		"6.1.1-1 6.1.1-2 6.1.2-1": "6.1.1-1 6.1.1-2 6.1.2",
		"6.1.1-1 6.1.1-1":         "6.1.1-1 6.1.1-1#2",
	} {
		got := labelList(New(run(cells), nil))
		if got != want {
			t.Errorf("labels %s, want %s", got, want)
		}
	}
}

func TestGroupsPutTogetherWhatLooksAlike(t *testing.T) {
	cells := run("5.10.1-1=1 6.1.1-1=2 6.12.1-1=2")
	add := func(name string, values ...string) {
		for i := range cells {
			cells[i].Rows = append(cells[i].Rows, observe.Row{Name: name, Kind: observe.Text, Value: values[i]})
		}
	}
	add("a/b/x.alike", "a", "b", "b")
	add("a/b/x.back", "a", "b", "a")
	add("a/b/x.equal", "a", "a", "a")
	tab := New(cells, nil)
	var got []string
	for _, g := range tab.Groups() {
		s := fmt.Sprint(g.Probe, g.Runs)
		for _, c := range g.Changes {
			s += " " + c.Row.Name
		}
		got = append(got, s)
	}
	want := []string{"a/b[[0] [1 2]] a/b/x.alike a/b/x.y", "a/b[[0] [1] [2]] a/b/x.back"}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("groups:\n%s", d)
	}
}

func TestResidue(t *testing.T) {
	cells := run("5.10.1-1=1 6.1.1-1=!broken 6.12.1-1=!broken 7.3.1-1=1")
	cells[2].Probes[0].Reason = cells[1].Probes[0].Reason
	cells[3].Rows = nil
	cells = append(cells, one("7.4.1-1", "!missing"))
	cells[4].Outcome = results.CellFailed
	tab := New(cells, nil)
	want := Residue{
		Cells:  []int{4},
		Probes: []Unanswered{{Probe: "a/b", Status: Broken, Reason: "because 6.1.1-1", Columns: []int{1, 2}}},
		Absent: []AbsentRow{{Row: "a/b/x.y", Columns: []int{3}}},
	}
	if d := cmp.Diff(want, tab.Residue()); d != "" {
		t.Errorf("residue (-want +got):\n%s", d)
	}
	if r := New(run("5.10.1-1=1 6.1.1-1=!unsupported"), nil).Residue(); !r.Empty() {
		t.Errorf("residue of what is behaviour: %+v", r)
	}
}

func TestRowsOfWhatDidNotEndWellAreLeftOut(t *testing.T) {
	cells := run("5.10.1-1=1 6.1.1-1=2")
	cells[1].Probes[0].Outcome = observe.Broken
	cells[1].Rows = append(cells[1].Rows, observe.Row{Name: "no/such/x.y", Kind: observe.Text})
	tab := New(cells, nil)
	if got := changeList(tab); got != "" || len(tab.Rows) != 1 {
		t.Errorf("changes %q among %d rows", got, len(tab.Rows))
	}
}

func TestExitStatus(t *testing.T) {
	for _, c := range []struct {
		changes int
		failed  bool
		want    int
	}{{0, false, 0}, {3, false, 1}, {0, true, 2}, {3, true, 2}} {
		if got := ExitStatus(c.changes, c.failed); got != c.want {
			t.Errorf("ExitStatus(%d, %t) = %d, want %d", c.changes, c.failed, got, c.want)
		}
	}
}
