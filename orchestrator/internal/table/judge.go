package table

import (
	"slices"

	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
)

// Judgement is what a table is against a blessed one. Of the Difference, A is the
// blessed table, and pairs are kernels of the same version, ref or series: a
// kernel that has no counterpart is compared with none by choice.
type Judgement struct {
	*Difference
	// Unblessed are probes that both sides have, but that a kernel was not asked
	// when it was blessed.
	Unblessed []Unblessed
	// Below are the changes between kernels without a counterpart, which are
	// columns in OnlyB, and their neighbours below in the table.
	Below []Change
	// Gaps are what the table has no behaviour for. Rows that are absent, and
	// clocks that differ, are told only of kernels without a counterpart: of the
	// others the Difference tells them.
	Gaps Residue
}

// Unblessed is a probe, and the pairs in which it was not blessed.
type Unblessed struct {
	Probe string
	Pairs []int
}

// Judge compares a table with a blessed one. Probes that only the blessed one has
// vanished if the table's kernels were asked them, by name; asked may be nil where
// that is not known.
func Judge(blessed, t *Table, asked func(probe string) bool) *Judgement {
	j := &Judgement{Difference: &Difference{A: blessed, B: t, Book: t.Book}}
	j.match(false)
	j.compare()
	j.explain()
	j.unblessed()
	if asked != nil {
		j.vanish(asked)
	}
	// What the table has no behaviour for is told once, as Gaps.
	j.Residue = slices.DeleteFunc(j.Residue, func(u Uncompared) bool { return !u.Clocks })
	fresh := func(column int) bool { return slices.Contains(j.OnlyB, column) }
	for _, c := range t.Changes() {
		c.Boundaries = slices.DeleteFunc(c.Boundaries, func(b Boundary) bool { return !fresh(b.To) })
		if len(c.Boundaries) > 0 {
			j.Below = append(j.Below, c)
		}
	}
	j.Gaps = t.Residue()
	for i := range j.Gaps.Absent {
		a := &j.Gaps.Absent[i]
		a.Columns = slices.DeleteFunc(a.Columns, func(c int) bool { return !fresh(c) })
	}
	j.Gaps.Absent = slices.DeleteFunc(j.Gaps.Absent, func(a AbsentRow) bool { return len(a.Columns) == 0 })
	j.Gaps.Clocks = slices.DeleteFunc(j.Gaps.Clocks, func(c Clocked) bool { return !fresh(c.To) })
	return j
}

// Unasked reports whether an outcome says that a column's kernel was never asked
// a probe, although all ran that it was asked.
func (t *Table) Unasked(outcome Value, column int) bool {
	return outcome == Value{Status: Missing} && t.Columns[column].Outcome == results.CellOK
}

// unblessed finds the probes that the blessed side of a pair was not asked.
func (j *Judgement) unblessed() {
	for _, p := range j.B.Probes {
		at := slices.IndexFunc(j.A.Probes, func(o Probe) bool { return o.Name == p.Name })
		if at < 0 {
			continue
		}
		u := Unblessed{Probe: p.Name}
		for i, pair := range j.Pairs {
			if j.A.Unasked(j.A.Probes[at].Outcomes[pair.A], pair.A) && p.Outcomes[pair.B].Status.Behaviour() {
				u.Pairs = append(u.Pairs, i)
			}
		}
		if len(u.Pairs) > 0 {
			j.Unblessed = append(j.Unblessed, u)
		}
	}
}

// vanish has the rows of probes vanish that should have been asked. A probe
// without rows stands for itself.
func (j *Judgement) vanish(asked func(probe string) bool) {
	var left []string
	for _, probe := range j.ProbesA {
		if !asked(probe) || len(j.Pairs) == 0 {
			left = append(left, probe)
			continue
		}
		rows := j.A.rowsOf(probe)
		for _, r := range rows {
			j.Vanished = append(j.Vanished, r.Name)
		}
		if len(rows) == 0 {
			j.Vanished = append(j.Vanished, probe)
		}
	}
	slices.Sort(j.Vanished)
	j.ProbesA = left
}

// Fresh counts what is asked of a blessed kernel and was not blessed: rows, and
// probes as a whole.
func (j *Judgement) Fresh() int {
	n := len(j.New) + len(j.Unblessed)
	if len(j.Pairs) > 0 {
		n += len(j.ProbesB)
	}
	return n
}

// Failed reports whether something that was to be compared could not be.
func (j *Judgement) Failed() bool { return len(j.Residue) > 0 || !j.Gaps.Empty() }
