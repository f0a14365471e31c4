package render

import (
	"io"

	"github.com/ctmatrix/ctmatrix/orchestrator/internal/table"
)

// JudgedReport is what JudgedJSON writes: what differs from what was blessed, as
// DiffReport has it, and the rest.
type JudgedReport struct {
	DiffReport
	Baseline  string         `json:"baseline"`  // directory of what was blessed
	Unblessed []UnblessedGap `json:"unblessed"` // probes that some kernels were not asked when they were blessed
	Below     []Change       `json:"below"`     // of kernels that were never blessed, against their neighbours
	Run       Report         `json:"run"`       // the run by itself
}

// UnblessedGap is a probe, and the pairs in which it was not blessed.
type UnblessedGap struct {
	Probe string   `json:"probe"`
	Pairs []string `json:"pairs"`
}

// JudgedJSON writes the same as JudgedText for a program: one JudgedReport.
func JudgedJSON(w io.Writer, j *table.Judgement, s Judged) error {
	rep := JudgedReport{
		DiffReport: diffReport(j.Difference), Baseline: s.Blessed, Unblessed: []UnblessedGap{},
		Below: []Change{}, Run: reportOf(j.B, s.Summary),
	}
	for _, u := range j.Unblessed {
		gap := UnblessedGap{Probe: u.Probe}
		for _, p := range u.Pairs {
			gap.Pairs = append(gap.Pairs, pairLabel(j.Difference, p))
		}
		rep.Unblessed = append(rep.Unblessed, gap)
	}
	for _, c := range j.Below {
		rep.Below = append(rep.Below, changeOf(j.B, c))
	}
	return encode(w, rep)
}
