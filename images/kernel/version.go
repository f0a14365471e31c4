package kernel

import (
	"cmp"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	version "github.com/knqyf263/go-deb-version"
)

// versionParts splits a package version: "6.12.117-1~deb12u1" is upstream
// "6.12.117" of the series "6.12", "7.3~rc7-1~exp1" is "7.3~rc7" of "7.3".
func versionParts(v string) (upstream, series string, ok bool) {
	upstream = v
	if i := strings.LastIndexByte(v, '-'); i >= 0 {
		upstream = v[:i]
	}
	m := upstreamForm.FindStringSubmatch(upstream)
	if m == nil {
		return "", "", false
	}
	return upstream, m[1], true
}

var upstreamForm = regexp.MustCompile(`^([0-9]{1,4}\.[0-9]{1,4})(?:\.[0-9]+)*(?:[~+].*)?$`)

// CompareVersions orders package versions as dpkg does.
func CompareVersions(a, b string) int {
	va, erra := version.NewVersion(a)
	vb, errb := version.NewVersion(b)
	if erra != nil || errb != nil {
		return cmp.Compare(a, b)
	}
	return va.Compare(vb)
}

// compareSeries orders "5.10" after "5.9".
func compareSeries(a, b string) int {
	am, an := seriesNumbers(a)
	bm, bn := seriesNumbers(b)
	return cmp.Or(cmp.Compare(am, bm), cmp.Compare(an, bn))
}

func seriesNumbers(s string) (major, minor int) {
	a, b, _ := strings.Cut(s, ".")
	major, _ = strconv.Atoi(a) // both are digits: see upstreamForm
	minor, _ = strconv.Atoi(b)
	return major, minor
}

// selectorKind is the way in which a debian ref chooses.
type selectorKind int

const (
	selectSeries   selectorKind = iota // "6.1": the newest of the series
	selectUpstream                     // "6.1.192": its newest revision
	selectExact                        // "6.1.192-2"
	selectAll                          // "6.12.*", "*"
	selectRange                        // "6.1..6.12": all, both ends included
	selectSuite                        // "trixie": what the suite ships
	selectPool                         // "6.1.0-37_6.1.140-1": files in the pool
)

// selector is the parsed value of a debian ref.
type selector struct {
	kind     selectorKind
	value    string // version, series or suite; "" for all of all series
	from, to string // of a range: series, upstream or package versions
	release  string // of a pool ref, without the flavour: "6.1.0-37"
}

var (
	seriesForm   = regexp.MustCompile(`^[0-9]{1,4}\.[0-9]{1,4}$`)
	versionForm  = regexp.MustCompile(`^[0-9]{1,4}\.[0-9]{1,4}[0-9A-Za-z.+~]*(-[0-9A-Za-z.+~]+)?$`)
	suiteForm    = regexp.MustCompile(`^[a-z][a-z0-9-]*$`)
	poolForm     = regexp.MustCompile(`^([0-9][0-9A-Za-z.+~-]*)_([0-9][0-9A-Za-z.+~-]*)$`)
	wildcardForm = regexp.MustCompile(`^([0-9]{1,4}\.[0-9]{1,4})\.\*$`)
)

const selectorHelp = "write a series (6.1), a version (6.1.192 or 6.1.192-2), 6.12.*, 6.1..6.12, * or a suite (trixie)"

func parseSelector(s string) (selector, error) {
	switch {
	case s == "*":
		return selector{kind: selectAll}, nil
	case wildcardForm.MatchString(s):
		return selector{kind: selectAll, value: strings.TrimSuffix(s, ".*")}, nil
	case strings.Contains(s, ".."):
		from, to, _ := strings.Cut(s, "..")
		if !versionForm.MatchString(from) || !versionForm.MatchString(to) {
			return selector{}, fmt.Errorf("bad range; write 6.1..6.12 or 6.1.170..6.1.192-2")
		}
		if CompareVersions(lowEnd(from), lowEnd(to)) > 0 {
			return selector{}, fmt.Errorf("the range is empty; write %s..%s", to, from)
		}
		return selector{kind: selectRange, from: from, to: to}, nil
	case seriesForm.MatchString(s):
		return selector{kind: selectSeries, value: s}, nil
	case versionForm.MatchString(s):
		if strings.Contains(s, "-") {
			return selector{kind: selectExact, value: s}, nil
		}
		return selector{kind: selectUpstream, value: s}, nil
	case suiteForm.MatchString(s):
		return selector{kind: selectSuite, value: s}, nil
	}
	if m := poolForm.FindStringSubmatch(s); m != nil {
		if _, _, ok := versionParts(m[2]); ok {
			return selector{kind: selectPool, release: m[1], value: m[2]}, nil
		}
	}
	return selector{}, fmt.Errorf("%s", selectorHelp)
}

// lowEnd is a version below all that an end of a range stands for.
func lowEnd(s string) string { return s + "~~" }

// matches reports whether a kernel is one that the selector speaks of; for a
// series or an upstream version the newest of these is the one that is meant.
// Suites and pool refs are matched elsewhere.
func (s selector) matches(c Candidate) bool {
	switch s.kind {
	case selectSeries:
		return c.Series == s.value
	case selectUpstream:
		return c.Upstream == s.value
	case selectExact:
		return c.Version == s.value
	case selectAll:
		return s.value == "" || c.Series == s.value
	case selectRange:
		return CompareVersions(c.Version, lowEnd(s.from)) >= 0 && s.belowTo(c)
	}
	return false
}

// belowTo reports whether c is not newer than the end of a range. An end that
// names a series or an upstream version takes in all that belongs to it.
func (s selector) belowTo(c Candidate) bool {
	return c.Series == s.to || c.Upstream == s.to || CompareVersions(c.Version, s.to) <= 0
}

// single reports whether one kernel is meant, the newest of those that match.
func (s selector) single() bool { return s.kind != selectAll && s.kind != selectRange }

// fallback reports whether the next newest will do where the newest has gone.
func (s selector) fallback() bool { return s.kind == selectSeries || s.kind == selectUpstream }

// position is where the wanted kernels would be in the order of versions.
func (s selector) position() string {
	switch s.kind {
	case selectRange:
		return s.from
	case selectSuite:
		return ""
	}
	return s.value
}
