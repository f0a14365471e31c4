package render

import (
	"io"
	"slices"
	"strings"

	"github.com/ctmatrix/ctmatrix/guest/observe"
)

// Probes writes a list of probes: name and question, by family, and which depend
// on the clock. A probe that is asked in several places is one line.
func Probes(w io.Writer, heads []observe.Head, o Options) error {
	p := newPrinter(o)
	for _, f := range families(heads) {
		p.blank()
		p.line(span{name, f.name})
		f.grid.write(p)
	}
	_, err := w.Write(p.buf.Bytes())
	return err
}

type family struct {
	name string
	grid grid
}

// families sorts heads into their families, which keep the order in which they
// come.
func families(heads []observe.Head) []*family {
	var out []*family
	index := map[string]int{} // of a probe without its place, in its family's grid
	for _, h := range heads {
		full, place := base(h.Name)
		fam, probe, _ := strings.Cut(full, "/")
		at := slices.IndexFunc(out, func(f *family) bool { return f.name == fam })
		if at < 0 {
			at = len(out)
			out = append(out, &family{name: fam, grid: grid{indent: 2}})
		}
		g := &out[at].grid
		if row, ok := index[full]; ok && place != "" {
			g.rows[row][0].lines[0] += ", " + place
			continue
		}
		index[full] = len(g.rows)
		row := []span{{strong, probe + place}, {plain, h.Question}}
		if h.Timed {
			row = append(row, span{dim, "timed"})
		}
		g.add(row...)
	}
	return out
}

// Probe writes all of one probe's head.
func Probe(w io.Writer, head observe.Head, o Options) error {
	p := newPrinter(o)
	p.line(span{name, head.Name})
	p.para(0, plain, head.Question)
	p.blank()
	g := grid{}
	for _, field := range []struct {
		name  string
		lines []string
	}{
		{"path", []string{head.Path}},
		{"sysctls", head.Sysctls},
		{"rules", head.Rules},
		{"needs", []string{strings.Join(head.Needs, ", ")}},
		{"clock", []string{clockLine(head)}},
		{"source", []string{head.Source}},
	} {
		label := field.name
		for _, l := range field.lines {
			if l == "" {
				continue
			}
			g.add(span{dim, label}, span{plain, l})
			label = ""
		}
	}
	g.write(p)
	writeRows(p, head)
	_, err := w.Write(p.buf.Bytes())
	return err
}

// writeRows lists the rows of a probe, without its name, and what they mean.
func writeRows(p *printer, head observe.Head) {
	if len(head.Rows) == 0 {
		return
	}
	p.blank()
	p.line(span{dim, "rows"})
	rows := grid{indent: 2}
	for _, r := range head.Rows {
		rows.add(span{name, strings.TrimPrefix(r.Name, head.Name+"/")}, span{plain, r.Meaning})
	}
	rows.write(p)
}

// clockLine says of a probe that waits that its rows are of one clock.
func clockLine(h observe.Head) string {
	if !h.Timed {
		return ""
	}
	return "waits for kernel time: its rows depend on the clock, and those of different clocks are not compared"
}

// Columns writes an aligned table under a line of headers. Where it is wider
// than the terminal, its widest columns are folded.
func Columns(w io.Writer, headers []string, rows [][]string, o Options) error {
	p := newPrinter(o)
	g := grid{}
	for i, row := range append([][]string{headers}, rows...) {
		s := plain
		if i == 0 {
			s = strong
		}
		var cells []span
		for _, text := range row {
			cells = append(cells, span{s, text})
		}
		g.add(cells...)
	}
	g.write(p)
	_, err := w.Write(p.buf.Bytes())
	return err
}
