package table

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// lineText tells a line in short: "6.1: 1 from to, 2 from | 6.12: ?broken at".
func lineText(t *Table, l Line) string {
	var series []string
	for _, s := range l.Series {
		var parts []string
		for _, st := range s.Stretches {
			v := "?" + string(st.Status)
			if st.Value >= 0 {
				v = short(l.Values[st.Value])
			}
			for _, c := range st.Columns {
				v += " " + t.Columns[c].Label
			}
			parts = append(parts, v)
		}
		series = append(series, strings.Join(parts, ", "))
	}
	return strings.Join(series, " | ")
}

func TestTimeline(t *testing.T) {
	for name, c := range map[string]struct{ cells, want string }{
		"constant":       {"6.1.1-1=1 6.1.2-1=1 6.12.1-1=1", "1 6.1.1 6.1.2 | 1 6.12.1"},
		"there and back": {"6.1.1-1=1 6.1.2-1=2 6.1.3-1=1", "1 6.1.1, 2 6.1.2, 1 6.1.3"},
		"backport":       {"6.1.1-1=1 6.1.9-1=2 6.12.1-1=1 6.12.9-1=2", "1 6.1.1, 2 6.1.9 | 1 6.12.1, 2 6.12.9"},
		"broken":         {"6.1.1-1=1 6.1.2-1=!broken 6.1.3-1=!broken 6.1.4-1=1", "1 6.1.1, ?broken 6.1.2 6.1.3, 1 6.1.4"},
		"unsupported":    {"6.1.1-1=!unsupported 6.12.1-1=1", "unsupported 6.1.1 | 1 6.12.1"},
		"candidates":     {"7.3.1-1=2 7.3~rc7-1~exp1=1 7.2.9-1=1", "1 7.2.9 | 1 7.3~rc7, 2 7.3.1"},
	} {
		t.Run(name, func(t *testing.T) {
			table := New(run(c.cells), nil)
			lines := table.Timeline(func(row string) bool { return row == "a/b/x.y" })
			if len(lines) != 1 {
				t.Fatalf("%d lines", len(lines))
			}
			if got := lineText(table, lines[0]); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// A cell that never ran says nothing of any row, and is in no line.
func TestTimelineLeavesOutWhatDidNotRun(t *testing.T) {
	cells := run("6.1.1-1=1 6.1.2-1=!missing 6.1.3-1=2")
	cells[1].Outcome = "failed"
	table := New(cells, nil)
	if got := lineText(table, table.Timeline(func(string) bool { return true })[0]); got != "1 6.1.1, 2 6.1.3" {
		t.Errorf("line %s", got)
	}
	if _, silent := table.Answered(); fmt.Sprint(silent) != "[1]" {
		t.Errorf("silent %v, want [1]", silent)
	}
}

func TestWholeProbesAreLines(t *testing.T) {
	table := New(run("6.1.1-1=!unsupported 6.12.1-1=1"), nil)
	lines := table.Timeline(func(row string) bool { return row == "a/b" })
	if len(lines) != 1 || lineText(table, lines[0]) != "unsupported 6.1.1 | recorded 6.12.1" {
		t.Errorf("lines %v", lines)
	}
}

// placeList tells each boundary of a table's only change.
func placeList(t *Table) string {
	var out []string
	for _, c := range t.Changes() {
		for _, b := range c.Boundaries {
			w := string(b.Kind) + " " + b.Older
			if b.Newer != b.Older {
				w += "," + b.Newer
			}
			if b.Kind == Inside {
				w += " " + edgeList(t, []Edge{b.Edge})
			}
			if b.Backport {
				w += " or backport"
			}
			out = append(out, w)
		}
	}
	return strings.Join(out, "; ")
}

// What is said of where a change lies follows the tree of kernels.
func TestPlaces(t *testing.T) {
	for name, c := range map[string]struct{ cells, want string }{
		"inside":                {"6.1.1-1=1 6.1.9-1=2 6.1.12-1=2", "inside 6.1 6.1.1>6.1.9"},
		"between":               {"6.1.5-1=1 6.12.3-1=2", "between 6.1,6.12"},
		"backported afterwards": {"6.1.5-1=1 6.1.9-1=2 6.12.3-1=2", "inside 6.1 6.1.5>6.1.9; between 6.1,6.12"},
		"in two series": {
			"6.1.5-1=1 6.1.9-1=2 6.12.3-1=1 6.12.8-1=2 6.16.3-1=2",
			"inside 6.1 6.1.5>6.1.9; inside 6.12 6.12.3>6.12.8; between 6.12,6.16",
		},
		"the newer series lacks it at first": {
			"6.1.5-1=2 6.1.9-1=2 6.12.3-1=1 6.12.8-1=2",
			"between 6.1,6.12 or backport; inside 6.12 6.12.3>6.12.8",
		},
		"a later series has it first inside": {
			"6.1.5-1=2 6.12.3-1=1 6.16.3-1=1 6.16.9-1=2",
			"between 6.1,6.12 or backport; inside 6.16 6.16.3>6.16.9",
		},
		"no backport before the fork": {
			"6.1~rc3-1~exp1=2 6.12.3-1=1 6.12.8-1=2",
			"between 6.1,6.12; inside 6.12 6.12.3>6.12.8",
		},
		"another value comes later": {
			"6.1.5-1=2 6.12.3-1=1 6.12.8-1=3",
			"between 6.1,6.12; inside 6.12 6.12.3>6.12.8",
		},
		"there and back": {"6.1.5-1=1 6.1.6-1=2 6.1.9-1=1", "inside 6.1 6.1.5>6.1.6; inside 6.1 6.1.6>6.1.9"},
		"rebuilds":       {"6.12.96-1~deb12u1=1 6.12.96-1=2", "inside 6.12 6.12.96-1~deb12u1>6.12.96-1"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := placeList(New(run(c.cells), nil)); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// Whatever the history, each boundary joins two kernels that are neighbours in
// the tree and differ, none is missing, and a timeline has every kernel once.
func TestHistories(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	values := []string{"1", "1", "2", "3", "!broken", "!unsupported"}
	for range 500 {
		var words []string
		for _, series := range []string{"5.10", "6.1", "6.12", "6.16", "7.0"} {
			for point := range random.IntN(5) {
				words = append(words, fmt.Sprintf("%s.%d-1=%s", series, point*7+3, values[random.IntN(len(values))]))
			}
		}
		random.Shuffle(len(words), func(i, j int) { words[i], words[j] = words[j], words[i] })
		table := New(run(strings.Join(words, " ")), nil)
		for _, l := range table.Timeline(func(string) bool { return true }) {
			next := 0
			for _, s := range l.Series {
				for _, st := range s.Stretches {
					for _, c := range st.Columns {
						if c != next || !table.SameSeries(s.First, c) {
							t.Fatalf("%v: column %d of %s stands where %d does", words, c, l.Row.Name, next)
						}
						next++
					}
				}
			}
			if next != len(table.Columns) {
				t.Fatalf("%v: %d of %d columns", words, next, len(table.Columns))
			}
			checkBoundaries(t, table, l)
		}
	}
}

func checkBoundaries(t *testing.T, table *Table, l Line) {
	t.Helper()
	differ := map[Edge]bool{}
	var fit []int
	whole := l.Row.Name == l.Row.Probe
	for i, v := range l.Row.Values {
		if v.Status == Recorded || whole && v.Status == Unsupported {
			fit = append(fit, i)
		}
	}
	for _, e := range table.edges(fit) {
		differ[e] = !l.Row.Values[e.From].Equal(l.Row.Values[e.To])
	}
	for _, b := range l.Change.Boundaries {
		if !differ[b.Edge] {
			t.Errorf("%s: boundary %v, where nothing differs", lineText(table, l), b.Edge)
		}
		if inside := table.SameSeries(b.From, b.To); inside != (b.Kind == Inside) {
			t.Errorf("%s: boundary %v is %s", lineText(table, l), b.Edge, b.Kind)
		}
		delete(differ, b.Edge)
	}
	for e, is := range differ {
		if is {
			t.Errorf("%s: no boundary at %v", lineText(table, l), e)
		}
	}
}
