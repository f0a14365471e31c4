package render

import (
	"io"

	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/table"
)

// StabilityReport is what StabilityJSON writes. Lists are never null.
type StabilityReport struct {
	Schema  int           `json:"schema"` // ReportSchema
	Kernels []TrialKernel `json:"kernels"`
	// Apart are kernels whose runs are not all compared with each other.
	Apart   []TrialCondition `json:"apart"`
	Flips   int              `json:"flips"`  // values that differ from the most common of their row
	Values  int              `json:"values"` // that were compared
	Elapsed float64          `json:"elapsed_s,omitempty"`
	Dir     string           `json:"dir,omitempty"`
}

// TrialKernel is one kernel under a variant, on one clock and with one agent.
type TrialKernel struct {
	Label    string         `json:"label"`
	Kernel   results.Kernel `json:"kernel"`
	Variant  string         `json:"variant"`
	Clock    string         `json:"clock,omitempty"`
	Agent    string         `json:"agent,omitempty"`
	Runs     []TrialRun     `json:"runs"`
	Rows     int            `json:"rows"`
	Values   int            `json:"values"`
	Flips    int            `json:"flips"`
	Unstable []TrialRow     `json:"unstable"` // by row
	Residue  []Gap          `json:"residue"`  // probes without an answer; columns are runs
	// Differing are the conditions that were not the same in all runs.
	Differing []TrialCondition `json:"differing"`
}

// TrialRun is one run of a kernel.
type TrialRun struct {
	Name    string              `json:"name"`
	Outcome results.CellOutcome `json:"outcome"`
	Reason  string              `json:"reason,omitempty"`
}

// TrialRow is a row, or a probe as a whole, that flipped.
type TrialRow struct {
	Probe string      `json:"probe"`
	Row   string      `json:"row,omitempty"` // empty for a probe as a whole
	Seen  []TrialSeen `json:"seen"`          // the most common first
}

// TrialSeen is a value and the names of the runs that saw it.
type TrialSeen struct {
	Status table.Status `json:"status"`
	Value  *string      `json:"value,omitempty"`
	Reason string       `json:"reason,omitempty"`
	Runs   []string     `json:"runs"`
}

// TrialCondition is something that differed between runs.
type TrialCondition struct {
	Kernel string   `json:"kernel"` // its label, without what differs
	Name   string   `json:"name"`
	Values []string `json:"values"`
}

// StabilityJSON writes the same as StabilityText for a program: one
// StabilityReport.
func StabilityJSON(w io.Writer, t *table.Trial, s Summary) error {
	rep := StabilityReport{
		Schema: ReportSchema, Kernels: []TrialKernel{}, Apart: []TrialCondition{}, Flips: t.Totals().Flips, Values: t.Totals().Values,
		Elapsed: s.Elapsed.Seconds(), Dir: s.Dir,
	}
	for _, b := range t.Builds {
		rep.Kernels = append(rep.Kernels, trialKernel(b))
	}
	for _, c := range t.Apart {
		rep.Apart = append(rep.Apart, TrialCondition(c))
	}
	return encode(w, rep)
}

func trialKernel(b table.Build) TrialKernel {
	k := TrialKernel{
		Label: b.Label, Kernel: b.Kernel, Variant: b.Variant, Clock: b.Guest.Clock, Agent: b.Guest.Agent,
		Rows: b.Rows, Values: b.Values, Flips: b.FlipCount(),
		Runs: []TrialRun{}, Unstable: []TrialRow{}, Residue: []Gap{}, Differing: []TrialCondition{},
	}
	names := func(in []int) []string {
		var out []string
		for _, i := range in {
			out = append(out, b.Recordings[i].Name)
		}
		return out
	}
	for _, r := range b.Recordings {
		k.Runs = append(k.Runs, TrialRun{r.Name, r.Outcome, r.Reason})
	}
	for _, f := range b.Flips {
		row := TrialRow{Probe: f.Probe}
		if f.Row != f.Probe {
			row.Row = f.Row
		}
		for _, s := range f.Seen {
			v := valueOf("", s.Value)
			row.Seen = append(row.Seen, TrialSeen{v.Status, v.Value, v.Reason, names(s.In)})
		}
		k.Unstable = append(k.Unstable, row)
	}
	for _, u := range b.Unanswered {
		k.Residue = append(k.Residue, Gap{Columns: names(u.Columns), Probe: u.Probe, Status: u.Status, Reason: u.Reason})
	}
	for _, c := range b.Conditions {
		k.Differing = append(k.Differing, TrialCondition(c))
	}
	return k
}
