package table

import (
	"regexp"

	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
)

// Kind says what lies between the two kernels of an edge.
type Kind string

// The kinds of edges.
const (
	// Inside: both are of one series, and nothing that was asked lies between
	// them. What differs came with a release that is newer than the one and not
	// newer than the other.
	Inside Kind = "inside"
	// Between: they are the oldest of two series. Series fork from the mainline,
	// so that the newer kernel does not follow the older one: what differs came
	// with the mainline between the forks, or into either series before the
	// release that was asked.
	Between Kind = "between"
	// Builds: they are of another flavour or architecture.
	Builds Kind = "builds"
)

// Place says where in the tree of kernels an edge lies.
type Place struct {
	Kind Kind `json:"kind"`
	// Older and Newer are the series; the same if the edge is inside one.
	Older string `json:"older"`
	Newer string `json:"newer"`
}

// Place says where an edge lies.
func (t *Table) Place(e Edge) Place {
	a, b := &t.Columns[e.From].Cell, &t.Columns[e.To].Cell
	p := Place{Kind: Between, Older: series(a.Kernel), Newer: series(b.Kernel)}
	switch {
	case !sameBuild(a, b):
		p.Kind = Builds
	case sameSeries(a, b):
		p.Kind = Inside
	}
	return p
}

// forkPoint matches the versions from which a series forks: 6.12, 6.12.0 and its
// candidates. A build of Debian's may follow.
var forkPoint = regexp.MustCompile(`^[0-9]+\.[0-9]+(\.0)?([~+-].*)?$`)

// forks reports whether a kernel is where its series begins, so that nothing can
// have been backported before it. A release of a Debian kernel says nothing: it
// is 6.1.0-56 however far the series has come.
func forks(k results.Kernel) bool {
	return k.Source == "debian" && forkPoint.MatchString(k.Version)
}

// place fills in where the boundaries of a change lie, and which of those
// between series a backport may explain: where the newer series comes to have
// the older one's value later on, the older one may have it from there.
func (t *Table) place(c *Change) {
	for i := range c.Boundaries {
		b := &c.Boundaries[i]
		b.Place = t.Place(b.Edge)
	}
	for i := range c.Boundaries {
		b := &c.Boundaries[i]
		if b.Kind != Between || forks(t.Columns[b.From].Kernel) {
			continue
		}
		for _, later := range c.Boundaries[i+1:] {
			same := t.Columns[later.To].Lane == t.Columns[b.To].Lane
			if same && later.Kind == Inside && later.From >= b.To &&
				c.Row.Values[later.From].Equal(c.Row.Values[b.To]) && c.Row.Values[later.To].Equal(c.Row.Values[b.From]) {
				b.Backport = true
			}
		}
	}
}
