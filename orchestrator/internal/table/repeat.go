package table

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
)

// Seen is a value, and in which of several runs of the same kernel it was seen:
// indexes of what was compared.
type Seen struct {
	Value Value `json:"value"`
	In    []int `json:"in"`
}

// answers are what several runs of one kernel said to each question. A run that
// was not asked, or never got there because its cell failed, is in none.
type answers struct {
	probes map[string][]Seen // outcomes, by probe; never empty
	rows   map[string][]Seen // of the runs that recorded the row's probe; none of chance
}

// ask gathers the answers of cells.
func ask(cells []results.CellRows) answers {
	a := answers{probes: map[string][]Seen{}, rows: map[string][]Seen{}}
	recorded := map[string][]int{} // by probe
	for i, c := range cells {
		for _, p := range c.Probes {
			if p.Outcome == observe.Missing && c.Outcome != results.CellOK {
				continue
			}
			if p.Outcome == observe.Recorded {
				recorded[p.Name] = append(recorded[p.Name], i)
			}
			a.probes[p.Name] = note(a.probes[p.Name], outcomeOf(p), i, sameOutcome)
		}
	}
	for i, c := range cells {
		for _, row := range c.Rows {
			if row.Kind != observe.Chance && slices.Contains(recorded[row.Probe()], i) {
				v := Value{Status: Recorded, Kind: row.Kind, Text: row.Value}
				a.rows[row.Name] = note(a.rows[row.Name], v, i, Value.Equal)
			}
		}
	}
	for name, seen := range a.rows {
		a.rows[name] = withAbsent(seen, recorded[(observe.Row{Name: name}).Probe()])
	}
	for _, group := range []map[string][]Seen{a.probes, a.rows} {
		for _, seen := range group {
			slices.SortFunc(seen, bySeen)
		}
	}
	return a
}

// outcomeOf is a probe's outcome as a value. Two recorded probes are the same.
func outcomeOf(p results.Probe) Value {
	v := Value{Status: Status(p.Outcome), Text: p.Reason}
	if p.Outcome == observe.Recorded {
		v.Text = ""
	}
	return v
}

// sameOutcome leaves reasons out: the word of what failed may differ by an
// address.
func sameOutcome(a, b Value) bool { return a.Status == b.Status }

// note adds that run i saw v.
func note(seen []Seen, v Value, i int, same func(a, b Value) bool) []Seen {
	for at := range seen {
		if same(seen[at].Value, v) {
			seen[at].In = append(seen[at].In, i)
			return seen
		}
	}
	return append(seen, Seen{Value: v, In: []int{i}})
}

// withAbsent adds the runs that recorded a row's probe without the row.
func withAbsent(seen []Seen, recorded []int) []Seen {
	var without []int
	for _, i := range recorded {
		if !slices.ContainsFunc(seen, func(s Seen) bool { return slices.Contains(s.In, i) }) {
			without = append(without, i)
		}
	}
	if len(without) == 0 {
		return seen
	}
	return append(seen, Seen{Value: Value{Status: Absent}, In: without})
}

// bySeen is the order in which values are told: the most common first.
func bySeen(a, b Seen) int {
	return cmp.Or(
		-cmp.Compare(len(a.In), len(b.In)), cmp.Compare(a.Value.Status, b.Value.Status),
		cmp.Compare(a.Value.Text, b.Value.Text), cmp.Compare(a.Value.Kind, b.Value.Kind),
	)
}

// settled is the one value that was seen, or an unstable one that tells all.
func settled(seen []Seen) Value {
	if len(seen) == 1 {
		return seen[0].Value
	}
	return Value{Status: Unstable, Text: Tally(seen)}
}

// Tally tells values and how often each was seen: `18× "5" · 7× "6"`.
func Tally(seen []Seen) string {
	var parts []string
	for _, s := range seen {
		parts = append(parts, fmt.Sprintf("%d× %s", len(s.In), s.Value.Quoted()))
	}
	return strings.Join(parts, " · ")
}

// Quoted is a value among words, or among others of its row.
func (v Value) Quoted() string {
	switch {
	case v.Kind != "":
		return `"` + v.Text + `"`
	case v.Text != "":
		return string(v.Status) + ": " + v.Text
	}
	return string(v.Status)
}

// repeated are the cells of one column: repetitions of one kernel under one
// variant, or a single cell.
type repeated struct {
	cells  []results.CellRows // by repetition
	key    string             // "" of a single cell
	digest string             // of the kernel, as far as it is known
	answers
}

// gather puts the repetitions of each kernel and variant together, each where
// its first is. Cells are in the order of columns.
func gather(cells []results.CellRows) []repeated {
	var out []repeated
	for _, c := range cells {
		r := repeated{key: repeatKey(c.Cell), digest: c.Kernel.Digest}
		at := slices.IndexFunc(out, func(o repeated) bool {
			// Of a kernel that was never fetched no digest is known.
			return r.key != "" && o.key == r.key && (o.digest == r.digest || o.digest == "" || r.digest == "")
		})
		if at < 0 {
			at = len(out)
			out = append(out, r)
		}
		out[at].digest = cmp.Or(out[at].digest, r.digest)
		out[at].cells = append(out[at].cells, c)
	}
	for i := range out {
		slices.SortStableFunc(out[i].cells, func(a, b results.CellRows) int { return cmp.Compare(a.Repeat, b.Repeat) })
		out[i].answers = ask(out[i].cells)
	}
	return out
}

// repeatKey is the same for repetitions of a cell, and "" where it has none.
func repeatKey(c results.Cell) string {
	if c.Repeat == 0 {
		return ""
	}
	return fmt.Sprintf("%s %q %q %q", buildKey(c), c.Kernel.Source, c.Kernel.Ref, version(c.Kernel))
}

// outcome is what a column says of a probe. Where none of its runs got to it,
// the first tells why.
func (r repeated) outcome(probe string) Value {
	if seen := r.probes[probe]; len(seen) > 0 {
		return settled(seen)
	}
	for _, c := range r.cells {
		for _, p := range c.Probes {
			if p.Name == probe {
				return outcomeOf(p)
			}
		}
	}
	return Value{Status: Missing}
}

// cell is the column's: that of its first repetition, and of the first that did
// not end well, if any, how it ended.
func (r repeated) cell() results.Cell {
	out := r.cells[0].Cell
	out.Repeat = 0
	for _, c := range r.cells {
		if out.Kernel.Digest == "" && c.Kernel.Digest != "" {
			out.Kernel, out.Guest = c.Kernel, c.Guest
		}
		for _, w := range c.Warnings {
			if !slices.Contains(out.Warnings, w) {
				out.Warnings = append(slices.Clip(out.Warnings), w)
			}
		}
	}
	var failed []results.CellRows
	for _, c := range r.cells {
		if c.Outcome != results.CellOK {
			failed = append(failed, c)
		}
	}
	if len(failed) > 0 && len(r.cells) > 1 {
		out.Outcome, out.Console = failed[0].Outcome, failed[0].Console
		out.Reason = fmt.Sprintf("run %d of %d: %s", failed[0].Repeat, len(r.cells), cmp.Or(failed[0].Reason, "no reason given"))
		if len(failed) > 1 {
			out.Reason += fmt.Sprintf(" (and %d more)", len(failed)-1)
		}
	}
	return out
}

// UnstableRow is a row, or a probe as a whole, that differed between repetitions
// on the same kernel. That is no behaviour: it is compared with nothing.
type UnstableRow struct {
	Row     string           `json:"row"` // the probe's name for a probe as a whole
	Probe   string           `json:"probe"`
	Columns []UnstableColumn `json:"columns"` // by column
}

// UnstableColumn says what was seen on one kernel, the most common first. Seen
// counts repetitions from 0.
type UnstableColumn struct {
	Column int    `json:"column"`
	Seen   []Seen `json:"seen"`
}

// unstable lists what differs between repetitions, by name. The rows of a probe
// that does so as a whole are not listed for themselves.
func unstable(columns []repeated) []UnstableRow {
	found := map[string]*UnstableRow{}
	add := func(row, probe string, column int, seen []Seen) {
		if len(seen) < 2 {
			return
		}
		if found[row] == nil {
			found[row] = &UnstableRow{Row: row, Probe: probe}
		}
		found[row].Columns = append(found[row].Columns, UnstableColumn{Column: column, Seen: seen})
	}
	for i, c := range columns {
		for probe, seen := range c.probes {
			add(probe, probe, i, seen)
		}
		for row, seen := range c.rows {
			if probe := (observe.Row{Name: row}).Probe(); len(c.probes[probe]) == 1 {
				add(row, probe, i, seen)
			}
		}
	}
	var out []UnstableRow
	for _, row := range slices.Sorted(maps.Keys(found)) {
		out = append(out, *found[row])
	}
	return out
}
