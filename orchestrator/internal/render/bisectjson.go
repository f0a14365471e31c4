package render

import (
	"io"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/images/changelog"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/bisect"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/table"
)

// Bisection is what BisectJSON writes. Kernels are named by the version of their
// package. Lists are never null.
type Bisection struct {
	Schema      int              `json:"schema"` // as of a Report
	Row         string           `json:"row"`    // or a probe, whose outcome is searched
	From        string           `json:"from"`
	To          string           `json:"to"`
	All         bool             `json:"all"`     // every kernel was to be asked
	Outcome     bisect.Outcome   `json:"outcome"` // "same", "changed" or "undecided"
	Interrupted bool             `json:"interrupted"`
	Series      []BisectSeries   `json:"series"`
	Steps       []BisectAnswer   `json:"steps"` // in the order in which kernels were asked
	Boundaries  []BisectBoundary `json:"boundaries"`
	Warnings    []string         `json:"warnings"`
	Elapsed     float64          `json:"elapsed_s,omitempty"`
	Dir         string           `json:"dir,omitempty"` // the run directory
}

// BisectSeries is the kernels of a series, oldest first.
type BisectSeries struct {
	Series  string   `json:"series"`
	Kernels []string `json:"kernels"`
}

// BisectAnswer is what one kernel answered.
type BisectAnswer struct {
	Kernel  string       `json:"kernel"`
	Release string       `json:"release"`
	Series  string       `json:"series"`
	Status  table.Status `json:"status"`
	Kind    observe.Kind `json:"kind,omitempty"`
	Value   *string      `json:"value,omitempty"` // where the status is recorded, save for a probe as a whole
	Reason  string       `json:"reason,omitempty"`
	Skipped bool         `json:"skipped"` // there was no answer
}

// BisectBoundary is two kernels whose answers differ.
type BisectBoundary struct {
	Kind    string          `json:"kind"`   // "inside" a series, or "between" series, whose oldest kernels differ
	Series  []string        `json:"series"` // the one, or both
	Older   BisectAnswer    `json:"older"`
	Newer   BisectAnswer    `json:"newer"`
	Skipped []BisectAnswer  `json:"skipped"`           // in between, without an answer
	Unasked []string        `json:"unasked"`           // in between, not asked
	Notes   []Note          `json:"notes,omitempty"`   // that explain it
	Changes *BisectExcerpts `json:"changes,omitempty"` // inside a series, where nothing was left unasked
}

// BisectExcerpts is what the newer package's changelog has that the older lacks.
type BisectExcerpts struct {
	Topics  []string      `json:"topics"` // by which it was searched, beside netfilter
	Entries []BisectEntry `json:"entries"`
	LeftOut int           `json:"left_out"`          // changes that are about something else
	Missing string        `json:"missing,omitempty"` // why there is no changelog
}

// BisectEntry is one version in a changelog.
type BisectEntry struct {
	Source  string         `json:"source"`
	Version string         `json:"version"`
	Suite   string         `json:"suite"`
	Changes []BisectChange `json:"changes"`
}

// BisectChange is one line of an entry.
type BisectChange struct {
	Under []string `json:"under"` // lines that it stands below, the outermost first
	Text  string   `json:"text"`
}

// BisectJSON writes a Bisection.
func BisectJSON(w io.Writer, r *bisect.Report, s Summary) error {
	search := r.Search
	kernels := search.Kernels()
	out := Bisection{
		Schema: ReportSchema, Row: r.Row, From: kernels[0].Version, To: kernels[len(kernels)-1].Version,
		All: search.All(), Outcome: r.Outcome(), Interrupted: r.Cut,
		Steps: answersOf(search, search.Asked()), Boundaries: []BisectBoundary{},
		Warnings: append([]string{}, search.Warnings()...),
		Elapsed:  s.Elapsed.Seconds(), Dir: s.Dir,
	}
	for _, series := range search.Series() {
		one := BisectSeries{Series: series[0].Series}
		for _, k := range series {
			one.Kernels = append(one.Kernels, k.Version)
		}
		out.Series = append(out.Series, one)
	}
	for i, b := range search.Boundaries() {
		out.Boundaries = append(out.Boundaries, boundaryOf(r, i, b))
	}
	return encode(w, out)
}

func answersOf(s *bisect.Search, kernels []int) []BisectAnswer {
	out := []BisectAnswer{}
	for _, i := range kernels {
		k, v := s.Kernels()[i], valueOf("", s.Value(i))
		out = append(out, BisectAnswer{
			Kernel: k.Version, Release: k.Release, Series: k.Series,
			Status: v.Status, Kind: v.Kind, Value: v.Value, Reason: v.Reason, Skipped: !v.Status.Behaviour(),
		})
	}
	return out
}

func boundaryOf(r *bisect.Report, i int, b bisect.Boundary) BisectBoundary {
	answers := answersOf(r.Search, []int{b.Older, b.Newer})
	out := BisectBoundary{
		Kind: "between", Series: []string{answers[0].Series, answers[1].Series},
		Older: answers[0], Newer: answers[1], Skipped: answersOf(r.Search, b.Skipped), Unasked: []string{},
		Notes: notesOf(&r.Book, r.Notes(b)),
	}
	for _, n := range b.Unasked {
		out.Unasked = append(out.Unasked, r.Search.Kernels()[n].Version)
	}
	if b.Inside {
		out.Kind, out.Series = "inside", out.Series[:1]
	}
	if b.Inside && len(b.Unasked) == 0 {
		x := r.Excerpts[i]
		out.Changes = &BisectExcerpts{
			Topics: append([]string{}, x.Topics...), Entries: entriesOf(x.Entries), LeftOut: x.LeftOut, Missing: x.Missing,
		}
	}
	return out
}

func entriesOf(entries []changelog.Entry) []BisectEntry {
	out := []BisectEntry{}
	for _, e := range entries {
		entry := BisectEntry{Source: e.Source, Version: e.Version, Suite: e.Suite, Changes: []BisectChange{}}
		for _, c := range e.Changes {
			entry.Changes = append(entry.Changes, BisectChange{Under: append([]string{}, c.Under...), Text: c.Text})
		}
		out = append(out, entry)
	}
	return out
}
