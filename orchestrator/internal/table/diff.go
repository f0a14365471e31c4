package table

import (
	"cmp"
	"slices"

	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
)

// Difference is how table B differs from table A, column by column.
type Difference struct {
	A, B  *Table
	Pairs []Pair // columns that are compared, by B
	OnlyA []int  // columns of A without a partner
	OnlyB []int  // columns of B without a partner
	// Rows differ in at least one pair; by name. As in Change, a probe that is
	// recorded on one side and unsupported on the other is one row, of the
	// probe's name.
	Rows []DiffRow
	// Vanished and New are rows of probes that both sides recorded, which only
	// A or only B has.
	Vanished, New []string
	// ProbesA and ProbesB are probes that only A or only B has anywhere: the
	// runs selected other probes, or are of different suites.
	ProbesA, ProbesB []string
	Cells            []int // pairs of which a cell's outcome is not ok
	Residue          []Uncompared
	Book             Book // of notes that changes are held against; may be empty
}

// Pair is a column of A and one of B that are compared, and why.
type Pair struct {
	A, B int
	By   Match
}

// Match says what made a pair.
type Match string

// The matches, in the order in which they are tried.
const (
	ByVersion Match = "version" // the same build
	ByRef     Match = "ref"     // the same ref, which has moved on since
	BySeries  Match = "series"  // the only ones of a series on both sides
	ByChoice  Match = "choice"  // each side has only this one
)

// DiffRow is one row's values, old and new, parallel to Difference.Pairs. In a
// pair that does not compare the row, both are what they are, and Differs is
// false.
type DiffRow struct {
	Name, Probe string
	Old, New    []Value
	Differs     []bool
	// Notes are those that explain the difference: indexes in the book. It is
	// nil where the book is empty.
	Notes [][]int
}

// Uncompared is a probe or a row that one side of some pairs gives no behaviour
// for, or that must not be compared.
type Uncompared struct {
	Probe    string
	Row      string // of one that is unstable; "" for the probe
	Pairs    []int  // indexes of Difference.Pairs
	Old, New Value  // of the first of them
	Clocks   bool   // the probe's rows depend on the clock, and the clocks differ
}

// Diff compares two tables: the same kernel under the same variant, by version,
// else by ref, else by series. Where each side has a single column, these are
// compared whatever they are: that is how two kernels of one run are. What
// differs is held against the notes of b.
func Diff(a, b *Table) *Difference {
	d := &Difference{A: a, B: b, Book: b.Book}
	d.match(true)
	for i, p := range d.Pairs {
		if a.Columns[p.A].Outcome != results.CellOK || b.Columns[p.B].Outcome != results.CellOK {
			d.Cells = append(d.Cells, i)
		}
	}
	d.compare()
	d.explain()
	return d
}

// Clocks returns the clocks that the two kernels of a pair ran on, and whether
// they differ. A cell that never ran has none.
func (d *Difference) Clocks(pair int) (a, b string, differ bool) {
	p := d.Pairs[pair]
	a, b = d.A.Columns[p.A].Guest.Clock, d.B.Columns[p.B].Guest.Clock
	return a, b, a != "" && b != "" && a != b
}

// Changes counts what differs: rows that changed, vanished or are new.
func (d *Difference) Changes() int { return len(d.Rows) + len(d.Vanished) + len(d.New) }

// Failed reports whether something that both sides were to answer could not be
// compared.
func (d *Difference) Failed() bool { return len(d.Cells)+len(d.Residue) > 0 }

// match pairs columns; with choice also those that are the only ones, whatever
// they are.
func (d *Difference) match(choice bool) {
	usedA, usedB := make([]bool, len(d.A.Columns)), make([]bool, len(d.B.Columns))
	try := func(by Match, key func(Column) string) {
		for j, b := range d.B.Columns {
			i := sole(d.A.Columns, usedA, key, key(b))
			if usedB[j] || i < 0 || sole(d.B.Columns, usedB, key, key(b)) != j {
				continue
			}
			usedA[i], usedB[j] = true, true
			d.Pairs = append(d.Pairs, Pair{A: i, B: j, By: by})
		}
	}
	try(ByVersion, func(c Column) string { return buildKey(c.Cell) + " " + version(c.Kernel) })
	try(ByRef, func(c Column) string { return buildKey(c.Cell) + " " + c.Kernel.Ref })
	try(BySeries, func(c Column) string { return seriesKey(c.Cell) })
	if choice && len(d.A.Columns) == 1 && len(d.B.Columns) == 1 {
		try(ByChoice, func(Column) string { return "" })
	}
	slices.SortFunc(d.Pairs, func(x, y Pair) int { return cmp.Compare(x.B, y.B) })
	d.OnlyA, d.OnlyB = unused(usedA), unused(usedB)
}

// sole returns the only unused column with the key, -1 where there are none or
// several.
func sole(columns []Column, used []bool, key func(Column) string, want string) int {
	at := -1
	for i, c := range columns {
		if used[i] || key(c) != want {
			continue
		}
		if at >= 0 {
			return -1
		}
		at = i
	}
	return at
}

func unused(used []bool) []int {
	var out []int
	for i, u := range used {
		if !u {
			out = append(out, i)
		}
	}
	return out
}

// compare walks the probes of both tables side by side.
func (d *Difference) compare() {
	a, b := d.A.Probes, d.B.Probes
	for len(a) > 0 || len(b) > 0 {
		switch {
		case len(b) == 0 || len(a) > 0 && a[0].Name < b[0].Name:
			d.ProbesA = append(d.ProbesA, a[0].Name)
			a = a[1:]
		case len(a) == 0 || b[0].Name < a[0].Name:
			d.ProbesB = append(d.ProbesB, b[0].Name)
			b = b[1:]
		default:
			d.compareProbe(a[0], b[0])
			a, b = a[1:], b[1:]
		}
	}
}
