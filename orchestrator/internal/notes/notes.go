// Package notes reads what explains a change of behaviour: a pattern of rows,
// the kernels since which they differ, branch by branch, and the reason. It is
// pure: nothing here reads a file or a clock.
package notes

import (
	"path"
	"strings"
	"time"

	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
)

// Note explains a change. Kernels form a tree, so a note does not say between
// which two kernels something changed, but which kernels have it: those of the
// mainline since a release, and of each stable series since the release that it
// was backported to.
type Note struct {
	// Rows are patterns of path.Match: "loose/ack/entry.count", "loose/ack*" for
	// all rows of probes, "loose" for those of a family.
	Rows []string `json:"rows"`
	// Since says since when branches have it: "mainline", or a series.
	Since  map[string]Point `json:"since"`
	Reason string           `json:"reason"`
	// Commit is the upstream commit, by id or title; "" where there is none.
	Commit string `json:"commit,omitempty"`
	Link   string `json:"link,omitempty"`
	// Expires is the last day on which the note explains anything; zero is for
	// ever.
	Expires time.Time `json:"expires,omitzero"`

	File string `json:"file"` // where it was read from
	Line int    `json:"line"`
}

// Point is where a branch came to have something: with a release, or at the
// latest with it and after another. Both are upstream versions ("6.12.13") or
// those of packages ("6.12.12-2"), since a distribution may be first.
type Point struct {
	After string `json:"after,omitempty"` // the last release known to lack it; "" where With is exact
	With  string `json:"with"`
}

// Mainline is the branch from which series fork.
const Mainline = "mainline"

// answer is whether a kernel has what a note speaks of.
type answer int

const (
	no answer = iota
	perhaps
	yes
)

// has reports whether a kernel has what the note speaks of.
func (n *Note) has(k results.Kernel) answer {
	series := k.SeriesName()
	if p, ok := n.Since[series]; ok {
		return p.reached(k)
	}
	p, ok := n.Since[Mainline]
	if !ok {
		return no
	}
	switch order := results.CompareVersions(series, results.SeriesOf(p.With)); {
	case order < 0:
		return no
	case order == 0:
		return p.reached(k)
	}
	return yes
}

// reached reports whether a kernel of the point's branch is beyond it.
func (p Point) reached(k results.Kernel) answer {
	v := k.VersionName()
	switch {
	case results.CompareVersions(v, p.With) >= 0:
		return yes
	case p.After != "" && results.CompareVersions(v, p.After) > 0 && !isRelease(v, p.After):
		return perhaps
	}
	return no
}

// isRelease reports whether a version is a build of an upstream release.
func isRelease(version, release string) bool {
	return strings.HasPrefix(version, release+"-")
}

// Covers reports whether the note explains that a row differs between two
// kernels on a day: one has what it speaks of, and the other has not.
func (n *Note) Covers(row string, a, b results.Kernel, day time.Time) bool {
	return !n.Expired(day) && n.Speaks(row) && n.Apart(a, b)
}

// Speaks reports whether the note is about a row, or about a probe as a whole.
func (n *Note) Speaks(row string) bool {
	for _, pattern := range n.Rows {
		if Matches(pattern, row) {
			return true
		}
	}
	return false
}

// SpeaksBelow reports whether the note is about a probe or rows of it.
func (n *Note) SpeaksBelow(probe string) bool {
	for _, pattern := range n.Rows {
		parts := strings.Split(pattern, "/")
		if Matches(strings.Join(parts[:min(len(parts), 2)], "/"), probe) {
			return true
		}
	}
	return false
}

// Apart reports whether the note says of two kernels that they may differ.
func (n *Note) Apart(a, b results.Kernel) bool {
	x, y := n.has(a), n.has(b)
	return x != y || x == perhaps
}

// Expired reports whether the note explains nothing any more.
func (n *Note) Expired(day time.Time) bool {
	return !n.Expires.IsZero() && !day.Before(n.Expires.AddDate(0, 0, 1))
}

// Matches reports whether a pattern of rows covers the name of one, or of a probe
// as a whole. A pattern of fewer parts than the name covers all that is below what
// it names.
func Matches(pattern, name string) bool {
	// Every row is held against every pattern, and nearly always the first bytes say
	// that they do not go together.
	for i := range len(pattern) {
		switch c := pattern[i]; {
		case c == '*' || c == '?' || c == '[' || c == '\\':
			ok, err := path.Match(pattern, firstParts(name, strings.Count(pattern, "/")+1))
			return err == nil && ok
		case i == len(name) || c != name[i]:
			return false
		}
	}
	return len(name) == len(pattern) || name[len(pattern)] == '/'
}

// firstParts are as many parts of a name, or all if there are fewer.
func firstParts(name string, most int) string {
	for i := range len(name) {
		if name[i] != '/' {
			continue
		}
		if most--; most == 0 {
			return name[:i]
		}
	}
	return name
}

// String names a note as a reader finds it.
func (n *Note) String() string {
	if n.Commit == "" {
		return n.Reason
	}
	return n.Reason + " (" + n.Commit + ")"
}
