package render

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/table"
)

// block is what changed in one probe, wherever the probe asks its question:
// "table-full/syn" and "table-full/syn@child" are one block.
type block struct {
	base   string // the probe's name without its place
	groups []group
}

// group is changes that have the same boundaries and stand in the same places.
type group struct {
	places     []string // "" or "@child", in the order of names
	boundaries []table.Boundary
	runs       [][]int
	changes    []table.Change // of the first place
}

// base splits the place off a probe's name.
func base(probe string) (name, place string) {
	if i := strings.IndexByte(probe, '@'); i >= 0 {
		return probe[:i], probe[i:]
	}
	return probe, ""
}

// attr is the part of a row's name that follows its probe's; empty for a probe
// as a whole.
func attr(row table.Row) string {
	return strings.TrimPrefix(strings.TrimPrefix(row.Name, row.Probe), "/")
}

// blocks folds what is the same in several places of a probe into one.
func blocks(groups []table.Group) []block {
	type item struct {
		look   string // what makes two changes stand in one group, but for places
		places []string
		group  table.Group
		change table.Change
	}
	var order []string
	items := map[string][]*item{}
	seen := map[string]*item{}
	for _, g := range groups {
		name, place := base(g.Probe)
		for _, c := range g.Changes {
			look := fmt.Sprint(c.Whole(), g.Boundaries, g.Runs)
			key := fmt.Sprintf("%q %s %q %q", name, look, attr(c.Row), c.Row.Values)
			if it := seen[key]; it != nil {
				it.places = append(it.places, place)
				continue
			}
			if items[name] == nil {
				order = append(order, name)
			}
			it := &item{look: look, places: []string{place}, group: g, change: c}
			seen[key] = it
			items[name] = append(items[name], it)
		}
	}
	slices.Sort(order)
	var out []block
	for _, name := range order {
		b := block{base: name}
		index := map[string]int{}
		for _, it := range items[name] {
			key := fmt.Sprintf("%s %q", it.look, it.places)
			at, ok := index[key]
			if !ok {
				at = len(b.groups)
				index[key] = at
				b.groups = append(b.groups, group{
					places: it.places, boundaries: it.group.Boundaries, runs: it.group.Runs,
				})
			}
			b.groups[at].changes = append(b.groups[at].changes, it.change)
		}
		slices.SortStableFunc(b.groups, byAge)
		out = append(out, b)
	}
	return out
}

// byAge puts older boundaries first, and a probe as a whole before its rows.
func byAge(a, b group) int {
	whole := func(g group) int {
		if g.changes[0].Whole() {
			return 0
		}
		return 1
	}
	return cmp.Or(cmp.Compare(whole(a), whole(b)), cmp.Compare(a.boundaries[0].To, b.boundaries[0].To))
}

// title writes a block's first lines and returns whether its groups must say
// for themselves where they stand.
func (r *report) title(b block) (tagged bool) {
	first := b.groups[0].places
	for _, g := range b.groups[1:] {
		tagged = tagged || !slices.Equal(g.places, first)
	}
	r.p.blank()
	spans := []span{{name, b.base}}
	if !tagged {
		if first[0] != "" {
			spans[0].text += first[0]
		}
		spans = append(spans, span{dim, r.whereabouts(b.base, first)})
	}
	r.p.line(spans...)
	if h, ok := r.head(b.base, first[0]); ok && h.Question != "" {
		r.p.para(2, dim, h.Question)
	}
	return tagged
}

// whereabouts says in which places of a probe a change is, beside the first,
// and in which it is not.
func (r *report) whereabouts(base string, places []string) string {
	var also, not []string
	for _, p := range r.places[base] {
		where := p
		if where == "" {
			where = "the initial namespace"
		}
		switch {
		case p == places[0]:
		case slices.Contains(places, p):
			also = append(also, where)
		default:
			not = append(not, where)
		}
	}
	text := ""
	if len(also) > 0 {
		text += "  also " + strings.Join(also, ", ")
	}
	if len(not) > 0 {
		text += "  not " + strings.Join(not, ", ")
	}
	return text
}

// head finds a probe's head, under its own name or without the place.
func (r *report) head(base, place string) (observe.Head, bool) {
	for _, want := range []string{base + place, base} {
		for _, h := range r.t.Heads {
			if h.Name == want {
				return h, true
			}
		}
	}
	return observe.Head{}, false
}

func (r *report) block(b block) {
	tagged := r.title(b)
	for i, g := range b.groups {
		if i > 0 || tagged {
			r.p.blank()
		}
		if tagged {
			where := "in the initial namespace"
			if g.places[0] != "" {
				where = g.places[0]
			}
			r.p.line(span{dim, "  " + where + r.whereabouts(b.base, g.places)})
		}
		r.group(g)
	}
}

// group writes one group: a column for each run of kernels that agree.
func (r *report) group(g group) {
	gr := grid{indent: 2, bars: true}
	heads := []span{{boundary, r.boundaryNames(g.boundaries)}}
	for _, run := range g.runs {
		heads = append(heads, span{strong, r.runName(run)})
	}
	gr.add(heads...)
	for _, c := range g.changes {
		row := []span{{plain, rowLabel(c)}}
		for _, run := range g.runs {
			row = append(row, span{plain, valueText(c.Row.Values[run[0]])})
		}
		gr.add(row...)
	}
	if gr.fits(r.p) {
		gr.write(r.p)
	} else {
		r.tall(g)
	}
	if s := r.skippedText(g.boundaries); s != "" {
		r.p.para(2, dim, s)
	}
}

// tall writes a group of too many runs for one line: a line for each.
func (r *report) tall(g group) {
	r.p.para(2, boundary, r.boundaryNames(g.boundaries))
	for _, c := range g.changes {
		r.p.line(span{plain, "  " + rowLabel(c)})
		gr := grid{indent: 4, bars: true}
		for _, run := range g.runs {
			gr.add(span{strong, r.runName(run)}, span{plain, valueText(c.Row.Values[run[0]])})
		}
		gr.write(r.p)
	}
}

func rowLabel(c table.Change) string {
	if c.Whole() {
		return "the whole probe"
	}
	return attr(c.Row)
}

// valueText is what a reader sees of a value: never nothing.
func valueText(v table.Value) string {
	switch {
	case v.Status == table.Recorded && v.Kind != "" && v.Text == "":
		return `""`
	case v.Status == table.Recorded && v.Kind != "":
		return v.Text
	case v.Text != "":
		return string(v.Status) + ": " + v.Text
	}
	return string(v.Status)
}

func (r *report) label(column int) string { return r.t.Columns[column].Label }

func (r *report) labels(columns []int) string {
	var out []string
	for _, c := range columns {
		out = append(out, r.label(c))
	}
	return strings.Join(out, ", ")
}

func (r *report) boundaryNames(bs []table.Boundary) string {
	var out []string
	for _, b := range bs {
		out = append(out, r.label(b.From)+" → "+r.label(b.To))
	}
	return strings.Join(out, ", ")
}

// runName names a run by its ends; in between nothing differs.
func (r *report) runName(run []int) string {
	if len(run) < 3 {
		return r.labels(run)
	}
	return r.label(run[0]) + " … " + r.label(run[len(run)-1])
}

func (r *report) skippedText(bs []table.Boundary) string {
	var columns []int
	for _, b := range bs {
		columns = append(columns, b.Skipped...)
	}
	if len(columns) == 0 {
		return ""
	}
	slices.Sort(columns)
	return "no answer from " + r.labels(slices.Compact(columns))
}
