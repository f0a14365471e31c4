package table

import (
	"fmt"
	"slices"
	"time"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/notes"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
)

// Book is the notes that changes are held against, on a day.
type Book struct {
	Notes []notes.Note
	Day   time.Time // on which notes may have expired
}

// Of returns the indexes of the notes that explain why a row differs between two
// kernels.
func (b *Book) Of(row string, x, y results.Kernel) []int {
	var out []int
	for i := range b.Notes {
		if b.Notes[i].Covers(row, x, y, b.Day) {
			out = append(out, i)
		}
	}
	return out
}

// Explained reports whether notes cover every boundary of the change.
func (c Change) Explained() bool {
	return !slices.ContainsFunc(c.Boundaries, func(b Boundary) bool { return len(b.Notes) == 0 })
}

// Unexplained counts the changes that notes do not cover.
func Unexplained(changes []Change) int {
	n := 0
	for _, c := range changes {
		if !c.Explained() {
			n++
		}
	}
	return n
}

// explain notes at each boundary which notes cover it.
func (t *Table) explain(changes []Change) []Change {
	for _, c := range changes {
		for i := range c.Boundaries {
			b := &c.Boundaries[i]
			b.Notes = t.Book.Of(c.Row.Name, t.Columns[b.From].Kernel, t.Columns[b.To].Kernel)
		}
	}
	return changes
}

// Stale is a note that explains nothing any more.
type Stale struct {
	Note   int    `json:"note"` // index in the book
	Reason string `json:"reason"`
}

// Stale returns the notes that have expired, and those that cover no change
// although their rows were asked on kernels that they tell apart. A note whose
// probes or kernels the table does not have may well be right.
func (t *Table) Stale() []Stale {
	used := map[int]bool{}
	for _, c := range t.Changes() {
		for _, b := range c.Boundaries {
			for _, n := range b.Notes {
				used[n] = true
			}
		}
	}
	edges := t.Edges()
	return t.Book.stale(used, t.Probes, t.Rows, func(note int, row Row) bool {
		return slices.ContainsFunc(edges, func(e Edge) bool {
			return row.Values[e.From].Status.Behaviour() && row.Values[e.To].Status.Behaviour() &&
				t.Book.alone(note, row.Name, t.Columns[e.From].Kernel, t.Columns[e.To].Kernel)
		})
	})
}

// alone reports whether a note tells two kernels apart, and no other speaks of
// the row. What two changes do to a row may come to nothing, and the later may
// hide the earlier.
func (b *Book) alone(note int, row string, x, y results.Kernel) bool {
	for i := range b.Notes {
		if i != note && b.Notes[i].Speaks(row) {
			return false
		}
	}
	return b.Notes[note].Apart(x, y)
}

// stale holds the notes that are not used against what was asked. Tells reports
// whether a row was asked on two kernels that a note tells apart.
func (b *Book) stale(used map[int]bool, probes []Probe, rows []Row, tells func(note int, row Row) bool) []Stale {
	var out []Stale
	for i := range b.Notes {
		n := &b.Notes[i]
		switch {
		case n.Expired(b.Day):
			out = append(out, Stale{i, "expired on " + n.Expires.Format(time.DateOnly)})
		case used[i]:
		case slices.ContainsFunc(rows, func(r Row) bool { return n.Speaks(r.Name) && tells(i, r) }):
			out = append(out, Stale{i, "its rows are the same on kernels that it tells apart"})
		case !speaksOfAny(n, rows) && slices.ContainsFunc(probes, func(p Probe) bool { return recorded(p) && n.SpeaksBelow(p.Name) }):
			out = append(out, Stale{i, "its probes have no such rows"})
		}
	}
	return out
}

func speaksOfAny(n *notes.Note, rows []Row) bool {
	return slices.ContainsFunc(rows, func(r Row) bool { return n.Speaks(r.Name) })
}

// recorded reports whether a probe was recorded anywhere.
func recorded(p Probe) bool {
	return slices.ContainsFunc(p.Outcomes, func(v Value) bool { return v.Status == Recorded })
}

// explain finds the notes for what differs in each pair.
func (d *Difference) explain() {
	if len(d.Book.Notes) == 0 {
		return
	}
	for i := range d.Rows {
		r := &d.Rows[i]
		r.Notes = make([][]int, len(d.Pairs))
		for p := range d.Pairs {
			if r.Differs[p] {
				r.Notes[p] = d.notesOf(r.Name, p)
			}
		}
	}
}

// notesOf returns the notes that explain why a row differs in a pair.
func (d *Difference) notesOf(row string, pair int) []int {
	p := d.Pairs[pair]
	return d.Book.Of(row, d.A.Columns[p.A].Kernel, d.B.Columns[p.B].Kernel)
}

// Explained reports whether notes cover the row in every pair in which it
// differs.
func (r DiffRow) Explained() bool {
	for i, differs := range r.Differs {
		if differs && (r.Notes == nil || len(r.Notes[i]) == 0) {
			return false
		}
	}
	return true
}

// Unexplained counts what differs and no note covers. Rows that vanished or are
// new are never explained: notes are about values.
func (d *Difference) Unexplained() int {
	n := len(d.Vanished) + len(d.New)
	for _, r := range d.Rows {
		if !r.Explained() {
			n++
		}
	}
	return n
}

// Stale is Table.Stale for pairs.
func (d *Difference) Stale() []Stale {
	used := map[int]bool{}
	for _, r := range d.Rows {
		for _, list := range r.Notes {
			for _, n := range list {
				used[n] = true
			}
		}
	}
	return d.Book.stale(used, d.B.Probes, d.B.Rows, func(note int, row Row) bool {
		return slices.ContainsFunc(d.Pairs, func(p Pair) bool {
			return row.Values[p.B].Status.Behaviour() && d.A.answers(row.Name, p.A) &&
				d.Book.alone(note, row.Name, d.A.Columns[p.A].Kernel, d.B.Columns[p.B].Kernel)
		})
	})
}

// answers reports whether a column has behaviour for a row.
func (t *Table) answers(row string, column int) bool {
	probe := observe.Row{Name: row}.Probe()
	return slices.ContainsFunc(t.rowsOf(probe), func(r Row) bool {
		return r.Name == row && r.Values[column].Status.Behaviour()
	})
}

// Where says in which file and line a note of the book stands.
func (b *Book) Where(note int) string {
	n := b.Notes[note]
	return fmt.Sprintf("%s:%d", n.File, n.Line)
}
