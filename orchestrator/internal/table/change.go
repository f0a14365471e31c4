package table

import (
	"fmt"
	"slices"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
)

// Boundary is an edge over which a row's value differs. Where columns between
// the two could not be compared, Skipped names them: then From need not be the
// parent of To, but is what its parent would be without them.
type Boundary struct {
	Edge
	Place
	// Backport says that the older series may have its value by a backport that
	// went in before the kernel that was asked: the newer one, or one that is
	// newer still, comes to have it later. Only of boundaries between series.
	Backport bool  `json:"backport,omitempty"`
	Skipped  []int `json:"skipped,omitempty"`
	Notes    []int `json:"notes,omitempty"` // that explain it: indexes in the table's book
}

// Change is one row that differs over at least one edge. Where a probe as a
// whole changes between recorded and unsupported, that is one change, of a row
// that has the probe's name and its outcomes for values; the rows of the probe
// are then compared among the columns that recorded them.
type Change struct {
	Row        Row        `json:"row"`
	Boundaries []Boundary `json:"boundaries"` // by To
}

// Whole reports whether c is of a probe as a whole.
func (c Change) Whole() bool { return c.Row.Name == c.Row.Probe }

// Group is changes of one probe that look alike: the same boundaries, and the
// same runs of equal values over the columns.
type Group struct {
	Probe      string     `json:"probe"`
	Boundaries []Boundary `json:"boundaries"`
	// Runs are columns next to each other that hold the same value. A column
	// that could not be compared is in none.
	Runs    [][]int  `json:"runs"`
	Changes []Change `json:"changes"` // by row; a change of the whole probe stands alone
}

// Changes are the rows that differ between neighbours, by name, a probe's own
// before those of its rows.
func (t *Table) Changes() []Change {
	var out []Change
	for _, p := range t.Probes {
		whole := Row{Name: p.Name, Probe: p.Name, Values: p.Outcomes}
		out = t.appendChange(out, whole, Status.Behaviour)
		for _, row := range t.rowsOf(p.Name) {
			out = t.appendChange(out, row, func(s Status) bool { return s == Recorded })
		}
	}
	return t.explain(out)
}

// rowsOf returns the rows of a probe. Rows are sorted by name, so those of a
// probe follow each other.
func (t *Table) rowsOf(probe string) []Row {
	start, _ := slices.BinarySearchFunc(t.Rows, probe+"/", func(r Row, prefix string) int {
		if r.Name < prefix {
			return -1
		}
		return 1
	})
	end := start
	for end < len(t.Rows) && t.Rows[end].Probe == probe {
		end++
	}
	return t.Rows[start:end]
}

func (t *Table) appendChange(out []Change, row Row, fit func(Status) bool) []Change {
	var columns []int
	differs := false
	for i, v := range row.Values {
		if !fit(v.Status) {
			continue
		}
		columns = append(columns, i)
		differs = differs || !v.Equal(row.Values[columns[0]])
	}
	if !differs {
		return out
	}
	// What has no answer is left out of the tree, not just out of the
	// comparison: a change is not lost because the kernel it came with crashed.
	c := Change{Row: row}
	for _, e := range t.edges(columns) {
		if !row.Values[e.From].Equal(row.Values[e.To]) && !t.apart(row.Probe, e) {
			c.Boundaries = append(c.Boundaries, Boundary{Edge: e, Skipped: t.skipped(e, columns)})
		}
	}
	if len(c.Boundaries) == 0 {
		return out // variants differ, which are no neighbours
	}
	t.place(&c)
	return append(out, c)
}

// apart reports whether an edge does not compare a probe, whose rows depend on
// the clock, because the two kernels ran on different ones.
func (t *Table) apart(probe string, e Edge) bool {
	a, b := t.Columns[e.From].Guest.Clock, t.Columns[e.To].Guest.Clock
	return a != b && a != "" && b != "" && t.timed(probe)
}

// timed reports whether a probe's rows depend on the clock.
func (t *Table) timed(probe string) bool {
	return slices.ContainsFunc(t.Heads, func(h observe.Head) bool { return h.Name == probe && h.Timed })
}

// skipped returns the ancestors of an edge's younger end that columns leaves
// out, up to the first that it has.
func (t *Table) skipped(e Edge, columns []int) []int {
	var out []int
	for at := t.Columns[e.To].Parent; at >= 0 && !slices.Contains(columns, at); at = t.Columns[at].Parent {
		out = append(out, at)
	}
	slices.Reverse(out)
	return out
}

// Groups are the changes, those of a probe that look alike together, by probe.
func (t *Table) Groups() []Group { return t.GroupsOf(t.Changes()) }

// GroupsOf is Groups of some changes of the table.
func (t *Table) GroupsOf(changes []Change) []Group {
	var out []Group
	index := map[string]int{}
	for _, c := range changes {
		g := Group{Probe: c.Row.Probe, Boundaries: c.Boundaries, Runs: t.runs(c)}
		key := fmt.Sprint(g.Probe, c.Whole(), g.Boundaries, g.Runs)
		at, ok := index[key]
		if !ok {
			at = len(out)
			index[key] = at
			out = append(out, g)
		}
		out[at].Changes = append(out[at].Changes, c)
	}
	return out
}

// runs splits the columns that c compares into runs of the same value.
func (t *Table) runs(c Change) [][]int {
	var out [][]int
	for i, v := range c.Row.Values {
		if v.Status != Recorded && !(c.Whole() && v.Status == Unsupported) {
			continue
		}
		if n := len(out); n > 0 {
			last := out[n-1][0]
			if v.Equal(c.Row.Values[last]) && t.Columns[i].Lane == t.Columns[last].Lane {
				out[n-1] = append(out[n-1], i)
				continue
			}
		}
		out = append(out, []int{i})
	}
	return out
}

// Residue is what could not be compared, and why.
type Residue struct {
	Cells  []int        `json:"cells"`  // columns whose outcome is not ok
	Probes []Unanswered `json:"probes"` // without those that never ran because their cell is not ok
	Absent []AbsentRow  `json:"absent"`
	Clocks []Clocked    `json:"clocks"`
	// Unstable is apart from the rest: there are answers, but too many.
	Unstable []UnstableRow `json:"unstable"`
}

// Clocked is a probe whose rows depend on the clock, and an edge that does not
// compare it because the clocks differ.
type Clocked struct {
	Probe string `json:"probe"`
	Edge
}

// Unanswered is a probe that gave no behaviour in some columns, for one reason.
type Unanswered struct {
	Probe   string `json:"probe"`
	Status  Status `json:"status"` // broken, crashed or missing
	Reason  string `json:"reason,omitempty"`
	Columns []int  `json:"columns"`
}

// AbsentRow is a row that a probe recorded on some kernels, but not on these.
type AbsentRow struct {
	Row     string `json:"row"`
	Columns []int  `json:"columns"`
}

// Empty reports whether everything could be compared.
func (r Residue) Empty() bool {
	return len(r.Cells)+len(r.Probes)+len(r.Absent)+len(r.Clocks)+len(r.Unstable) == 0
}

// Residue is what could not be compared.
func (t *Table) Residue() Residue {
	r := Residue{Unstable: t.Unstable}
	for i, c := range t.Columns {
		if c.Outcome != results.CellOK {
			r.Cells = append(r.Cells, i)
		}
	}
	for _, p := range t.Probes {
		r.Probes = append(r.Probes, t.unanswered(p)...)
		for _, e := range t.Edges() {
			if t.apart(p.Name, e) {
				r.Clocks = append(r.Clocks, Clocked{Probe: p.Name, Edge: e})
			}
		}
	}
	for _, row := range t.Rows {
		var columns []int
		for i, v := range row.Values {
			if v.Status == Absent {
				columns = append(columns, i)
			}
		}
		if len(columns) > 0 {
			r.Absent = append(r.Absent, AbsentRow{Row: row.Name, Columns: columns})
		}
	}
	return r
}

func (t *Table) unanswered(p Probe) []Unanswered {
	var out []Unanswered
	for i, v := range p.Outcomes {
		if v.Status.Behaviour() || v.Status == Unstable || v.Status == Missing && t.Columns[i].Outcome != results.CellOK {
			continue
		}
		at := slices.IndexFunc(out, func(u Unanswered) bool { return u.Status == v.Status && u.Reason == v.Text })
		if at < 0 {
			at = len(out)
			out = append(out, Unanswered{Probe: p.Name, Status: v.Status, Reason: v.Text})
		}
		out[at].Columns = append(out[at].Columns, i)
	}
	return out
}
