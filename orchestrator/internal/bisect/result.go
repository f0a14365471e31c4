package bisect

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/table"
)

// Boundary is two kernels whose answers differ, and what the search can say of
// the place of the change.
type Boundary struct {
	Older, Newer int
	// Inside says that the change lies between the two packages. If not, they are
	// the oldest kernels of their series that answered, and the change lies
	// somewhere on the way from one series to the other.
	Inside bool
	// Skipped lie between the two and gave no answer, Unasked were not asked.
	Skipped, Unasked []int
}

// Boundaries are what the answers so far prove: in each series the neighbours
// that differ, and series whose oldest kernels differ; in the order of the newer
// kernels.
func (s *Search) Boundaries() []Boundary {
	var out []Boundary
	before := -1 // the oldest answer of the series before
	for _, sp := range s.series {
		answers := s.those(sp.from, sp.to, s.answered)
		if len(answers) == 0 {
			continue
		}
		if before >= 0 && !s.values[before].Equal(s.values[answers[0]]) {
			out = append(out, Boundary{Older: before, Newer: answers[0]})
		}
		before = answers[0]
		for _, g := range s.gaps(sp) {
			out = append(out, Boundary{
				Older: g.older, Newer: g.newer, Inside: true,
				Skipped: s.those(g.older+1, g.newer, s.skipped),
				Unasked: s.unasked(g.older+1, g.newer),
			})
		}
	}
	return out
}

// Kernels are what New was given.
func (s *Search) Kernels() []Kernel { return s.kernels }

// Value is what kernel i answered. Its status is "" if it was not asked.
func (s *Search) Value(i int) table.Value { return s.values[i] }

// Asked are the kernels that were asked, in the order of their answers.
func (s *Search) Asked() []int { return s.asked }

// All says that every kernel was to be asked.
func (s *Search) All() bool { return s.all }

// Series returns the kernels of each series.
func (s *Search) Series() [][]Kernel {
	var out [][]Kernel
	for _, sp := range s.series {
		out = append(out, s.kernels[sp.from:sp.to])
	}
	return out
}

// Outcome is what a search came to.
type Outcome string

// The outcomes.
const (
	Same      Outcome = "same"      // both ends answered, and nothing was found
	Changed   Outcome = "changed"   // a change was found
	Undecided Outcome = "undecided" // there are too few answers to tell
)

// Outcome is what the answers come to. One that is the same needs both ends, and
// an answer from each series.
func (s *Search) Outcome() Outcome {
	if len(s.Boundaries()) > 0 {
		return Changed
	}
	if len(s.Next()) > 0 || !s.answered(0) || !s.answered(len(s.kernels)-1) {
		return Undecided
	}
	for _, sp := range s.series {
		if len(s.those(sp.from, sp.to, s.answered)) == 0 {
			return Undecided
		}
	}
	return Same
}

// Warnings are what a reader should know of how far the answers reach, one line
// each: ends that gave no answer, values that are neither end's, and series that
// were left without an answer.
func (s *Search) Warnings() []string {
	var out []string
	for _, sp := range s.series {
		answers := s.those(sp.from, sp.to, s.answered)
		if len(answers) == 0 {
			if len(s.those(sp.from, sp.to, s.skipped)) == sp.to-sp.from {
				out = append(out, fmt.Sprintf("%s.y: none of its kernels could be asked", s.kernels[sp.from].Series))
			}
			continue
		}
		first, last := answers[0], answers[len(answers)-1]
		if s.skipped(sp.from) {
			out = append(out, s.moved(sp.from, first, "oldest"))
		}
		if s.skipped(sp.to-1) && first != last {
			out = append(out, s.moved(sp.to-1, last, "newest"))
		}
		out = append(out, s.others(answers)...)
	}
	return out
}

func (s *Search) moved(end, to int, which string) string {
	return fmt.Sprintf("%s could not be asked: %s stands for it as the %s of %s.y",
		s.kernels[end].Version, s.kernels[to].Version, which, s.kernels[end].Series)
}

// others tells of values inside a series that neither of its ends has: there is
// more than one change then.
func (s *Search) others(answers []int) []string {
	var versions []string
	first, last := s.values[answers[0]], s.values[answers[len(answers)-1]]
	for _, i := range answers {
		if v := s.values[i]; !v.Equal(first) && !v.Equal(last) {
			versions = append(versions, s.kernels[i].Version)
		}
	}
	if len(versions) == 0 {
		return nil
	}
	return []string{fmt.Sprintf("%s: a value that neither end of %s.y has, so it changed more than once",
		strings.Join(slices.Compact(versions), ", "), s.kernels[answers[0]].Series)}
}

// Report is what a bisection is told with.
type Report struct {
	Row      string
	Question string // of the row's probe
	Search   *Search
	Excerpts []Excerpt  // of changelogs, parallel to the search's boundaries; empty between series, and where kernels were not asked
	Cut      bool       // the search was interrupted
	Book     table.Book // of notes that boundaries are held against; may be empty
}

// Notes are those of the book that explain a boundary, by index.
func (r *Report) Notes(b Boundary) []int {
	kernel := func(i int) results.Kernel {
		k := r.Search.kernels[i]
		return results.Kernel{Version: k.Version, Release: k.Release, Series: k.Series}
	}
	return r.Book.Of(r.Row, kernel(b.Older), kernel(b.Newer))
}

// Outcome is the search's. What an interrupted search found is no result.
func (r *Report) Outcome() Outcome {
	if r.Cut {
		return Undecided
	}
	return r.Search.Outcome()
}
