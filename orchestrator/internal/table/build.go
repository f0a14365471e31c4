package table

import (
	"maps"
	"slices"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
)

// New lays out cells. Heads may be empty; they only describe probes. A row
// whose probe was not recorded in its cell is left out. The repetitions of a
// kernel under a variant are one column; what differs between them is unstable.
func New(cells []results.CellRows, heads []observe.Head) *Table {
	cells = slices.Clone(cells)
	sortCells(cells, func(c results.CellRows) results.Cell { return c.Cell })
	columns := gather(cells)
	t := &Table{Heads: heads, Unstable: unstable(columns), Chance: chance(columns)}
	lanes := map[string]int{}
	var whole []results.Cell
	for _, c := range columns {
		whole = append(whole, c.cell())
	}
	for i, label := range labels(whole) {
		lane, ok := lanes[whole[i].Variant]
		if !ok {
			lane = len(lanes)
			lanes[whole[i].Variant] = lane
		}
		t.Columns = append(t.Columns, Column{
			Cell: whole[i], Runs: len(columns[i].cells), Label: label, Lane: lane, Parent: -1,
		})
	}
	for _, e := range t.Edges() {
		t.Columns[e.To].Parent = e.From
	}
	outcomes := t.layProbes(columns)
	t.layRows(columns, outcomes)
	return t
}

// layProbes fills t.Probes and returns the outcomes by probe.
func (t *Table) layProbes(columns []repeated) map[string][]Value {
	outcomes := map[string][]Value{}
	for _, c := range columns {
		for _, cell := range c.cells {
			for _, p := range cell.Probes {
				if outcomes[p.Name] == nil {
					outcomes[p.Name] = make([]Value, len(columns))
				}
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(outcomes)) {
		for col, c := range columns {
			outcomes[name][col] = c.outcome(name)
		}
		t.Probes = append(t.Probes, Probe{Name: name, Outcomes: outcomes[name]})
	}
	return outcomes
}

// layRows fills t.Rows.
func (t *Table) layRows(columns []repeated, outcomes map[string][]Value) {
	values := map[string][]Value{}
	for col, c := range columns {
		for name, seen := range c.rows {
			probe := observe.Row{Name: name}.Probe()
			if outcomes[probe][col].Status != Recorded {
				continue
			}
			if values[name] == nil {
				values[name] = absent(outcomes[probe])
			}
			values[name][col] = settled(seen)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		t.Rows = append(t.Rows, Row{Name: name, Probe: observe.Row{Name: name}.Probe(), Values: values[name]})
	}
}

// absent returns the values of a row that no column has recorded yet.
func absent(outcomes []Value) []Value {
	values := slices.Clone(outcomes)
	for i := range values {
		if values[i].Status == Recorded {
			values[i] = Value{Status: Absent}
		}
	}
	return values
}
