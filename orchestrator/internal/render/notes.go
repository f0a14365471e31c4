package render

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ctmatrix/ctmatrix/orchestrator/internal/table"
)

// Note is one that explains a boundary.
type Note struct {
	Reason  string `json:"reason"`
	Commit  string `json:"commit,omitempty"`
	Link    string `json:"link,omitempty"`
	Expires string `json:"expires,omitempty"` // the last day: "2027-06-30"
	Where   string `json:"where"`             // file and line
}

// Stale is a note that explains nothing any more, and why.
type Stale struct {
	Note
	Why string `json:"why"`
}

func noteOf(b *table.Book, i int) Note {
	n := b.Notes[i]
	out := Note{Reason: n.Reason, Commit: n.Commit, Link: n.Link, Where: b.Where(i)}
	if !n.Expires.IsZero() {
		out.Expires = n.Expires.Format(time.DateOnly)
	}
	return out
}

func notesOf(b *table.Book, list []int) []Note {
	var out []Note
	for _, i := range list {
		out = append(out, noteOf(b, i))
	}
	return out
}

func staleOf(b *table.Book, list []table.Stale) []Stale {
	out := []Stale{}
	for _, s := range list {
		out = append(out, Stale{Note: noteOf(b, s.Note), Why: s.Reason})
	}
	return out
}

// explainedTitle stands above the changes that notes cover.
const explainedTitle = "explained by notes"

// cause is changes that the same notes explain, by where they lie.
type cause struct {
	notes  string
	places []place
}

type place struct {
	where   string
	changes []table.Change
}

// causes gathers explained changes, in order of appearance.
func (r *report) causes(groups []table.Group) []*cause {
	var out []*cause
	for _, g := range groups {
		notes, where := r.notesText(g.Changes[0]), strings.Join(r.boundaryNames(g.Boundaries), "; ")
		at := slices.IndexFunc(out, func(c *cause) bool { return c.notes == notes })
		if at < 0 {
			at = len(out)
			out = append(out, &cause{notes: notes})
		}
		c := out[at]
		if n := len(c.places); n == 0 || c.places[n-1].where != where {
			c.places = append(c.places, place{where: where})
		}
		last := &c.places[len(c.places)-1]
		last.changes = append(last.changes, g.Changes...)
	}
	return out
}

// explained writes the changes that notes cover: a line for each row, below what
// the notes say.
func (r *report) explained(groups []table.Group) {
	if len(groups) == 0 {
		return
	}
	r.heading(explainedTitle)
	for _, c := range r.causes(groups) {
		r.p.blank()
		r.p.para(2, plain, c.notes)
		for _, pl := range c.places {
			r.p.para(2, boundary, pl.where)
			r.besides(4, pl.changes)
			r.steps(pl.changes)
		}
	}
}

// steps writes changes in short: from what to what where there is one boundary,
// else along the history.
func (r *report) steps(changes []table.Change) {
	g := grid{indent: 4}
	for _, c := range changes {
		if l := r.t.Line(c.Row); len(l.Values) > 2 || len(c.Boundaries) > 1 {
			r.p.track(4, span{plain, c.Row.Name}, r.track(l))
			continue
		}
		b := c.Boundaries[0]
		g.add(span{plain, c.Row.Name}, span{plain, valueText(c.Row.Values[b.From]) + " → " + valueText(c.Row.Values[b.To])})
	}
	if len(g.rows) > 0 {
		g.write(r.p)
	}
}

func (pg *page) heading(text string) {
	pg.p.blank()
	pg.p.line(span{strong, text})
}

// stale writes the notes that explain nothing any more.
func (pg *page) stale(b *table.Book, list []table.Stale) {
	if len(list) == 0 {
		return
	}
	pg.heading("notes that explain nothing any more")
	g := grid{indent: 2}
	for _, s := range list {
		g.add(span{strong, b.Where(s.Note)}, span{plain, b.Notes[s.Note].Reason + ": " + s.Reason})
	}
	g.write(pg.p)
}

// reasons tells what notes say.
func reasons(b *table.Book, list []int) string {
	var out []string
	for _, i := range list {
		out = append(out, b.Notes[i].String())
	}
	return strings.Join(out, "; ")
}

// notesText tells what notes say of a change.
func (r *report) notesText(c table.Change) string { return reasons(&r.t.Book, noteIndexes(c)) }

// noteIndexes are the notes that cover any boundary of a change.
func noteIndexes(c table.Change) []int {
	var all []int
	for _, b := range c.Boundaries {
		all = append(all, b.Notes...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// partText tells which boundaries of a change notes leave open, where they cover
// others.
func (r *report) partText(c table.Change) string {
	text := r.notesText(c)
	if text == "" || c.Explained() {
		return ""
	}
	var open []table.Boundary
	for _, b := range c.Boundaries {
		if len(b.Notes) == 0 {
			open = append(open, b)
		}
	}
	return "explained, but for " + strings.Join(r.boundaryNames(open), ", ") + ": " + text
}

// splitGroups returns the changes that notes leave open, and those that they
// cover.
func splitGroups(groups []table.Group) (open, explained []table.Group) {
	for _, g := range groups {
		if g.Changes[0].Explained() { // the others have the same boundaries
			explained = append(explained, g)
		} else {
			open = append(open, g)
		}
	}
	return open, explained
}

// changesText counts changes: "31 changes", "31 changes, 27 explained".
func changesText(all, explained int) string {
	text := count(all, "change")
	switch {
	case explained == 0:
	case explained == all:
		text += ", all explained"
	default:
		text += ", " + strconv.Itoa(explained) + " explained"
	}
	return text
}

func explainedRows(d *table.Difference) int {
	n := 0
	for _, r := range d.Rows {
		if r.Explained() {
			n++
		}
	}
	return n
}

// joinNotes puts what stands below a group together.
func joinNotes(parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), "; ")
}
