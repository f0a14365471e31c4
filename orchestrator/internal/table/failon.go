package table

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
)

// Finding is a kind of what a comparison may find, and may fail for.
type Finding string

// The findings, as users name them.
const (
	FoundUnexplained Finding = "unexplained" // a value changed, and no note says why
	FoundVanished    Finding = "vanished"    // a row of the older side is gone
	FoundNew         Finding = "new"         // a row has no older side
	FoundExplained   Finding = "explained"   // a value changed, and notes say why
	FoundUnsupported Finding = "unsupported" // a kernel lacks what a probe needs
	FoundUnstable    Finding = "unstable"    // a value differs on the same kernel
	FoundBroken      Finding = "broken"      // our side failed: of a probe, or of a cell
	FoundCrashed     Finding = "crashed"     // a kernel did
	FoundMissing     Finding = "missing"     // a probe never ran
	FoundUncompared  Finding = "uncompared"  // a row that only some kernels have; clocks that differ
)

// Never is the word for what fails for nothing.
const Never = "never"

// findings are all, in the order in which they are told, with the exit status of
// a command that fails for them.
var findings = []struct {
	Finding
	status int
}{
	{FoundUnexplained, ExitChanged}, {FoundVanished, ExitChanged}, {FoundNew, ExitChanged},
	{FoundExplained, ExitChanged}, {FoundUnsupported, ExitChanged},
	{FoundUnstable, ExitFailed}, {FoundBroken, ExitFailed}, {FoundCrashed, ExitFailed},
	{FoundMissing, ExitFailed}, {FoundUncompared, ExitFailed},
}

// FailOn says for which findings a comparison fails.
type FailOn []Finding

// FailOnDefault is what a comparison fails for unless it is told otherwise: what
// has no explanation, and what could not be compared.
func FailOnDefault() FailOn {
	return FailOn{
		FoundUnexplained, FoundVanished, FoundNew,
		FoundUnstable, FoundBroken, FoundCrashed, FoundMissing, FoundUncompared,
	}
}

// Words are those of ParseFailOn.
func Words() []string {
	var out []string
	for _, f := range findings {
		out = append(out, string(f.Finding))
	}
	return append(out, Never)
}

// ParseFailOn reads words. An unknown one is an error that lists those known.
func ParseFailOn(words []string) (FailOn, error) {
	out := FailOn{}
	for _, w := range words {
		switch {
		case w == Never && len(words) > 1:
			return nil, errors.New("never stands alone: leave out the others")
		case w == Never:
		case !slices.Contains(Words(), w):
			return nil, fmt.Errorf("unknown %q: known are %s", w, strings.Join(Words(), ", "))
		default:
			out = append(out, Finding(w))
		}
	}
	return out, nil
}

func (f FailOn) String() string {
	var out []string
	for _, w := range f {
		out = append(out, string(w))
	}
	if len(out) == 0 {
		return Never
	}
	return strings.Join(out, ",")
}

// Findings counts what was found, by kind.
type Findings map[Finding]int

// Status is the exit status for what was found, and what it is for, in words: ""
// for success. A failure weighs more than a change, since more changes may hide
// behind it.
func (f FailOn) Status(found Findings) (status int, why string) {
	var parts []string
	for _, kind := range findings {
		if n := found[kind.Finding]; n > 0 && slices.Contains(f, kind.Finding) {
			status = max(status, kind.status)
			parts = append(parts, fmt.Sprintf("%d %s", n, kind.Finding))
		}
	}
	return status, strings.Join(parts, ", ")
}

// Findings of a table are those between neighbours, and what could not be
// compared.
func (t *Table) Findings() Findings {
	out := Findings{}
	out.changes(t.Changes())
	out.residue(t, t.Residue())
	return out
}

// Findings of a difference are those between its pairs.
func (d *Difference) Findings() Findings {
	out := Findings{FoundVanished: len(d.Vanished), FoundNew: len(d.New)}
	out.rows(d.Rows)
	for _, i := range d.Cells {
		for _, c := range []Column{d.A.Columns[d.Pairs[i].A], d.B.Columns[d.Pairs[i].B]} {
			out.cell(c)
		}
	}
	for _, u := range d.Residue {
		switch {
		case u.Clocks:
			out[FoundUncompared]++
		case within(u.Pairs, d.Cells):
		case u.Old.Status.Behaviour() || u.Old.Status == Absent:
			out.status(u.New.Status)
		default:
			out.status(u.Old.Status)
		}
	}
	out.unsupported(d.B)
	return out
}

// Findings of a judgement are those between the table and what was blessed, those
// of kernels that were not, and what the table has no behaviour for.
func (j *Judgement) Findings() Findings {
	out := Findings{
		FoundVanished: len(j.Vanished), FoundNew: j.Fresh(), FoundUncompared: len(j.Residue),
	}
	out.rows(j.Rows)
	out.changes(j.Below)
	out.residue(j.B, j.Gaps)
	return out
}

func (f Findings) rows(rows []DiffRow) {
	for _, r := range rows {
		if r.Explained() {
			f[FoundExplained]++
		} else {
			f[FoundUnexplained]++
		}
	}
}

func (f Findings) changes(changes []Change) {
	open := Unexplained(changes)
	f[FoundUnexplained] += open
	f[FoundExplained] += len(changes) - open
}

func (f Findings) residue(t *Table, r Residue) {
	for _, i := range r.Cells {
		f.cell(t.Columns[i])
	}
	for _, p := range r.Probes {
		if !within(p.Columns, r.Cells) {
			f.status(p.Status)
		}
	}
	f[FoundUnstable] += len(r.Unstable)
	f[FoundUncompared] += len(r.Absent) + len(r.Clocks)
	f.unsupported(t)
}

// within reports whether what failed is of cells that are counted as such.
func within(some, cells []int) bool {
	return !slices.ContainsFunc(some, func(i int) bool { return !slices.Contains(cells, i) })
}

func (f Findings) unsupported(t *Table) {
	for _, p := range t.Probes {
		if slices.ContainsFunc(p.Outcomes, func(v Value) bool { return v.Status == Unsupported }) {
			f[FoundUnsupported]++
		}
	}
}

// cell counts how a cell ended, where it is not well.
func (f Findings) cell(c Column) {
	switch c.Outcome {
	case results.CellFailed:
		f[FoundBroken]++
	case results.CellCrashed:
		f[FoundCrashed]++
	case results.CellMissing:
		f[FoundMissing]++
	}
}

// status counts a probe or a row that is no behaviour.
func (f Findings) status(s Status) {
	switch s {
	case Unstable:
		f[FoundUnstable]++
	case Broken:
		f[FoundBroken]++
	case Crashed:
		f[FoundCrashed]++
	default:
		f[FoundMissing]++
	}
}
