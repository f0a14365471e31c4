package render

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/table"
)

// judgement is what a CI system is told of one probe on one kernel. What is
// behaviour is held against the older neighbour: a change that no note explains
// is the newer kernel's.
type judgement int

const (
	isAlone    judgement = iota // recorded, and nothing older to hold it against
	isAgreed                    // as the neighbour, or notes explain what differs
	isChanged                   // otherwise than the neighbour, and nothing explains it
	isLacking                   // unsupported, and no change
	isUnsteady                  // answers that cannot be compared: unstable, or a row is absent
	isBroken                    // our rig failed
	isCrashed                   // the kernel did
	isMissing                   // never ran, although the cell came to its end
	isUnasked                   // never ran, because the cell did not come to its end
)

// verdict is a judgement and what there is to say of it, all escaped and bounded.
type verdict struct {
	judgement
	head  string   // a line: what is wrong, or lacking; "" where nothing is
	lines []string // more of it
	notes []string // what is explained, and why
	steps []step   // the changes that nothing explains
}

// step is one row's change over one boundary.
type step struct {
	row      table.Row
	boundary table.Boundary
}

func (s step) old() table.Value { return s.row.Values[s.boundary.From] }
func (s step) new() table.Value { return s.row.Values[s.boundary.To] }

// judge holds each probe of a table against its neighbours.
type judge struct {
	*report
	steps    map[spot][]step // by the newer kernel
	unstable map[spot][]string
	absent   map[spot][]string
	compared map[spot]bool
}

// spot is a probe in a column.
type spot struct {
	probe  string
	column int
}

func newJudge(t *table.Table) *judge {
	j := &judge{
		report: newReport(t, Options{}), steps: map[spot][]step{},
		unstable: map[spot][]string{}, absent: map[spot][]string{}, compared: map[spot]bool{},
	}
	for _, c := range t.Changes() {
		for _, b := range c.Boundaries {
			at := spot{c.Row.Probe, b.To}
			j.steps[at] = append(j.steps[at], step{c.Row, b})
		}
	}
	for _, u := range t.Unstable {
		for _, c := range u.Columns {
			at := spot{u.Probe, c.Column}
			row := table.Row{Name: u.Row, Probe: u.Probe}
			j.unstable[at] = append(j.unstable[at], clip(rowLabel(row)+": "+table.Tally(c.Seen), mostText))
		}
	}
	for _, a := range t.Residue().Absent {
		probe := observe.Row{Name: a.Row}.Probe()
		for _, c := range a.Columns {
			at := spot{probe, c}
			j.absent[at] = append(j.absent[at], clip(rowLabel(table.Row{Name: a.Row, Probe: probe})+": not recorded, as it is elsewhere", mostText))
		}
	}
	for _, p := range t.Probes {
		for _, e := range t.Compared(p) {
			j.compared[spot{p.Name, e.To}] = true
		}
	}
	return j
}

// Bounds on what one verdict says. Values have thousands of bytes at most, and a
// probe hundreds of rows; all of them are in the run directory.
const (
	mostText  = 400  // characters of a text
	mostWords = 4000 // of notes together, or of a list of names
	mostSteps = 100  // rows
)

// probe judges one probe on one kernel.
func (j *judge) probe(p table.Probe, column int) verdict {
	at := spot{p.Name, column}
	outcome := p.Outcomes[column]
	reason := clip(cmp.Or(outcome.Text, noReason), mostText)
	switch outcome.Status {
	case table.Broken:
		return verdict{judgement: isBroken, head: "broken: " + reason}
	case table.Crashed:
		return verdict{judgement: isCrashed, head: "crashed: " + reason}
	case table.Missing:
		return j.neverRan(outcome, column)
	}
	v := verdict{judgement: isAlone}
	if outcome.Status == table.Unsupported {
		v = verdict{judgement: isLacking, head: reason}
	} else if j.compared[at] {
		v.judgement = isAgreed
	}
	j.changes(&v, j.steps[at])
	if odd := slices.Concat(j.unstable[at], j.absent[at]); len(odd) > 0 {
		v.judgement = isUnsteady
		v.head = joinNotes("not to be compared: "+count(len(odd), "answer"), v.head)
		v.lines = append(odd[:min(len(odd), mostSteps)], v.lines...)
	}
	return v
}

func (j *judge) neverRan(outcome table.Value, column int) verdict {
	c := j.t.Columns[column]
	if c.Outcome == results.CellOK {
		return verdict{judgement: isMissing, head: "never ran: " + clip(cmp.Or(outcome.Text, noReason), mostText)}
	}
	return verdict{judgement: isUnasked, head: "never ran: the kernel's run " + cellOutcome(c.Outcome)}
}

// cellOutcome says how a cell ended, in words that follow "the run".
func cellOutcome(o results.CellOutcome) string {
	if o == results.CellMissing {
		return "was not made, or cut short"
	}
	return string(o)
}

// cell judges a kernel's run as a whole.
func (j *judge) cell(column int) verdict {
	c := j.t.Columns[column]
	v := verdict{judgement: isAgreed, head: string(c.Outcome) + ": " + clip(cmp.Or(c.Reason, noReason), mostText)}
	switch c.Outcome {
	case results.CellOK:
		return verdict{judgement: isAgreed}
	case results.CellCrashed:
		v.judgement = isCrashed
	case results.CellFailed:
		v.judgement = isBroken
	default:
		v.judgement = isMissing
	}
	for _, l := range c.Console[max(len(c.Console)-consoleLines, 0):] {
		v.lines = append(v.lines, clip(l, mostText))
	}
	return v
}

// changes adds to a verdict what changed with the kernel.
func (j *judge) changes(v *verdict, steps []step) {
	for _, s := range steps {
		if len(s.boundary.Notes) == 0 {
			v.steps = append(v.steps, s)
		}
	}
	if len(v.steps) > 0 {
		v.judgement = isChanged
		v.head = count(len(v.steps), "change") + " that nothing explains"
	}
	where := ""
	for i, s := range v.steps {
		if i == mostSteps {
			v.lines = append(v.lines, fmt.Sprintf("… and %d more", len(v.steps)-i))
			break
		}
		if w := j.where(s.boundary); w != where {
			v.lines = append(v.lines, w+":")
			where = w
		}
		v.lines = append(v.lines, "  "+stepText(s))
	}
	for _, s := range steps {
		if len(s.boundary.Notes) > 0 && len(v.notes) < mostSteps {
			v.notes = append(v.notes, stepText(s)+": "+clip(reasons(&j.t.Book, s.boundary.Notes), mostWords))
		}
	}
}

// stepText tells a change: "syn.class: 7 new → 10 new".
func stepText(s step) string {
	return clip(rowLabel(s.row), mostText) + ": " + clip(valueText(s.old()), mostText) + " → " + clip(valueText(s.new()), mostText)
}

// where names the two kernels of a boundary, and what they stand for.
func (j *judge) where(b table.Boundary) string {
	text := "between " + j.label(b.From) + " and " + j.label(b.To)
	if b.Kind == table.Between {
		text += ", the oldest of " + branch(b.Older) + " and of " + branch(b.Newer)
	}
	if b.Backport {
		text += ", or in " + branch(b.Older) + " before " + j.label(b.From)
	}
	if len(b.Skipped) > 0 {
		text += " (no answer from " + j.labels(b.Skipped) + ")"
	}
	return clip(text, mostText)
}

// clip returns a text escaped, and cut to so many characters.
func clip(text string, most int) string {
	text = observe.Escape(text)
	n := utf8.RuneCountInString(text)
	if n <= most {
		return text
	}
	cut := string([]rune(text)[:most])
	return cut + "… " + count(n-most, "more character")
}

// splitProbe splits a probe's name at its first slash. One without a slash, which
// only a run directory from elsewhere can have, is a family of its own. Neither part
// is empty.
func splitProbe(name string) (family, rest string) {
	family, rest, ok := strings.Cut(name, "/")
	if !ok {
		rest = name
	}
	return cmp.Or(family, "_"), cmp.Or(rest, "_")
}

// namer makes names unique, in the order in which they are asked for.
type namer map[string]int

func (n namer) name(want string) string {
	for {
		n[want]++
		if n[want] == 1 {
			return want
		}
		want += fmt.Sprintf(" (%d)", n[want])
	}
}
