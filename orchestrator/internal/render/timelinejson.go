package render

import (
	"io"

	"github.com/ctmatrix/ctmatrix/orchestrator/internal/table"
)

// TimelineReport is what TimelineJSON writes. Lists are never null.
type TimelineReport struct {
	Schema  int            `json:"schema"` // ReportSchema
	Columns []Column       `json:"columns"`
	Rows    []TimelineRow  `json:"rows"`   // by name
	Silent  []string       `json:"silent"` // kernels that gave no answer at all
	Counts  TimelineCounts `json:"counts"`
}

// TimelineRow is one row, or one probe as a whole, over the history.
type TimelineRow struct {
	Row        string           `json:"row"`
	Constant   bool             `json:"constant"`
	Values     []Value          `json:"values"` // distinct; the column is the first that has it
	Series     []TimelineSeries `json:"series"`
	Boundaries []Boundary       `json:"boundaries"`
	Explained  bool             `json:"explained"`
}

// TimelineSeries is one series of one build under one variant.
type TimelineSeries struct {
	Series  string        `json:"series"`
	Flavour string        `json:"flavour,omitempty"`
	Arch    string        `json:"arch"`
	Variant string        `json:"variant"`
	Runs    []TimelineRun `json:"runs"`
}

// TimelineRun is kernels that follow each other and hold the same value.
type TimelineRun struct {
	Value   *int         `json:"value"` // index in the row's values; null for what is no behaviour
	Status  table.Status `json:"status"`
	Columns []string     `json:"columns"`
}

// TimelineCounts sum a timeline up.
type TimelineCounts struct {
	Kernels   int `json:"kernels"`
	Rows      int `json:"rows"` // that were asked for
	Changes   int `json:"changes"`
	Explained int `json:"explained"`
}

// TimelineJSON writes the same as TimelineText for a program.
func TimelineJSON(w io.Writer, t *table.Table, lines []table.Line, all bool) error {
	_, silent := t.Answered()
	changed, explained := TimelineChanges(lines)
	rep := TimelineReport{
		Schema: ReportSchema, Columns: []Column{}, Rows: []TimelineRow{}, Silent: list(labelsOf(t, silent)),
		Counts: TimelineCounts{Kernels: len(t.Columns), Rows: len(lines), Changes: changed, Explained: explained},
	}
	for _, c := range t.Columns {
		rep.Columns = append(rep.Columns, columnOf(t, c))
	}
	asides := newAsides(t.Heads)
	for _, l := range lines {
		if all || !l.Constant() {
			rep.Rows = append(rep.Rows, timelineRowOf(t, l, asides))
		}
	}
	return encode(w, rep)
}

func timelineRowOf(t *table.Table, l table.Line, a *asides) TimelineRow {
	row := TimelineRow{
		Row: l.Row.Name, Constant: l.Constant(), Values: []Value{}, Series: []TimelineSeries{},
		Boundaries: boundariesOf(t, l.Change, a), Explained: len(l.Change.Boundaries) > 0 && l.Change.Explained(),
	}
	first := make([]int, len(l.Values))
	for at := len(l.Series) - 1; at >= 0; at-- {
		for _, st := range l.Series[at].Stretches {
			if st.Value >= 0 {
				first[st.Value] = st.Columns[0]
			}
		}
	}
	for i, v := range l.Values {
		row.Values = append(row.Values, valueOf(t.Columns[first[i]].Label, v))
	}
	for _, s := range l.Series {
		c := t.Columns[s.First]
		out := TimelineSeries{Series: t.SeriesOf(s.First), Flavour: c.Kernel.Flavour, Arch: c.Kernel.Arch, Variant: c.Variant}
		for _, st := range s.Stretches {
			run := TimelineRun{Status: st.Status, Columns: labelsOf(t, st.Columns)}
			if st.Value >= 0 {
				run.Value = &st.Value
			}
			out.Runs = append(out.Runs, run)
		}
		row.Series = append(row.Series, out)
	}
	return row
}

func boundariesOf(t *table.Table, c table.Change, a *asides) []Boundary {
	out := []Boundary{}
	for _, b := range c.Boundaries {
		out = append(out, Boundary{
			Kind: b.Kind, Older: b.Older, Newer: b.Newer, Backport: b.Backport,
			From: t.Columns[b.From].Label, To: t.Columns[b.To].Label, Skipped: labelsOf(t, b.Skipped),
			Notes: notesOf(&t.Book, b.Notes), GoesWith: a.boundary(t, c, b),
		})
	}
	return out
}
