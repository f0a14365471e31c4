package render

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/beside"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/table"
)

// ReportSchema is the version of Report and DiffReport. Within a version,
// members are added and never change their meaning.
const ReportSchema = 1

// Report is what JSON writes. Kernels are referred to by their label, which is
// unique in a report. Lists are never null.
type Report struct {
	Schema   int        `json:"schema"`
	Columns  []Column   `json:"columns"`  // oldest first
	Changes  []Change   `json:"changes"`  // by row
	Unstable []Unstable `json:"unstable"` // what differs on the same kernel, by row
	Chance   []Chance   `json:"chance"`   // what is up to luck, by row
	Residue  []Gap      `json:"residue"`  // what could not be compared
	Stale    []Stale    `json:"stale"`    // notes that explain nothing any more
	Counts   Counts     `json:"counts"`
	Settings []Settings `json:"settings,omitempty"`  // what neighbours differ in beside their rows
	Elapsed  float64    `json:"elapsed_s,omitempty"` // of the run
	Dir      string     `json:"dir,omitempty"`       // the run directory
	Cached   int        `json:"cached_cells"`        // cells that were taken from the cache as a whole
	Booted   int        `json:"booted_cells"`        // cells for which a guest was started
	// Against is how the run differs from what was blessed, where a baseline is in
	// force.
	Against *JudgedReport `json:"against,omitempty"`
}

// Column is one cell of the run.
type Column struct {
	Label   string              `json:"label"`
	Kernel  results.Kernel      `json:"kernel"`
	Variant string              `json:"variant"`
	Guest   results.Guest       `json:"guest"`
	Outcome results.CellOutcome `json:"outcome"`
	Reason  string              `json:"reason,omitempty"`
	Runs    int                 `json:"runs"` // how often it ran
	// Before is the label of the kernel that this one is compared with.
	Before string `json:"before,omitempty"`
}

// Change is one row, or one probe as a whole, that differs between neighbours.
type Change struct {
	Probe      string     `json:"probe"`
	Row        string     `json:"row,omitempty"` // empty for a probe as a whole
	Boundaries []Boundary `json:"boundaries"`
	Values     []Value    `json:"values"` // parallel to the columns
	Explained  bool       `json:"explained"`
}

// Boundary is where a value changes.
type Boundary struct {
	Kind  table.Kind `json:"kind"`  // "inside" a series, "between" series, or of other "builds"
	Older string     `json:"older"` // series; the same as Newer if inside
	Newer string     `json:"newer"`
	// Backport says that the older series may have its value by a backport from
	// before the kernel that was compared.
	Backport bool `json:"backport,omitempty"`
	// From and To are the kernels that were compared: neighbours if inside a
	// series, else the oldest of both.
	From string `json:"from"`
	To   string `json:"to"`
	// Skipped lists kernels between the two that gave no answer.
	Skipped []string `json:"skipped,omitempty"`
	Notes   []Note   `json:"notes,omitempty"` // that explain it
	// GoesWith is what differs between the same kernels and is about the same
	// thing: options, modules and defaults.
	GoesWith []beside.Difference `json:"goes_with,omitempty"`
}

// Value is what one column has for a row.
type Value struct {
	Column string       `json:"column"`
	Status table.Status `json:"status"`
	Kind   observe.Kind `json:"kind,omitempty"`
	Value  *string      `json:"value,omitempty"` // where the status is recorded, save for a probe as a whole
	Reason string       `json:"reason,omitempty"`
}

// Gap is something that could not be compared: a cell (no probe), a probe, or a
// row that is absent.
type Gap struct {
	Columns []string     `json:"columns"`
	Probe   string       `json:"probe,omitempty"`
	Row     string       `json:"row,omitempty"`
	Status  table.Status `json:"status,omitempty"` // of a probe or row
	Reason  string       `json:"reason,omitempty"`
	Console []string     `json:"console,omitempty"` // of a cell: its last lines
}

// Unstable is one row, or one probe as a whole, that differs on the same kernel.
type Unstable struct {
	Probe   string     `json:"probe"`
	Row     string     `json:"row,omitempty"` // empty for a probe as a whole
	Columns []Unsteady `json:"columns"`
}

// Chance is one row of chance: how often something happened, which is compared
// with nothing.
type Chance struct {
	Probe   string     `json:"probe"`
	Row     string     `json:"row"`
	Columns []HowOften `json:"columns"` // where it was asked
}

// HowOften is what was counted on one kernel, by repetition: "37 of 2000".
type HowOften struct {
	Column string   `json:"column"`
	Counts []string `json:"counts"`
}

// Unsteady is what was seen on one kernel, the most common first.
type Unsteady struct {
	Column string  `json:"column"`
	Seen   []Times `json:"seen"`
}

// Times is a value and how often it was seen.
type Times struct {
	Value
	Times int `json:"times"`
}

// Counts sum a report up.
type Counts struct {
	Kernels int `json:"kernels"`
	Cells   int `json:"cells"`
	Failed  int `json:"failed_cells"`
	Probes  int `json:"probes"`
	Rows    int `json:"rows"`
	Changes int `json:"changes"`
	// Explained counts the changes that notes cover.
	Explained int `json:"explained"`
	Broken    int `json:"broken"`   // probes times cells, as are the next two
	Crashed   int `json:"crashed"`  //
	Missing   int `json:"missing"`  // not counting those of cells that failed
	Unstable  int `json:"unstable"` // rows, and probes as a whole, of any kernel
}

// JSON writes the same as Text for a program: one Report.
func JSON(w io.Writer, t *table.Table, s Summary) error {
	return encode(w, reportOf(t, s))
}

func reportOf(t *table.Table, s Summary) Report {
	rep := Report{
		Schema: ReportSchema, Columns: []Column{}, Changes: []Change{}, Unstable: []Unstable{},
		Chance: []Chance{}, Residue: []Gap{}, Stale: staleOf(&t.Book, t.Stale()),
		Counts: countTable(t), Elapsed: s.Elapsed.Seconds(), Dir: s.Dir,
		Cached: s.Cached, Booted: s.Booted,
	}
	for _, c := range t.Columns {
		rep.Columns = append(rep.Columns, columnOf(t, c))
	}
	asides := newAsides(t.Heads)
	for _, c := range t.Changes() {
		rep.Changes = append(rep.Changes, changeOf(t, c, asides))
	}
	rep.Settings = settingsOf(t, asides)
	for _, u := range t.Unstable {
		rep.Unstable = append(rep.Unstable, unstableOf(t, u))
	}
	for _, c := range t.Chance {
		rep.Chance = append(rep.Chance, chanceOf(t, c))
	}
	rep.Residue = gapsOf(t, t.Residue())
	return rep
}

func encode(w io.Writer, v any) error {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return err
	}
	_, err := w.Write(Harmless(buf.Bytes()))
	return err
}

// Harmless returns the same JSON with every character that a terminal might act
// on, or that turns the direction of writing, in the form \uXXXX. Those of ASCII
// have that form already.
func Harmless(text []byte) []byte {
	var out []byte
	done := 0 // what is in out, or need not be
	for i, r := range string(text) {
		if r < utf8.RuneSelf && r != 0x7f || strconv.IsPrint(r) {
			continue
		}
		out = append(out, text[done:i]...)
		for _, unit := range utf16.AppendRune(nil, r) {
			out = fmt.Appendf(out, "\\u%04x", unit)
		}
		done = i + utf8.RuneLen(r)
	}
	return append(out, text[done:]...)
}

func chanceOf(t *table.Table, c table.ChanceRow) Chance {
	out := Chance{Probe: c.Probe, Row: c.Row}
	for i, counts := range c.Counts {
		if len(counts) > 0 {
			out.Columns = append(out.Columns, HowOften{Column: t.Columns[i].Label, Counts: counts})
		}
	}
	return out
}

func columnOf(t *table.Table, c table.Column) Column {
	out := Column{
		Label: c.Label, Kernel: c.Kernel, Variant: c.Variant, Guest: c.Guest,
		Outcome: c.Outcome, Reason: c.Reason, Runs: c.Runs,
	}
	if c.Parent >= 0 {
		out.Before = t.Columns[c.Parent].Label
	}
	return out
}

func changeOf(t *table.Table, c table.Change, a *asides) Change {
	out := Change{Probe: c.Row.Probe, Explained: c.Explained(), Boundaries: boundariesOf(t, c, a)}
	if !c.Whole() {
		out.Row = c.Row.Name
	}
	for i, v := range c.Row.Values {
		out.Values = append(out.Values, valueOf(t.Columns[i].Label, v))
	}
	return out
}

func unstableOf(t *table.Table, u table.UnstableRow) Unstable {
	out := Unstable{Probe: u.Probe}
	if u.Row != u.Probe {
		out.Row = u.Row
	}
	for _, c := range u.Columns {
		at := Unsteady{Column: t.Columns[c.Column].Label}
		for _, s := range c.Seen {
			at.Seen = append(at.Seen, Times{valueOf(at.Column, s.Value), len(s.In)})
		}
		out.Columns = append(out.Columns, at)
	}
	return out
}

func valueOf(column string, v table.Value) Value {
	out := Value{Column: column, Status: v.Status, Kind: v.Kind}
	if v.Kind != "" {
		out.Value = &v.Text
	} else {
		out.Reason = v.Text
	}
	return out
}

func gapsOf(t *table.Table, residue table.Residue) []Gap {
	out := []Gap{}
	for _, i := range residue.Cells {
		c := t.Columns[i]
		out = append(out, Gap{Columns: []string{c.Label}, Reason: c.Reason, Console: c.Console})
	}
	for _, u := range residue.Probes {
		out = append(out, Gap{Columns: labelsOf(t, u.Columns), Probe: u.Probe, Status: u.Status, Reason: u.Reason})
	}
	for _, a := range residue.Absent {
		out = append(out, Gap{Columns: labelsOf(t, a.Columns), Row: a.Row, Status: table.Absent})
	}
	for _, c := range residue.Clocks {
		out = append(out, Gap{Columns: labelsOf(t, []int{c.From, c.To}), Probe: c.Probe, Reason: clocksReason})
	}
	return out
}

func labelsOf(t *table.Table, columns []int) []string {
	var out []string
	for _, c := range columns {
		out = append(out, t.Columns[c].Label)
	}
	return out
}

func countTable(t *table.Table) Counts {
	changes := t.Changes()
	n := Counts{
		Cells: len(t.Columns), Probes: len(t.Probes), Rows: len(t.Rows), Changes: len(changes),
		Explained: len(changes) - table.Unexplained(changes), Unstable: len(t.Unstable),
	}
	kernels := map[results.Kernel]bool{}
	for _, c := range t.Columns {
		kernels[c.Kernel] = true
		if c.Outcome != results.CellOK {
			n.Failed++
		}
	}
	n.Kernels = len(kernels)
	for _, p := range t.Probes {
		for i, v := range p.Outcomes {
			switch {
			case v.Status == table.Broken:
				n.Broken++
			case v.Status == table.Crashed:
				n.Crashed++
			case v.Status == table.Missing && t.Columns[i].Outcome == results.CellOK:
				n.Missing++
			}
		}
	}
	return n
}
