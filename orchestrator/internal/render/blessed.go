package render

import (
	"fmt"
	"io"
	"slices"

	"github.com/ctmatrix/ctmatrix/orchestrator/internal/table"
)

// BlessedText writes how a baseline moves from the older one of a judgement to the
// newer: which kernels, and which rows. Of these it tells a few, since git tells
// all. Back is the judgement the other way round. Dry says that nothing was written.
func BlessedText(w io.Writer, j, back *table.Judgement, dir string, dry bool, o Options) error {
	d := j.Difference
	df := &difference{page: newPage(o, nil, nil), d: d, asides: newAsides(nil)}
	g := grid{}
	for i, p := range d.Pairs {
		x, y := d.A.Columns[p.A].Kernel.Version, d.B.Columns[p.B].Kernel.Version
		if x != y {
			g.add(span{strong, pairLabel(d, i)}, span{plain, x + " → " + y})
		}
	}
	for _, i := range d.OnlyB {
		g.add(span{strong, d.B.Columns[i].Label}, span{plain, "new: " + d.B.Columns[i].Kernel.Version})
	}
	for _, i := range d.OnlyA {
		g.add(span{strong, d.A.Columns[i].Label}, span{plain, "forgotten: " + d.A.Columns[i].Kernel.Version})
	}
	g.write(df.p)
	added, vanished := moved(d.B, d.New, d.ProbesB, j.Unblessed), moved(d.A, d.Vanished, d.ProbesA, back.Unblessed)
	df.few("changed", df.changed())
	df.few("added", moves(added))
	df.few("vanished", moves(vanished))
	df.p.blank()
	df.p.para(0, strong, fmt.Sprintf("%s · %s · %s · %d added · %d changed · %d vanished",
		count(len(d.B.Columns), "kernel"), count(len(d.B.Probes), "probe"), count(len(d.B.Rows), "row"),
		len(added), len(d.Rows), len(vanished)))
	if dry {
		df.p.line(span{dim, "not written to "}, span{plain, dir})
	} else {
		df.p.line(span{dim, "blessed in "}, span{plain, dir})
	}
	_, err := w.Write(df.p.buf.Bytes())
	return err
}

// moved are rows that only one side has: some, those of probes, and those of probes
// that some kernels have only there.
func moved(t *table.Table, rows, probes []string, some []table.Unblessed) []string {
	whole := map[string]bool{}
	for _, p := range probes {
		whole[p] = true
	}
	for _, u := range some {
		whole[u.Probe] = true
	}
	out := slices.Clone(rows)
	for _, r := range t.Rows {
		if whole[r.Probe] {
			out = append(out, r.Name)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// changed are the rows that differ, and on which kernels from what to what.
func (df *difference) changed() []movedRow {
	var out []movedRow
	for _, r := range df.d.Rows {
		m := movedRow{name: r.Name}
		for i, differs := range r.Differs {
			if !differs {
				continue
			}
			step, kernel := valueText(r.Old[i])+" → "+valueText(r.New[i]), df.d.B.Columns[df.d.Pairs[i].B].Label
			if n := len(m.steps); n > 0 && m.steps[n-1][1] == step {
				m.steps[n-1][0] += ", " + kernel
			} else {
				m.steps = append(m.steps, [2]string{kernel, step})
			}
		}
		out = append(out, m)
	}
	return out
}

// movedRow is a row that is other than it was, and how: kernels, and from what to
// what.
type movedRow struct {
	name  string
	steps [][2]string
}

// moves are rows of which there is nothing to say but that they came or went.
func moves(names []string) []movedRow {
	var out []movedRow
	for _, n := range names {
		out = append(out, movedRow{name: n})
	}
	return out
}

// mostMoved is how many rows of a kind are told.
const mostMoved = 10

// few writes the first of a list, and how many more there are.
func (df *difference) few(title string, rows []movedRow) {
	if len(rows) == 0 {
		return
	}
	df.heading(title)
	for _, r := range rows[:min(len(rows), mostMoved)] {
		df.p.brief(2, plain, r.name)
		g := grid{indent: 4}
		for _, s := range r.steps {
			g.add(span{strong, s[0]}, span{plain, s[1]})
		}
		g.write(df.p)
	}
	if more := len(rows) - mostMoved; more > 0 {
		df.p.para(2, dim, fmt.Sprintf("%d more", more))
	}
}
