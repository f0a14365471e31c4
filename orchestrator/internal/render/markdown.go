package render

import (
	"cmp"
	"fmt"
	"io"
	"strings"

	"github.com/ctmatrix/ctmatrix/orchestrator/internal/table"
)

// MarkdownLimit is how many bytes GitHub takes as the summary of a step.
const MarkdownLimit = 1 << 20

// markdown is one Markdown being written.
type markdown struct {
	*report
	blocks  []mdBlock
	section string
}

// mdBlock is what is left out as a whole or not at all.
type mdBlock struct {
	section string // its heading, where it is the first of it
	text    string
}

// Markdown writes what Text does for a page that renders GitHub's Markdown: first
// what nothing explains, then what could not be compared, then what notes explain,
// folded. What does not fit into limit bytes is left out by whole blocks, and it
// says how many and where they are.
func Markdown(w io.Writer, t *table.Table, s Summary, limit int) error {
	m := &markdown{report: newReport(t, Options{})}
	groups, residue := t.Groups(), t.Residue()
	open, explained := splitGroups(groups)
	head := m.head(open, explained, residue, s)
	m.begin("Kernels")
	m.kernelTable()
	m.begin("Unexplained")
	for _, b := range blocks(m.items(open)) {
		m.add(m.block(b))
	}
	m.begin("Unstable: differs on the same kernel")
	m.unstableRows()
	m.begin("Not compared")
	m.uncompared(residue)
	m.begin("Explained by notes")
	for _, c := range m.causes(explained) {
		m.add(m.cause(c))
	}
	m.begin("By chance: compared with nothing")
	m.chanceRows()
	m.begin("Unsupported everywhere")
	for _, u := range m.unsupportedEverywhere() {
		m.add("- " + mdCode(u.reason) + ": " + mdNames(u.names) + "\n")
	}
	m.begin("Notes that explain nothing any more")
	for _, st := range t.Stale() {
		m.add("- " + mdCode(t.Book.Where(st.Note)) + " " + mdText(t.Book.Notes[st.Note].Reason) + ": " + mdText(st.Reason) + "\n")
	}
	_, err := io.WriteString(w, head+m.fit(limit-len(head), s))
	return err
}

func (m *markdown) begin(section string) { m.section = section }

// add ends a block.
func (m *markdown) add(text string) {
	b := mdBlock{text: text}
	if m.section != "" {
		b.section = "\n### " + m.section + "\n"
		m.section = ""
	}
	if b.section != "" || !strings.HasPrefix(text, "- ") {
		b.text = "\n" + text // the items of a list stand together
	}
	m.blocks = append(m.blocks, b)
}

// fit is as many blocks as there is room for.
func (m *markdown) fit(room int, s Summary) string {
	var out strings.Builder
	total := 0
	for _, b := range m.blocks {
		total += len(b.section) + len(b.text)
	}
	last := func(left int) string {
		text := fmt.Sprintf("\n**%d of %s left out**: this is as much as a page may hold.", left, count(len(m.blocks), "block"))
		if s.Dir != "" {
			text += " All of them: " + mdCode("ctmatrix report "+s.Dir) + ", where that directory is."
		}
		return text + "\n"
	}
	for i, b := range m.blocks {
		size := len(b.section) + len(b.text)
		if total > room && out.Len()+size+len(last(len(m.blocks)-i)) > room {
			return out.String() + last(len(m.blocks)-i)
		}
		out.WriteString(b.section + b.text)
	}
	return out.String()
}

// head says how it came out, in a line and in counts.
func (m *markdown) head(open, explained []table.Group, residue table.Residue, s Summary) string {
	rows := func(groups []table.Group) (n int) {
		for _, g := range groups {
			n += len(g.Changes)
		}
		return n
	}
	title := m.verdictText(residue)
	switch {
	case len(open) > 0:
		title = count(rows(open), "change") + " that nothing explains"
	case len(explained) > 0:
		title = count(rows(explained), "change") + ", all explained"
	}
	if !residue.Empty() && len(m.t.Columns) > 0 {
		title = strings.TrimSuffix(title, ".") + "; not everything could be compared"
	}
	text := "## ctmatrix: " + mdText(title) + "\n\n" + mdText(strings.Join(m.countParts(s), " · ")) + "\n"
	if s.Dir != "" {
		text += "\nResults in " + mdCode(s.Dir) + "\n"
	}
	return text
}

func (m *markdown) kernelTable() {
	g := m.kernelLines()
	if len(g.rows) == 0 {
		return
	}
	heads := []string{"kernel", "version", "release", "named", "remarks"}
	if len(m.t.Columns) > mostKernels {
		heads = []string{"series", "kernels", "from … to", "remarks"}
	}
	var rows [][]string
	for _, r := range g.rows {
		var row []string
		for _, c := range r {
			row = append(row, mdCell(strings.Join(c.lines, " ")))
		}
		rows = append(rows, row)
	}
	m.add(mdTable(heads, rows))
}

// mdTable writes a table of what is Markdown already.
func mdTable(heads []string, rows [][]string) string {
	var out strings.Builder
	line := func(cells []string) { out.WriteString("| " + strings.Join(cells, " | ") + " |\n") }
	line(heads)
	out.WriteString(strings.Repeat("|---", len(heads)) + "|\n")
	for _, r := range rows {
		line(r)
	}
	return out.String()
}

// block is what differs in one probe.
func (m *markdown) block(b block) string {
	var out strings.Builder
	first, tagged := b.groups[0].places, b.tagged()
	if tagged {
		out.WriteString("#### " + mdCode(b.base) + "\n")
	} else {
		out.WriteString("#### " + mdCode(b.base+first[0]) + spaced(mdCode(strings.TrimSpace(m.whereabouts(b.base, first)))) + "\n")
	}
	if q := m.question(b.base, first[0]); q != "" {
		out.WriteString("\n" + mdText(q) + "\n")
	}
	for _, g := range b.groups {
		if tagged {
			in := "in " + cmp.Or(g.places[0], initial) + m.whereabouts(b.base, g.places)
			out.WriteString("\n" + mdCode(in) + "\n")
		}
		out.WriteString("\n" + m.group(g))
		if g.note != "" {
			out.WriteString("\n" + mdText(g.note) + "\n")
		}
	}
	return out.String()
}

func spaced(text string) string {
	if text == "" {
		return ""
	}
	return " " + text
}

func (m *markdown) group(g group) string {
	if g.items[0].track != nil {
		text := mdText(strings.Join(g.where, "; ")) + "\n\n"
		for _, it := range g.items {
			text += mdTrack(it.label, it.track)
		}
		return text
	}
	heads := []string{mdText(strings.Join(g.where, "; "))}
	for _, h := range g.heads {
		heads = append(heads, mdText(h))
	}
	var rows [][]string
	for _, it := range g.items {
		row := []string{mdCell(it.label)}
		for _, v := range it.values {
			row = append(row, mdCell(v))
		}
		rows = append(rows, row)
	}
	return mdTable(heads, rows)
}

// mdTrack is a row's values along the history: the legend, then the series.
func mdTrack(label string, tr *track) string {
	flat := func(parts [][]span, between string) string {
		var all []string
		for _, spans := range parts {
			text := ""
			for _, s := range spans {
				text += clip(s.text, mostText)
			}
			all = append(all, text)
		}
		return mdCodeOf(strings.Join(all, between))
	}
	return "- " + mdCode(label) + ": " + flat(tr.legend, "   ") + "; " + flat(tr.segments, " │ ") + "\n"
}

// cause is changes that the same notes explain, folded below what these say.
func (m *markdown) cause(c *cause) string {
	n := 0
	for _, pl := range c.places {
		n += len(pl.changes)
	}
	var out strings.Builder
	out.WriteString("<details><summary>" + mdHTML(c.notes) + " (" + count(n, "row") + ")</summary>\n")
	for _, pl := range c.places {
		var rows [][]string
		tracks := ""
		for _, ch := range pl.changes {
			if l := m.t.Line(ch.Row); len(l.Values) > 2 || len(ch.Boundaries) > 1 {
				tracks += mdTrack(ch.Row.Name, m.track(l))
				continue
			}
			b := ch.Boundaries[0]
			rows = append(rows, []string{mdCell(ch.Row.Name), mdCell(valueText(ch.Row.Values[b.From])), mdCell(valueText(ch.Row.Values[b.To]))})
		}
		if len(rows) > 0 {
			out.WriteString("\n" + mdTable([]string{mdText(pl.where), "before", "after"}, rows))
		}
		if tracks != "" {
			out.WriteString("\n" + mdText(pl.where) + "\n\n" + tracks)
		}
	}
	return out.String() + "\n</details>\n"
}

func (m *markdown) unstableRows() {
	for _, u := range m.t.Unstable {
		for _, c := range u.Columns {
			m.add("- " + mdCode(u.Row) + " on " + mdCode(m.label(c.Column)) + ": " + mdCode(table.Tally(c.Seen)) + "\n")
		}
	}
}

func (m *markdown) chanceRows() {
	for _, row := range m.t.Chance {
		text := "- " + mdCode(row.Row)
		between := ": "
		for i, counts := range row.Counts {
			if len(counts) > 0 {
				text += between + mdCode(m.label(i)) + " " + mdCode(strings.Join(counts, ", "))
				between = ", "
			}
		}
		m.add(text + "\n")
	}
}

// uncompared is what could not be compared: kernels, then probes and rows.
func (m *markdown) uncompared(residue table.Residue) {
	for _, same := range m.alike(residue.Cells) {
		c := m.t.Columns[same[0]]
		text := "- " + mdCode(m.labels(same)) + " " + string(c.Outcome) + ": " + mdCode(cmp.Or(c.Reason, noReason)) + "\n"
		for _, l := range c.Console[max(len(c.Console)-consoleLines, 0):] {
			text += "  - " + mdCode(cmp.Or(l, " ")) + "\n"
		}
		m.add(text)
	}
	for _, u := range gather(residue) {
		m.add("- " + u.status + " on " + mdCode(m.labels(u.columns)) + ", " + mdCode(u.reason) + ": " + mdNames(u.names) + "\n")
	}
}

// mdNames lists probes and rows.
func mdNames(names []string) string { return mdCodeOf(clip(joinNames(names), mostWords)) }
