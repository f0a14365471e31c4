package render

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/table"
)

// htmlFamily is the probes of one family.
type htmlFamily struct {
	Name   string
	Probes []*htmlProbe
	Marks  htmlMarks
}

// htmlMarks count what a reader may look for in a part.
type htmlMarks struct {
	Rows, Changed, Open int
	Trouble             int // probes and rows with a value that is no behaviour
}

func (m *htmlMarks) add(o htmlMarks) {
	m.Rows, m.Changed, m.Open, m.Trouble = m.Rows+o.Rows, m.Changed+o.Changed, m.Open+o.Open, m.Trouble+o.Trouble
}

// htmlProbe is the part of one probe.
type htmlProbe struct {
	Name, Question string
	Fields         []htmlField
	Rows           []htmlRow
	Chance         []htmlChance
	Logs           []htmlLog
	Marks          htmlMarks
}

// htmlRow is one row, or a probe as a whole, with what it is on which kernels.
type htmlRow struct {
	Name, Label, Meaning string
	Values               []htmlValue
	Why                  []htmlWhy
}

// htmlValue is a value, or what there is in place of one, on some kernels.
type htmlValue struct {
	Code    int    // as in the picture
	Mark    string // the value's letter, or the sign of what is in its place; "" of the only value
	Look    string // class of its look
	Text    string
	Kernels string // "" where it is the same on all
}

// htmlChance is a row of chance: what was counted, by kernel.
type htmlChance struct {
	Name, Label string
	Lines       []string
}

// htmlWhy says where a row changes, and what notes say of that.
type htmlWhy struct {
	Where string
	Notes []Note // none: it is not explained
}

// htmlLog is what some kernels logged during a probe.
type htmlLog struct {
	Kernels string
	Lines   []string
	More    int // lines that are left out
}

// familyList makes the parts of all probes.
func (v *htmlView) familyList() []*htmlFamily {
	var out []*htmlFamily
	logs := v.logs()
	for _, p := range v.t.Probes {
		name, _, _ := strings.Cut(p.Name, "/")
		name = observe.Escape(name)
		if n := len(out); n == 0 || out[n-1].Name != name {
			out = append(out, &htmlFamily{Name: name})
		}
		hp := v.probePart(p.Name)
		hp.Logs = logs[p.Name]
		last := out[len(out)-1]
		last.Probes = append(last.Probes, hp)
		last.Marks.add(hp.Marks)
	}
	return out
}

func (v *htmlView) probePart(probe string) *htmlProbe {
	out := &htmlProbe{Name: observe.Escape(probe)}
	for _, h := range v.t.Heads {
		if h.Name == probe {
			out.Question, out.Fields = observe.Escape(h.Question), headFields(h)
		}
	}
	meanings := v.meanings(probe)
	for _, row := range v.rows[probe] {
		c, changed := v.changed[row.Name]
		hr := htmlRow{Name: observe.Escape(row.Name), Label: observe.Escape(rowLabel(row)), Meaning: observe.Escape(meanings[row.Name])}
		hr.Values = v.rowValues(row)
		hr.Why = v.why(c)
		out.Rows = append(out.Rows, hr)
		if row.Name != probe {
			out.Marks.Rows++
		}
		if changed {
			out.Marks.Changed++
		}
		if changed && !c.Explained() {
			out.Marks.Open++
		}
		if slices.ContainsFunc(row.Values, func(o table.Value) bool { return !o.Status.Behaviour() }) {
			out.Marks.Trouble++
		}
	}
	for _, c := range v.t.Chance {
		if c.Probe == probe {
			out.Chance = append(out.Chance, v.chanceRow(c))
		}
	}
	return out
}

// meanings say what the rows of a probe mean, as far as its head tells.
func (v *htmlView) meanings(probe string) map[string]string {
	out := map[string]string{}
	for _, h := range v.t.Heads {
		if h.Name == probe {
			for _, r := range h.Rows {
				out[r.Name] = r.Meaning
			}
		}
	}
	return out
}

// headFields are what a probe's head says beside its question.
func headFields(h observe.Head) []htmlField {
	var out []htmlField
	for _, f := range []htmlField{
		{"path", []string{h.Path}}, {"sysctls", h.Sysctls}, {"rules", h.Rules},
		{"modules", []string{strings.Join(h.Needs, ", ")}}, {"clock", []string{clockLine(h)}}, {"source", []string{h.Source}},
	} {
		f.Lines = slices.DeleteFunc(escaped(f.Lines), func(l string) bool { return l == "" })
		if len(f.Lines) > 0 {
			out = append(out, f)
		}
	}
	return out
}

func (v *htmlView) chanceRow(c table.ChanceRow) htmlChance {
	f := htmlChance{Name: observe.Escape(c.Row), Label: observe.Escape(strings.TrimPrefix(c.Row, c.Probe+"/"))}
	for i, counts := range c.Counts {
		if len(counts) > 0 {
			f.Lines = append(f.Lines, observe.Escape(v.label(i)+": "+strings.Join(counts, ", ")))
		}
	}
	return f
}

// rowValues are the values of a row, each with the kernels that have it.
func (v *htmlView) rowValues(row table.Row) []htmlValue {
	look := lookOf(row)
	text := func(i int) string {
		if o := row.Values[i]; row.Name != row.Probe && o.Kind == "" && o.Status != table.Unstable {
			return string(o.Status) // why is told of the probe
		}
		return valueText(row.Values[i])
	}
	var out []htmlValue
	var columns [][]int // parallel to out
	for i, code := range look.codes {
		t := observe.Escape(text(i))
		at := slices.IndexFunc(out, func(o htmlValue) bool { return o.Code == code && o.Text == t })
		if at < 0 {
			at = len(out)
			out = append(out, htmlValue{Code: code, Mark: mark(code), Look: lookClass(code), Text: t})
			columns = append(columns, nil)
		}
		columns[at] = append(columns[at], i)
	}
	if len(out) == 1 && out[0].Code >= 0 {
		out[0].Mark = ""
		return out
	}
	for i := range out {
		out[i].Kernels = observe.Escape(v.spread(columns[i]))
	}
	return out
}

// spread names columns, those that follow each other by their ends.
func (v *htmlView) spread(columns []int) string {
	if len(columns) == len(v.t.Columns) {
		return "all kernels"
	}
	var parts []string
	for at := 0; at < len(columns); {
		end := at + 1
		for end < len(columns) && columns[end] == columns[end-1]+1 && v.t.Columns[columns[end]].Lane == v.t.Columns[columns[at]].Lane {
			end++
		}
		parts = append(parts, v.runName(columns[at:end]))
		at = end
	}
	return strings.Join(parts, ", ")
}

// why says where a change lies and what explains it, boundaries that the same
// notes cover together.
func (v *htmlView) why(c table.Change) []htmlWhy {
	var out []htmlWhy
	var keys []string
	var where [][]table.Boundary
	for _, b := range c.Boundaries {
		key := fmt.Sprint(b.Notes)
		at := slices.Index(keys, key)
		if at < 0 {
			at = len(keys)
			keys = append(keys, key)
			where = append(where, nil)
			out = append(out, htmlWhy{Notes: v.noteList(b.Notes)})
		}
		where[at] = append(where[at], b)
	}
	for i := range out {
		out[i].Where = observe.Escape(strings.Join(v.boundaryNames(where[i]), "; "))
	}
	return out
}

// mostLogLines is how much of what a kernel logged during a probe is shown; all
// of it is in its cell's kernel.log.
const mostLogLines = 60

// logs are what kernels logged during each probe, those together that logged the
// same. Of repetitions it is what the first logged.
func (v *htmlView) logs() map[string][]htmlLog {
	columns := map[string]map[string][]int{} // by probe and text
	texts := map[string][]string{}           // of each probe, in order of appearance
	for i, c := range v.t.Columns {
		for _, p := range c.Probes {
			var lines []string
			for _, l := range p.Log {
				lines = append(lines, observe.Escape(l.Text))
			}
			if len(lines) == 0 {
				continue
			}
			text := strings.Join(lines, "\n") // an escaped line has none
			if columns[p.Name] == nil {
				columns[p.Name] = map[string][]int{}
			}
			if columns[p.Name][text] == nil {
				texts[p.Name] = append(texts[p.Name], text)
			}
			columns[p.Name][text] = append(columns[p.Name][text], i)
		}
	}
	out := map[string][]htmlLog{}
	for probe, list := range texts {
		for _, text := range list {
			lines := strings.Split(text, "\n")
			l := htmlLog{Kernels: observe.Escape(v.spread(columns[probe][text])), Lines: lines}
			if len(lines) > mostLogLines {
				l.Lines, l.More = lines[:mostLogLines], len(lines)-mostLogLines
			}
			out[probe] = append(out[probe], l)
		}
	}
	return out
}
