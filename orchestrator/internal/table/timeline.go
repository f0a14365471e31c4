package table

import (
	"slices"

	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
)

// Line is one row over the whole history: its values as runs over the releases
// of each series, so that a value that changes and changes back inside a series
// is seen although both ends are equal.
type Line struct {
	Row    Row
	Values []Value // distinct, in order of appearance; without what is no behaviour
	Series []SeriesLine
	// Change is what Changes says of the row; without boundaries where no two
	// neighbours differ.
	Change Change
}

// Constant reports whether the row has one value wherever it has any.
func (l Line) Constant() bool { return len(l.Values) < 2 }

// SeriesLine is one series of one build under one variant.
type SeriesLine struct {
	First     int // column that the series begins with
	Stretches []Stretch
}

// Stretch is columns of one series that follow each other and hold the same
// value.
type Stretch struct {
	Value   int // index in Line.Values; -1 for what is no behaviour
	Status  Status
	Columns []int
}

// Answered are the columns that were asked, in order: those of cells that ran at
// least in part. The others say nothing of any row.
func (t *Table) Answered() (answered, silent []int) {
	for i, c := range t.Columns {
		if c.Outcome == results.CellOK || slices.ContainsFunc(t.Probes, func(p Probe) bool { return p.Outcomes[i].Status.Behaviour() }) {
			answered = append(answered, i)
		} else {
			silent = append(silent, i)
		}
	}
	return answered, silent
}

// Timeline lays out the rows whose names match, by name, and as a row of its own
// each probe that not every column recorded.
func (t *Table) Timeline(match func(row string) bool) []Line {
	changes := map[string]Change{}
	for _, c := range t.Changes() {
		changes[c.Row.Name] = c
	}
	columns, _ := t.Answered()
	var out []Line
	for _, p := range t.Probes {
		rows := t.rowsOf(p.Name)
		if whole := (Row{Name: p.Name, Probe: p.Name, Values: p.Outcomes}); !t.recordedIn(p, columns) {
			rows = append([]Row{whole}, rows...)
		}
		for _, row := range rows {
			if match(row.Name) {
				l := t.line(row, columns)
				l.Change = changes[row.Name]
				out = append(out, l)
			}
		}
	}
	return out
}

// recordedIn reports whether a probe was recorded in each of the columns.
func (t *Table) recordedIn(p Probe, columns []int) bool {
	return !slices.ContainsFunc(columns, func(c int) bool { return p.Outcomes[c].Status != Recorded })
}

// Line lays out one row of the table.
func (t *Table) Line(row Row) Line {
	columns, _ := t.Answered()
	return t.line(row, columns)
}

func (t *Table) line(row Row, columns []int) Line {
	l := Line{Row: row}
	for n, col := range columns {
		if n == 0 || !t.SameSeries(columns[n-1], col) {
			l.Series = append(l.Series, SeriesLine{First: col})
		}
		s := &l.Series[len(l.Series)-1]
		v := row.Values[col]
		value := l.number(v)
		if n := len(s.Stretches); n > 0 {
			last := &s.Stretches[n-1]
			if last.Value == value && (value >= 0 || last.Status == v.Status) {
				last.Columns = append(last.Columns, col)
				continue
			}
		}
		s.Stretches = append(s.Stretches, Stretch{Value: value, Status: v.Status, Columns: []int{col}})
	}
	return l
}

// number returns the index of a value among the distinct ones, to which it is
// added where it is new.
func (l *Line) number(v Value) int {
	if !v.Status.Behaviour() {
		return -1
	}
	if at := slices.IndexFunc(l.Values, v.Equal); at >= 0 {
		return at
	}
	l.Values = append(l.Values, v)
	return len(l.Values) - 1
}

// SeriesOf is the name of a column's series, "6.1".
func (t *Table) SeriesOf(column int) string { return series(t.Columns[column].Kernel) }

// SameSeries reports whether two columns are of one series, build and variant.
func (t *Table) SameSeries(a, b int) bool {
	return sameSeries(&t.Columns[a].Cell, &t.Columns[b].Cell)
}
