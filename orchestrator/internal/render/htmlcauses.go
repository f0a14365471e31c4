package render

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/table"
)

// htmlCause is what notes say of one commit, and the changes that they explain,
// alone or with others.
type htmlCause struct {
	Note   Note
	Files  []string // where the notes stand
	Where  string   // all places
	N      int      // changes
	Places []htmlPlace
}

type htmlPlace struct {
	Where string
	Steps []htmlStep
}

// htmlStep is a row and its values from one side of a boundary to the other.
type htmlStep struct {
	Row    htmlLink
	Values []string
}

// causeList lists what notes explain, those that explain most first. Notes that
// say the same of other rows are one.
func (v *htmlView) causeList() []htmlCause {
	var out []htmlCause
	for _, c := range v.changes {
		var causes []int
		covered := map[int][]table.Boundary{} // by cause
		for _, b := range c.Boundaries {
			var here []int
			for _, n := range b.Notes {
				if at := v.cause(&out, n); !slices.Contains(here, at) {
					here = append(here, at)
					covered[at] = append(covered[at], b)
				}
			}
			causes = append(causes, here...)
		}
		slices.Sort(causes)
		for _, at := range slices.Compact(causes) {
			out[at].add(observe.Escape(strings.Join(v.boundaryNames(covered[at]), "; ")), stepOf(c.Row, covered[at]))
		}
	}
	slices.SortStableFunc(out, func(a, b htmlCause) int { return -cmp.Compare(a.N, b.N) })
	for i := range out {
		var names []string
		for _, pl := range out[i].Places[:min(len(out[i].Places), mostPlaces)] {
			names = append(names, pl.Where)
		}
		if more := len(out[i].Places) - mostPlaces; more > 0 {
			names = append(names, fmt.Sprintf("%d more", more))
		}
		out[i].Where = strings.Join(names, "; ")
	}
	return out
}

// cause returns where in a list what a note says is, to which it is added.
func (v *htmlView) cause(list *[]htmlCause, note int) int {
	n := escapedNote(noteOf(&v.t.Book, note))
	at := slices.IndexFunc(*list, func(c htmlCause) bool {
		return c.Note.Reason == n.Reason && c.Note.Commit == n.Commit && c.Note.Link == n.Link && c.Note.Expires == n.Expires
	})
	if at < 0 {
		at = len(*list)
		*list = append(*list, htmlCause{Note: n})
	}
	if c := &(*list)[at]; !slices.Contains(c.Files, n.Where) {
		c.Files = append(c.Files, n.Where)
	}
	return at
}

// mostPlaces is how many are worth naming before a note is opened.
const mostPlaces = 3

func (c *htmlCause) add(where string, step htmlStep) {
	c.N++
	at := slices.IndexFunc(c.Places, func(pl htmlPlace) bool { return pl.Where == where })
	if at < 0 {
		at = len(c.Places)
		c.Places = append(c.Places, htmlPlace{Where: where})
	}
	c.Places[at].Steps = append(c.Places[at].Steps, step)
}

// stepOf tells what a row is on both sides of boundaries, in their order.
func stepOf(row table.Row, over []table.Boundary) htmlStep {
	st := htmlStep{Row: rowLink(row.Name, row.Name)}
	for _, b := range over {
		for _, column := range []int{b.From, b.To} {
			st.Values = append(st.Values, observe.Escape(valueText(row.Values[column])))
		}
	}
	st.Values = slices.Compact(st.Values)
	return st
}

// noteList are notes of the book, escaped.
func (v *htmlView) noteList(list []int) []Note {
	var out []Note
	for _, n := range notesOf(&v.t.Book, list) {
		out = append(out, escapedNote(n))
	}
	return out
}

func escapedNote(n Note) Note {
	for _, s := range []*string{&n.Reason, &n.Commit, &n.Where} {
		*s = observe.Escape(*s)
	}
	return n
}

func escapedStale(s Stale) Stale { return Stale{Note: escapedNote(s.Note), Why: observe.Escape(s.Why)} }
