package render

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/table"
)

// difference is one DiffText being written.
type difference struct {
	page
	d      *table.Difference
	asides *asides
}

// DiffText writes what differs between the two tables of d, what only one of
// them has, what could not be compared, and a line of counts.
func DiffText(w io.Writer, d *table.Difference, o Options) error {
	var probes []string
	for _, p := range d.B.Probes {
		probes = append(probes, p.Name)
	}
	df := &difference{
		page: newPage(o, append(slices.Clone(d.B.Heads), d.A.Heads...), probes), d: d, asides: newAsides(d.B.Heads),
	}
	df.kernels()
	df.differences()
	df.verdict()
	df.lists()
	df.residue()
	df.stale(&d.Book, d.Stale())
	df.counts()
	_, err := w.Write(df.p.buf.Bytes())
	return err
}

// differences writes what differs, what notes explain apart.
func (df *difference) differences() {
	open, explained := df.items()
	df.blocks(open)
	if len(explained) > 0 {
		df.heading(explainedTitle)
		df.blocks(explained)
	}
}

// pairLabel names a pair: by one label where both sides have the same.
func pairLabel(d *table.Difference, pair int) string {
	a, b := pairSides(d, pair)
	if a == b {
		return a
	}
	return a + " → " + b
}

// pairSides returns the labels of a pair, with full versions where only these
// tell the two apart.
func pairSides(d *table.Difference, pair int) (a, b string) {
	x, y := d.A.Columns[d.Pairs[pair].A], d.B.Columns[d.Pairs[pair].B]
	if x.Label == y.Label && x.Kernel.Version != y.Kernel.Version {
		return x.Label + " (" + x.Kernel.Version + ")", y.Label + " (" + y.Kernel.Version + ")"
	}
	return x.Label, y.Label
}

func (df *difference) kernels() {
	df.pairs()
	if len(df.d.OnlyA) > 0 {
		df.p.para(0, dim, "only before: "+strings.Join(labelsOf(df.d.A, df.d.OnlyA), ", "))
	}
	if len(df.d.OnlyB) > 0 {
		df.p.para(0, dim, "only after: "+strings.Join(labelsOf(df.d.B, df.d.OnlyB), ", "))
	}
}

// pairs writes a line for each pair.
func (df *difference) pairs() {
	g := grid{}
	for i, p := range df.d.Pairs {
		x, y := df.d.A.Columns[p.A].Kernel.Version, df.d.B.Columns[p.B].Kernel.Version
		if x != y {
			x += " → " + y
		}
		var notes []string
		switch p.By {
		case table.ByRef:
			notes = append(notes, "the ref moved on")
		case table.BySeries:
			notes = append(notes, "the only ones of the series")
		}
		if note := clockNote(df.d, i); note != "" {
			notes = append(notes, note)
		}
		g.add(span{strong, pairLabel(df.d, i)}, span{plain, x}, span{dim, strings.Join(notes, "; ")})
	}
	g.write(df.p)
}

// clocksReason is why a probe is not compared in a pair whose clocks differ.
const clocksReason = "rows depend on the clock, and the clocks differ"

// clockNote says that the kernels of a pair ran on different clocks, or on the
// same unusual one.
func clockNote(d *table.Difference, pair int) string {
	a, b, differ := d.Clocks(pair)
	switch {
	case differ:
		return "clocks differ: " + a + " and " + b
	case a == b && a != "" && a != usualClock:
		return a + " clock"
	}
	return ""
}

// items puts what differs into words, what notes explain apart: pairs that differ
// alike are one item.
func (df *difference) items() (open, explained []item) {
	for _, r := range df.d.Rows {
		label := rowLabel(table.Row{Name: r.Name, Probe: r.Probe})
		done := make([]bool, len(df.d.Pairs))
		for i := range df.d.Pairs {
			if !r.Differs[i] || done[i] {
				continue
			}
			alike, goes := []int{i}, df.asides.pair(df.d, r, i)
			for j := i + 1; j < len(done); j++ {
				same := r.Differs[j] && r.Old[j] == r.Old[i] && r.New[j] == r.New[i] && slices.Equal(notesIn(r, i), notesIn(r, j))
				if same && slices.Equal(goes, df.asides.pair(df.d, r, j)) {
					alike = append(alike, j)
					done[j] = true
				}
			}
			it := item{
				probe: r.Probe, label: label, look: df.look(alike),
				values: []string{valueText(r.Old[i]), valueText(r.New[i])},
			}
			if why := notesIn(r, i); len(why) > 0 {
				it.look.note = "explained: " + reasons(&df.d.Book, why)
			}
			it.look.note = joinNotes(it.look.note, besideText(goes))
			if r.Explained() {
				explained = append(explained, it)
			} else {
				open = append(open, it)
			}
		}
	}
	return open, explained
}

// notesIn are the notes that explain a row in a pair.
func notesIn(r table.DiffRow, pair int) []int {
	if r.Notes == nil {
		return nil
	}
	return r.Notes[pair]
}

func (df *difference) look(pairs []int) look {
	l := look{heads: []string{"before", "after"}, rank: pairs[0]}
	if a, b := pairSides(df.d, pairs[0]); len(df.d.Pairs) == 1 && a != b {
		l.heads = []string{a, b}
	}
	var where []string
	for _, p := range pairs {
		where = append(where, pairLabel(df.d, p))
	}
	l.where = []string{strings.Join(where, ", ")}
	if len(pairs) > 2 && len(pairs) == len(df.d.Pairs) {
		l.where = []string{"every kernel"}
	}
	return l
}

func (df *difference) verdict() {
	text := ""
	switch {
	case df.d.Changes() > 0:
		return
	case len(df.d.Pairs) == 0:
		text = "No kernel of one run matches one of the other: nothing compared."
	case df.d.Failed():
		text = "Nothing differs in what could be compared."
	default:
		text = fmt.Sprintf("Nothing differs: %s compared on %s.",
			count(len(df.d.B.Rows), "row"), count(len(df.d.Pairs), "kernel"))
	}
	df.p.blank()
	df.p.para(0, strong, text)
}

// lists writes what only one side has.
func (df *difference) lists() {
	df.names(boundary, "vanished", df.d.Vanished)
	df.names(boundary, "new", df.d.New)
	df.names(dim, "probes only before", df.d.ProbesA)
	df.names(dim, "probes only after", df.d.ProbesB)
}

// names writes a list under a title, unless there is none.
func (pg *page) names(s style, title string, names []string) {
	if len(names) == 0 {
		return
	}
	pg.p.blank()
	pg.p.line(span{s, title})
	pg.p.para(2, plain, joinNames(names))
}

func (df *difference) residue() {
	if !df.d.Failed() {
		return
	}
	df.p.blank()
	df.p.line(span{bad, "not compared"})
	for _, i := range df.d.Cells {
		p := df.d.Pairs[i]
		for _, side := range []struct {
			name   string
			column table.Column
		}{{"before", df.d.A.Columns[p.A]}, {"after", df.d.B.Columns[p.B]}} {
			if c := side.column; c.Outcome != results.CellOK {
				df.p.brief(2, bad, fmt.Sprintf("%s (%s) %s: %s", c.Label, side.name, c.Outcome, cmp.Or(c.Reason, noReason)))
			}
		}
	}
	df.uncompared()
}

// uncompared lists probes, and rows, by where and why.
func (df *difference) uncompared() {
	type why struct{ where, reason string }
	var order []why
	names := map[why][]string{}
	for _, u := range df.d.Residue {
		var where []string
		for _, p := range u.Pairs {
			where = append(where, pairLabel(df.d, p))
		}
		w := why{strings.Join(where, ", "), "before " + valueText(u.Old) + "; after " + valueText(u.New)}
		if u.Clocks {
			w.reason = clocksReason
		}
		if names[w] == nil {
			order = append(order, w)
		}
		names[w] = append(names[w], cmp.Or(u.Row, u.Probe))
	}
	g := grid{indent: 2}
	for _, w := range order {
		g.add(span{strong, w.where}, span{plain, w.reason})
		g.add(span{}, span{dim, joinNames(names[w])})
	}
	g.write(df.p)
}

func (df *difference) counts() {
	parts := []string{
		count(len(df.d.Pairs), "kernel") + " compared", count(len(df.d.B.Rows), "row"),
		changesText(len(df.d.Rows), explainedRows(df.d)), fmt.Sprintf("%d vanished", len(df.d.Vanished)),
		fmt.Sprintf("%d new", len(df.d.New)),
	}
	if n := len(df.d.Cells) + len(df.d.Residue); n > 0 {
		parts = append(parts, fmt.Sprintf("%d not compared", n))
	}
	df.p.blank()
	df.p.para(0, strong, strings.Join(parts, " · "))
}
