package table

import (
	"cmp"
	"slices"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
)

// ChanceRow is how often something happened that takes luck. No two runs agree on
// it, so that it is neither a row of the table nor unstable: it is only shown.
type ChanceRow struct {
	Row   string `json:"row"`
	Probe string `json:"probe"`
	// Counts are what was counted, by column and repetition; none where the probe
	// was not asked.
	Counts [][]string `json:"counts"`
}

// chance lists the rows of chance, by name.
func chance(columns []repeated) []ChanceRow {
	var out []ChanceRow
	for i, c := range columns {
		for _, cell := range c.cells {
			for _, row := range cell.Rows {
				if row.Kind != observe.Chance || !slices.ContainsFunc(cell.Probes, func(p results.Probe) bool {
					return p.Name == row.Probe() && p.Outcome == observe.Recorded
				}) {
					continue
				}
				at, found := slices.BinarySearchFunc(out, row.Name, func(r ChanceRow, name string) int { return cmp.Compare(r.Row, name) })
				if !found {
					fresh := ChanceRow{Row: row.Name, Probe: row.Probe(), Counts: make([][]string, len(columns))}
					out = slices.Insert(out, at, fresh)
				}
				out[at].Counts[i] = append(out[at].Counts[i], row.Value)
			}
		}
	}
	return out
}
