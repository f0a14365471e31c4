package render

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/beside"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/table"
)

// Settings is what two neighbours have not in common beside their rows.
type Settings struct {
	From        string              `json:"from"` // labels
	To          string              `json:"to"`
	Differences []beside.Difference `json:"differences"`
	// Unknown are the labels of those whose configuration is not known: of their
	// options nothing is said.
	Unknown []string `json:"unknown,omitempty"`
}

// asides are what stands beside the rows of one or two tables. Each comparison is
// made once.
type asides struct {
	heads map[string]observe.Head
	sides map[sideKey]beside.Side
	made  map[[2]sideKey]*beside.Comparison
}

// sideKey is a column of a table.
type sideKey struct {
	t      *table.Table
	column int
}

func newAsides(heads []observe.Head) *asides {
	a := &asides{heads: map[string]observe.Head{}, sides: map[sideKey]beside.Side{}, made: map[[2]sideKey]*beside.Comparison{}}
	for _, h := range heads {
		a.heads[h.Name] = h
	}
	return a
}

func (a *asides) side(k sideKey) beside.Side {
	s, ok := a.sides[k]
	if !ok {
		s = beside.SideOf(k.t, k.column)
		a.sides[k] = s
	}
	return s
}

func (a *asides) compare(from, to sideKey) *beside.Comparison {
	pair := [2]sideKey{from, to}
	c := a.made[pair]
	if c == nil {
		c = beside.Compare(a.side(from), a.side(to))
		a.made[pair] = c
	}
	return c
}

// boundary returns what goes with a change over one of its boundaries.
func (a *asides) boundary(t *table.Table, c table.Change, b table.Boundary) []beside.Difference {
	s := beside.SubjectOf(c.Row.Name, a.heads[c.Row.Probe], c.Row.Values[b.From], c.Row.Values[b.To])
	return a.compare(sideKey{t, b.From}, sideKey{t, b.To}).Of(s)
}

// change returns what goes with a change over any of its boundaries, each once.
func (a *asides) change(t *table.Table, c table.Change) []beside.Difference {
	var out []beside.Difference
	for _, b := range c.Boundaries {
		for _, d := range a.boundary(t, c, b) {
			if !slices.Contains(out, d) {
				out = append(out, d)
			}
		}
	}
	return out
}

// pair returns what goes with a row that differs in a pair.
func (a *asides) pair(d *table.Difference, r table.DiffRow, pair int) []beside.Difference {
	p := d.Pairs[pair]
	s := beside.SubjectOf(r.Name, a.heads[r.Probe], r.Old[pair], r.New[pair])
	return a.compare(sideKey{d.A, p.A}, sideKey{d.B, p.B}).Of(s)
}

// goesWith begins what stands beside a change. It never says why.
const goesWith = "goes with "

// besideText tells differences in a sentence, or nothing.
func besideText(ds []beside.Difference) string {
	if len(ds) == 0 {
		return ""
	}
	var parts []string
	for _, d := range ds {
		parts = append(parts, d.String())
	}
	return goesWith + strings.Join(parts, ", ")
}

// besides writes what goes with some changes, a line for each difference, which
// says with how many if not with all.
func (r *report) besides(indent int, changes []table.Change) {
	var all []beside.Difference
	times := map[beside.Difference]int{}
	for _, c := range changes {
		for _, d := range r.asides.change(r.t, c) {
			if times[d] == 0 {
				all = append(all, d)
			}
			times[d]++
		}
	}
	for _, d := range all {
		text := goesWith + d.String()
		if times[d] < len(changes) {
			text += fmt.Sprintf(" (%d of %d)", times[d], len(changes))
		}
		r.p.para(indent, dim, text)
	}
}

// unconfigured says of which kernels the options are not known, where those of
// others are: what then goes with a change is not told.
func (r *report) unconfigured() {
	var without []int
	for i, c := range r.t.Columns {
		if c.Config == nil && len(c.Probes) > 0 {
			without = append(without, i)
		}
	}
	if len(without) > 0 && slices.ContainsFunc(r.t.Columns, func(c table.Column) bool { return c.Config != nil }) {
		r.p.para(0, dim, "options not known, so not compared: "+r.labels(without))
	}
}

// settingsOf is what the neighbours of a table have not in common.
func settingsOf(t *table.Table, a *asides) []Settings {
	var out []Settings
	told := slices.ContainsFunc(t.Columns, func(c table.Column) bool { return c.Config != nil })
	for _, e := range t.Edges() {
		s := Settings{From: t.Columns[e.From].Label, To: t.Columns[e.To].Label, Differences: []beside.Difference{}}
		s.Differences = append(s.Differences, a.compare(sideKey{t, e.From}, sideKey{t, e.To}).All...)
		for _, i := range []int{e.From, e.To} {
			if t.Columns[i].Config == nil {
				s.Unknown = append(s.Unknown, t.Columns[i].Label)
			}
		}
		if len(s.Differences) > 0 || told && len(s.Unknown) > 0 {
			out = append(out, s)
		}
	}
	return out
}
