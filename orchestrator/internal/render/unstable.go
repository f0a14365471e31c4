package render

import (
	"slices"

	"github.com/ctmatrix/ctmatrix/orchestrator/internal/table"
)

// unstable writes what differs on the same kernel, apart from what differs
// between kernels: rows, kernels, and the values with how often each was seen.
func (r *report) unstable(rows []table.UnstableRow) {
	if len(rows) == 0 {
		return
	}
	r.p.blank()
	r.p.line(span{bad, "unstable: differ on the same kernel"})
	for _, f := range r.flickers(rows) {
		r.p.para(2, name, joinNames(f.names))
		g := grid{indent: 4}
		for i, column := range f.columns {
			g.add(span{strong, r.label(column)}, span{plain, f.values[i]})
		}
		g.write(r.p)
	}
}

// flicker is rows that were seen to have the same values equally often on the
// same kernels.
type flicker struct {
	names   []string
	columns []int
	values  []string // parallel to columns
}

func (r *report) flickers(rows []table.UnstableRow) []flicker {
	var out []flicker
	for _, row := range rows {
		f := flicker{names: []string{row.Row}}
		for _, c := range row.Columns {
			f.columns = append(f.columns, c.Column)
			f.values = append(f.values, table.Tally(c.Seen))
		}
		at := slices.IndexFunc(out, func(o flicker) bool {
			return slices.Equal(o.columns, f.columns) && slices.Equal(o.values, f.values)
		})
		if at < 0 {
			out = append(out, f)
			continue
		}
		out[at].names = append(out[at].names, row.Row)
	}
	return out
}
