package render

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/table"
)

// timeline is one TimelineText being written.
type timeline struct {
	*report
}

// TimelineText writes each line of a table's timeline: the row, its values by
// letter, and for each series from which release to which it has which. What is
// the same everywhere is left out unless all is set, and counted.
func TimelineText(w io.Writer, t *table.Table, lines []table.Line, all bool, o Options) error {
	tl := &timeline{newReport(t, o)}
	tl.seriesHeads()
	constant, written := 0, false
	for _, l := range lines {
		if l.Constant() && !all {
			constant++
			continue
		}
		if !written {
			tl.p.blank()
		}
		written = true
		tl.line(l)
	}
	tl.end(lines, constant)
	_, err := w.Write(tl.p.buf.Bytes())
	return err
}

// letter names the n-th value of a row.
func letter(n int) string {
	name := ""
	for ; n >= 0; n = n/26 - 1 {
		name = string(rune('A'+n%26)) + name
	}
	return name
}

// shades colour values; the letters tell the same without.
var shades = []style{shade1, shade2, shade3, shade4}

func shade(n int) style { return shades[n%len(shades)] }

// line writes one row.
func (tl *timeline) line(l table.Line) {
	tr := tl.track(l)
	if l.Constant() && len(tr.segments) == 1 && len(l.Series[0].Stretches) == 1 {
		tr.legend, tr.segments = [][]span{{{plain, "= " + tl.only(l)}}}, nil
	}
	tl.p.track(0, span{name, l.Row.Name}, tr)
}

// track lays out a line.
func (r *report) track(l table.Line) *track {
	tr := &track{segments: r.segments(l)}
	for i, v := range l.Values {
		tr.legend = append(tr.legend, []span{{shade(i), letter(i)}, {plain, " " + valueText(v)}})
	}
	return tr
}

// only is the one value of a row.
func (tl *timeline) only(l table.Line) string {
	if len(l.Values) == 0 {
		return string(l.Series[0].Stretches[0].Status)
	}
	return valueText(l.Values[0])
}

// segments are the parts of a line: a series, or several that follow each other
// and hold one and the same value throughout.
func (r *report) segments(l table.Line) [][]span {
	var out [][]span
	for at := 0; at < len(l.Series); at++ {
		s := l.Series[at]
		last := at
		for len(s.Stretches) == 1 && last+1 < len(l.Series) && r.continues(s, l.Series[last+1]) {
			last++
		}
		text := r.seriesName(s.First)
		if last > at {
			text += " … " + r.seriesName(l.Series[last].First)
		}
		segment := []span{{strong, text}}
		for i, st := range s.Stretches {
			segment = append(segment, r.stretch(s, i, st)...)
		}
		out = append(out, segment)
		at = last
	}
	return out
}

// continues reports whether a series holds the same value throughout as the one
// before it, of the same build.
func (r *report) continues(a, b table.SeriesLine) bool {
	x, y := a.Stretches[0], b.Stretches[0]
	place := r.t.Place(table.Edge{From: a.First, To: b.First})
	return len(b.Stretches) == 1 && x.Value == y.Value && x.Status == y.Status &&
		r.t.Columns[a.First].Lane == r.t.Columns[b.First].Lane && place.Kind != table.Builds
}

// stretch writes the i-th stretch of a series: the value, and where it begins or
// ends.
func (r *report) stretch(s table.SeriesLine, i int, st table.Stretch) []span {
	value := span{bad, "?" + string(st.Status)}
	if st.Value >= 0 {
		value = span{shade(st.Value), letter(st.Value)}
	}
	first, last := r.label(st.Columns[0]), r.label(st.Columns[len(st.Columns)-1])
	where := " from " + first
	switch {
	case len(s.Stretches) == 1:
		where = ""
	case i == 0:
		where = " to " + last
	case i == len(s.Stretches)-1:
	case first == last:
		where = " " + first
	default:
		where = " " + first + " … " + last
	}
	lead := " "
	if i > 0 {
		lead = ", "
	}
	return []span{{plain, lead}, value, {plain, where}}
}

// seriesName names the series of a column: "6.12.y", with what tells it from
// others of that name.
func (r *report) seriesName(column int) string {
	c := r.t.Columns[column]
	text := branch(r.t.SeriesOf(column))
	for i, o := range r.t.Columns {
		if o.Kernel.Flavour != c.Kernel.Flavour || o.Kernel.Arch != c.Kernel.Arch {
			if r.t.SeriesOf(i) == r.t.SeriesOf(column) {
				text += " " + strings.TrimSpace(c.Kernel.Flavour+" "+c.Kernel.Arch)
				break
			}
		}
	}
	if r.t.Columns[len(r.t.Columns)-1].Lane > 0 {
		text += "+" + c.Variant
	}
	return text
}

// branch is how a series is written: "6.12.y".
func branch(series string) string {
	if strings.Trim(series, "0123456789.") != "" || !strings.Contains(series, ".") {
		return series
	}
	return series + ".y"
}

// end says what is not in the lines.
func (tl *timeline) end(lines []table.Line, constant int) {
	tl.p.blank()
	if _, silent := tl.t.Answered(); len(silent) > 0 {
		tl.p.para(0, bad, "no answer from "+tl.labels(silent))
	}
	changed, explained := TimelineChanges(lines)
	parts := []string{count(len(tl.t.Columns), "kernel"), count(len(lines), "row")}
	if constant > 0 {
		parts = append(parts, fmt.Sprintf("%d the same everywhere", constant))
	}
	parts = append(parts, changesText(changed, explained))
	tl.p.para(0, strong, strings.Join(parts, " · "))
}

// TimelineChanges counts the lines that change between neighbours, and those of
// them that notes explain.
func TimelineChanges(lines []table.Line) (changed, explained int) {
	for _, l := range lines {
		if len(l.Change.Boundaries) == 0 {
			continue
		}
		changed++
		if l.Change.Explained() {
			explained++
		}
	}
	return changed, explained
}

// seriesHeads writes a line for each series of the table.
func (r *report) seriesHeads() {
	g := r.seriesLines()
	g.write(r.p)
}

// seriesLines say of each series how many kernels it has, and which are its ends.
func (r *report) seriesLines() grid {
	g := grid{}
	for at := 0; at < len(r.t.Columns); {
		next := at + 1
		for next < len(r.t.Columns) && r.t.SameSeries(at, next) {
			next++
		}
		ends := r.t.Columns[at].Kernel.Version
		if next > at+1 {
			ends += " … " + r.t.Columns[next-1].Kernel.Version
		}
		g.add(span{strong, r.seriesName(at)}, span{plain, count(next-at, "kernel")}, span{plain, ends}, r.failures(at, next))
		at = next
	}
	return g
}

// failures tells how the cells of some columns ended, if not well.
func (r *report) failures(from, to int) span {
	var parts []string
	for _, o := range []string{"failed", "crashed", "missing"} {
		n := 0
		for _, c := range r.t.Columns[from:to] {
			if string(c.Outcome) == o {
				n++
			}
		}
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, o))
		}
	}
	return span{bad, strings.Join(parts, ", ")}
}

// track writes what it is of, the legend and the segments on one line where they
// fit, else the segments below, and the legend between them.
func (p *printer) track(indent int, head span, tr *track) {
	const gap, bar = "   ", " │ "
	first := []span{{plain, strings.Repeat(" ", indent)}, head}
	for _, l := range tr.legend {
		first = append(append(first, span{plain, gap}), l...)
	}
	whole := slices.Clone(first)
	for i, s := range tr.segments {
		between := span{plain, gap}
		if i > 0 {
			between = span{dim, bar}
		}
		whole = append(append(whole, between), s...)
	}
	switch {
	case spansWidth(whole) <= p.width:
		p.line(whole...)
		return
	case spansWidth(first) <= p.width:
		p.line(first...)
	default:
		p.wrap(indent, []span{head})
		p.flow(indent+2, tr.legend, gap)
	}
	p.flow(indent+2, tr.segments, bar)
}

// flow writes segments side by side, each whole where that is possible.
func (p *printer) flow(indent int, segments [][]span, between string) {
	margin := span{plain, strings.Repeat(" ", indent)}
	line, used := []span{margin}, indent
	end := func() {
		if len(line) > 1 {
			p.line(line...)
		}
		line, used = []span{margin}, indent
	}
	for _, s := range segments {
		w := spansWidth(s)
		if len(line) > 1 && used+width(between)+w > p.width {
			end()
		}
		if indent+w > p.width {
			p.wrap(indent, s)
			continue
		}
		if len(line) > 1 {
			line, used = append(line, span{dim, between}), used+width(between)
		}
		line, used = append(line, s...), used+w
	}
	end()
}

func spansWidth(spans []span) int {
	w := 0
	for _, s := range spans {
		w += width(observe.Escape(s.text))
	}
	return w
}

// wrap writes spans, on further lines what does not fit. A span that is wider
// than a line is folded.
func (p *printer) wrap(indent int, spans []span) {
	margin := span{plain, strings.Repeat(" ", indent)}
	line, used := []span{margin}, indent
	for _, s := range spans {
		parts := fold(observe.Escape(s.text), max(p.width-indent-2, leastColumn))
		for i, part := range parts {
			if i > 0 || used+width(part) > p.width {
				p.line(line...)
				margin.text = strings.Repeat(" ", indent+2)
				line, used = []span{margin}, indent+2
				part = strings.TrimLeft(part, " ")
			}
			line, used = append(line, span{s.style, part}), used+width(part)
		}
		if text := observe.Escape(s.text); strings.HasSuffix(text, " ") { // fold drops it
			n := len(text) - len(strings.TrimRight(text, " "))
			line, used = append(line, span{plain, strings.Repeat(" ", n)}), used+n
		}
	}
	if len(line) > 1 {
		p.line(line...)
	}
}
