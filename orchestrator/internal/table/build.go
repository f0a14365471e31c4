package table

import (
	"cmp"
	"slices"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
)

// New lays out cells. Heads may be empty; they only describe probes. A row
// whose probe was not recorded in its cell is left out.
func New(cells []results.CellRows, heads []observe.Head) *Table {
	cells = slices.Clone(cells)
	sortCells(cells)
	t := &Table{Heads: heads}
	lanes := map[string]int{}
	for i, label := range labels(cells) {
		lane, ok := lanes[cells[i].Variant]
		if !ok {
			lane = len(lanes)
			lanes[cells[i].Variant] = lane
		}
		t.Columns = append(t.Columns, Column{Cell: cells[i].Cell, Label: label, Lane: lane, Parent: -1})
	}
	for _, e := range t.Edges() {
		t.Columns[e.To].Parent = e.From
	}
	outcomes := t.layProbes(cells)
	t.layRows(cells, outcomes)
	return t
}

// layProbes fills t.Probes and returns the outcomes by probe.
func (t *Table) layProbes(cells []results.CellRows) map[string][]Value {
	outcomes := map[string][]Value{}
	for col, c := range cells {
		for _, p := range c.Probes {
			if outcomes[p.Name] == nil {
				outcomes[p.Name] = make([]Value, len(cells))
				t.Probes = append(t.Probes, Probe{Name: p.Name, Outcomes: outcomes[p.Name]})
			}
			v := Value{Status: Status(p.Outcome), Text: p.Reason}
			if p.Outcome == observe.Recorded {
				v.Text = "" // two recorded probes are the same
			}
			outcomes[p.Name][col] = v
		}
	}
	for _, values := range outcomes {
		for i := range values {
			if values[i].Status == "" {
				values[i] = Value{Status: Missing}
			}
		}
	}
	slices.SortFunc(t.Probes, func(a, b Probe) int { return cmp.Compare(a.Name, b.Name) })
	return outcomes
}

// layRows fills t.Rows.
func (t *Table) layRows(cells []results.CellRows, outcomes map[string][]Value) {
	index := map[string]int{}
	for col, c := range cells {
		for _, row := range c.Rows {
			probe := row.Probe()
			if len(outcomes[probe]) == 0 || outcomes[probe][col].Status != Recorded {
				continue
			}
			at, ok := index[row.Name]
			if !ok {
				at = len(t.Rows)
				index[row.Name] = at
				t.Rows = append(t.Rows, Row{Name: row.Name, Probe: probe, Values: absent(outcomes[probe])})
			}
			t.Rows[at].Values[col] = Value{Status: Recorded, Kind: row.Kind, Text: row.Value}
		}
	}
	slices.SortFunc(t.Rows, func(a, b Row) int { return cmp.Compare(a.Name, b.Name) })
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
