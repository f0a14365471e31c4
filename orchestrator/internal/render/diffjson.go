package render

import (
	"io"

	"github.com/ctmatrix/ctmatrix/orchestrator/internal/beside"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/table"
)

// DiffReport is what DiffJSON writes. Lists are never null.
type DiffReport struct {
	Schema      int        `json:"schema"` // ReportSchema
	Pairs       []DiffPair `json:"pairs"`
	OnlyBefore  []string   `json:"only_before"` // labels of kernels without a partner
	OnlyAfter   []string   `json:"only_after"`
	Changes     []DiffRow  `json:"changes"`       // by row
	Vanished    []string   `json:"vanished"`      // rows
	New         []string   `json:"new"`           // rows
	ProbesGone  []string   `json:"probes_before"` // probes that only the first side has
	ProbesAdded []string   `json:"probes_after"`
	Residue     []DiffGap  `json:"residue"`
	Stale       []Stale    `json:"stale"` // notes that explain nothing any more
}

// DiffPair is two kernels that are compared.
type DiffPair struct {
	Label     string      `json:"label"` // unique among the pairs; others refer to it
	Before    DiffSide    `json:"before"`
	After     DiffSide    `json:"after"`
	MatchedBy table.Match `json:"matched_by"`
	Note      string      `json:"note,omitempty"` // of clocks that differ, or are not the usual
}

// DiffSide is one kernel of a pair.
type DiffSide struct {
	Kernel  results.Kernel      `json:"kernel"`
	Variant string              `json:"variant"`
	Clock   string              `json:"clock,omitempty"`
	Outcome results.CellOutcome `json:"outcome"`
	Reason  string              `json:"reason,omitempty"`
}

// DiffRow is one row, or one probe as a whole, that differs in some pairs.
type DiffRow struct {
	Probe  string      `json:"probe"`
	Row    string      `json:"row,omitempty"` // empty for a probe as a whole
	Values []DiffValue `json:"values"`        // only of pairs in which it differs
	// Explained says that notes cover it in every pair in which it differs.
	Explained bool `json:"explained"`
}

// DiffValue is a row's values in one pair.
type DiffValue struct {
	Pair   string `json:"pair"`
	Before Value  `json:"before"`
	After  Value  `json:"after"`
	Notes  []Note `json:"notes,omitempty"` // that explain it
	// GoesWith is as in Boundary.
	GoesWith []beside.Difference `json:"goes_with,omitempty"`
}

// DiffGap is a probe that could not be compared, or a row that is unstable.
type DiffGap struct {
	Probe  string   `json:"probe"`
	Row    string   `json:"row,omitempty"`
	Pairs  []string `json:"pairs"`
	Reason string   `json:"reason,omitempty"` // where the values do not tell it
	Before Value    `json:"before"`           // in the first of the pairs
	After  Value    `json:"after"`
}

// DiffJSON writes the same as DiffText for a program: one DiffReport.
func DiffJSON(w io.Writer, d *table.Difference) error { return encode(w, diffReport(d)) }

func diffReport(d *table.Difference) DiffReport {
	rep := DiffReport{
		Schema: ReportSchema, Pairs: []DiffPair{},
		OnlyBefore: list(labelsOf(d.A, d.OnlyA)), OnlyAfter: list(labelsOf(d.B, d.OnlyB)),
		Changes: []DiffRow{}, Vanished: list(d.Vanished), New: list(d.New),
		ProbesGone: list(d.ProbesA), ProbesAdded: list(d.ProbesB), Residue: []DiffGap{},
		Stale: staleOf(&d.Book, d.Stale()),
	}
	for i, p := range d.Pairs {
		rep.Pairs = append(rep.Pairs, DiffPair{
			Label: pairLabel(d, i), MatchedBy: p.By, Note: clockNote(d, i),
			Before: sideOf(d.A.Columns[p.A]), After: sideOf(d.B.Columns[p.B]),
		})
	}
	asides := newAsides(d.B.Heads)
	for _, r := range d.Rows {
		row := DiffRow{Probe: r.Probe, Explained: r.Explained()}
		if r.Name != r.Probe {
			row.Row = r.Name
		}
		for i, differs := range r.Differs {
			if !differs {
				continue
			}
			v := valuesOf(d, i, r.Old[i], r.New[i])
			if r.Notes != nil {
				v.Notes = notesOf(&d.Book, r.Notes[i])
			}
			v.GoesWith = asides.pair(d, r, i)
			row.Values = append(row.Values, v)
		}
		rep.Changes = append(rep.Changes, row)
	}
	for _, u := range d.Residue {
		v := valuesOf(d, u.Pairs[0], u.Old, u.New)
		gap := DiffGap{Probe: u.Probe, Row: u.Row, Before: v.Before, After: v.After}
		if u.Clocks {
			gap.Reason = clocksReason
		}
		for _, p := range u.Pairs {
			gap.Pairs = append(gap.Pairs, pairLabel(d, p))
		}
		rep.Residue = append(rep.Residue, gap)
	}
	return rep
}

func sideOf(c table.Column) DiffSide {
	return DiffSide{Kernel: c.Kernel, Variant: c.Variant, Clock: c.Guest.Clock, Outcome: c.Outcome, Reason: c.Reason}
}

func valuesOf(d *table.Difference, pair int, old, new table.Value) DiffValue {
	p := d.Pairs[pair]
	return DiffValue{
		Pair:   pairLabel(d, pair),
		Before: valueOf(d.A.Columns[p.A].Label, old),
		After:  valueOf(d.B.Columns[p.B].Label, new),
	}
}

func list(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}
