package render

import (
	"io"

	"github.com/ctmatrix/ctmatrix/orchestrator/internal/table"
)

// JudgedReport is what differs from what was blessed: a DiffReport and what goes
// beyond it. Its residue has only what the two sides' clocks keep apart.
type JudgedReport struct {
	DiffReport
	Baseline  string         `json:"baseline"`  // directory of what was blessed
	Unblessed []UnblessedGap `json:"unblessed"` // probes that some kernels were not asked when they were blessed
	Below     []Change       `json:"below"`     // of kernels that were never blessed, against their neighbours
	Unstable  []Unstable     `json:"unstable"`  // what differs on the same kernel, by row
	Gaps      []Gap          `json:"gaps"`      // what the run has no behaviour for
}

// UnblessedGap is a probe, and the pairs in which it was not blessed.
type UnblessedGap struct {
	Probe string   `json:"probe"`
	Pairs []string `json:"pairs"`
}

// JudgedJSON writes the same as JudgedText for a program: one JudgedReport.
func JudgedJSON(w io.Writer, j *table.Judgement, s Judged) error {
	return encode(w, judgedReport(j, s))
}

// JudgedRunJSON writes what JSON writes of the run, with the JudgedReport in it.
func JudgedRunJSON(w io.Writer, j *table.Judgement, s Judged) error {
	rep, against := reportOf(j.B, s.Summary), judgedReport(j, s)
	rep.Against = &against
	return encode(w, rep)
}

func judgedReport(j *table.Judgement, s Judged) JudgedReport {
	rep := JudgedReport{
		DiffReport: diffReport(j.Difference), Baseline: s.Blessed, Unblessed: []UnblessedGap{},
		Below: []Change{}, Unstable: []Unstable{}, Gaps: gapsOf(j.B, j.Gaps),
	}
	for _, u := range j.Unblessed {
		gap := UnblessedGap{Probe: u.Probe}
		for _, p := range u.Pairs {
			gap.Pairs = append(gap.Pairs, pairLabel(j.Difference, p))
		}
		rep.Unblessed = append(rep.Unblessed, gap)
	}
	asides := newAsides(j.B.Heads)
	for _, c := range j.Below {
		rep.Below = append(rep.Below, changeOf(j.B, c, asides))
	}
	for _, u := range j.Gaps.Unstable {
		rep.Unstable = append(rep.Unstable, unstableOf(j.B, u))
	}
	return rep
}
