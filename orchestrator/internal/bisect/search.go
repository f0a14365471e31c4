// Package bisect finds the packages between which a kernel's answer changed. It
// is pure: it says which kernels must be asked, is told what they answered, and
// works out what that proves.
//
// Kernels form a tree: a stable series forks from mainline and goes its own way.
// So the search halves inside a series only, and of series that follow each
// other it compares the oldest kernels.
package bisect

import (
	"math/bits"
	"slices"

	"github.com/ctmatrix/ctmatrix/orchestrator/internal/table"
)

// Kernel is a package that may be asked.
type Kernel struct {
	Version string // of the package: "6.12.90-2"
	Release string // uname -r
	Series  string // "6.12"
}

// Search is one bisection. Kernels are named by their index in what New was
// given. It is not safe for concurrent use.
type Search struct {
	kernels []Kernel
	series  []span
	all     bool
	values  []table.Value // Status is "" as long as a kernel was not asked
	asked   []int         // in the order of answers
}

// span is the kernels of one series: from, and up to but without, to.
type span struct{ from, to int }

// New begins a search among kernels: series in the order of their first
// releases, in each the packages in the order of versions. With all, every
// kernel is asked, and every flip inside a series is found; else ends are, and
// what lies between ends that differ is halved, which finds one flip of those
// that there may be.
func New(kernels []Kernel, all bool) *Search {
	s := &Search{kernels: kernels, all: all, values: make([]table.Value, len(kernels))}
	for i, k := range kernels {
		if i == 0 || kernels[i-1].Series != k.Series {
			s.series = append(s.series, span{i, i})
		}
		s.series[len(s.series)-1].to = i + 1
	}
	return s
}

// Next returns the kernels that must be asked now, in their order; none when the
// search has ended. None of them has to wait for the others' answers.
func (s *Search) Next() []int {
	var out []int
	for _, sp := range s.series {
		if s.all {
			out = append(out, s.unasked(sp.from, sp.to)...)
			continue
		}
		if ends := s.pendingEnds(sp); len(ends) > 0 {
			out = append(out, ends...)
			continue
		}
		for _, g := range s.openGaps(sp) {
			out = append(out, s.middle(g))
		}
	}
	return out
}

// Answer says what kernel i answered. A value that is no behaviour skips it: the
// search goes on with its neighbours.
func (s *Search) Answer(i int, v table.Value) {
	s.values[i] = v
	s.asked = append(s.asked, i)
}

// pendingEnds are the ends of a series that were not asked yet. An end that gave
// no answer is replaced by its neighbour.
func (s *Search) pendingEnds(sp span) []int {
	open := func(i int) bool { return s.values[i].Status == "" || s.answered(i) }
	first := sp.from
	for first < sp.to && !open(first) {
		first++
	}
	if first == sp.to {
		return nil
	}
	last := sp.to - 1
	for !open(last) {
		last--
	}
	return slices.DeleteFunc(slices.Compact([]int{first, last}), s.answered)
}

func (s *Search) answered(i int) bool { return s.values[i].Status.Behaviour() }

func (s *Search) skipped(i int) bool { return s.values[i].Status != "" && !s.answered(i) }

func (s *Search) unasked(from, to int) []int {
	return s.those(from, to, func(i int) bool { return s.values[i].Status == "" })
}

// those are the kernels from one up to, but without, another that want fits.
func (s *Search) those(from, to int, want func(int) bool) []int {
	var out []int
	for i := from; i < to; i++ {
		if want(i) {
			out = append(out, i)
		}
	}
	return out
}

// gap is two kernels of a series that answered differently, and between which
// none answered.
type gap struct{ older, newer int }

// gaps are all of a series.
func (s *Search) gaps(sp span) []gap {
	var out []gap
	answers := s.those(sp.from, sp.to, s.answered)
	for n := 1; n < len(answers); n++ {
		g := gap{answers[n-1], answers[n]}
		if !s.values[g.older].Equal(s.values[g.newer]) {
			out = append(out, g)
		}
	}
	return out
}

// openGaps are those that still hold kernels to ask.
func (s *Search) openGaps(sp span) []gap {
	return slices.DeleteFunc(s.gaps(sp), func(g gap) bool { return len(s.unasked(g.older+1, g.newer)) == 0 })
}

// middle picks the kernel that halves a gap. If that one was skipped, its
// neighbours may well be bad too: then, as git bisect does (skip_away in
// bisect.c), it is one at some distance from the middle, which grows by chance
// and comes out the same in every search.
func (s *Search) middle(g gap) int {
	between := s.those(g.older+1, g.newer, func(int) bool { return true })
	sum := g.older + g.newer
	slices.SortStableFunc(between, func(a, b int) int { return abs(2*a-sum) - abs(2*b-sum) })
	if !s.skipped(between[0]) {
		return between[0]
	}
	left := slices.DeleteFunc(between, s.skipped)
	return left[away(len(left))]
}

func abs(n int) int { return max(n, -n) }

// away is an index below n, small ones more often than large ones.
func away(n int) int {
	const modulo = 32768
	chance := int((uint32(n)*1103515245 + 12345) / 65536 % modulo)
	return n * chance / modulo * root(chance) / root(modulo)
}

// root is the square root, rounded down.
func root(n int) int {
	r := 0
	for (r+1)*(r+1) <= n {
		r++
	}
	return r
}

// Left is how many kernels may still have to be asked, and about how many steps
// are to come, if none is skipped.
func (s *Search) Left() (kernels, steps int) {
	for _, sp := range s.series {
		unasked := len(s.unasked(sp.from, sp.to))
		ends := len(s.pendingEnds(sp))
		switch {
		case s.all:
			kernels += unasked
			steps += unasked
		case ends > 0:
			kernels += unasked
			steps += ends
			if len(s.series) == 1 { // whoever searches one series has seen its ends differ
				steps += bits.Len(uint(unasked - ends))
			}
		default:
			for _, g := range s.openGaps(sp) {
				n := len(s.unasked(g.older+1, g.newer))
				kernels += n
				steps += bits.Len(uint(n))
			}
		}
	}
	return kernels, steps
}
