package render

import (
	"cmp"
	"strings"
)

// chance writes what is up to luck, which no change or flicker is made of.
func (r *report) chance() {
	if len(r.t.Chance) == 0 {
		return
	}
	r.p.blank()
	r.p.line(span{strong, "by chance: compared with nothing"})
	r.blocks(r.chanceItems())
}

// chanceItems puts into words how often something happened, on each kernel.
func (r *report) chanceItems() []item {
	l := look{where: []string{"how often"}}
	for i := range r.t.Columns {
		l.heads = append(l.heads, r.label(i))
	}
	var items []item
	for _, row := range r.t.Chance {
		it := item{probe: row.Probe, label: strings.TrimPrefix(row.Row, row.Probe+"/"), look: l}
		for _, counts := range row.Counts {
			it.values = append(it.values, cmp.Or(strings.Join(counts, ", "), "not asked"))
		}
		items = append(items, it)
	}
	return items
}
