package beside

import (
	_ "embed"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/notes"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/table"
)

//go:embed links.txt
var linksText string

// link is a line of links.txt.
type link struct {
	by, pattern string
	target      string // an option, or a glob of settings
}

var links = mustParse(linksText)

// mustParse reads what is part of this program, which a test holds to be right.
func mustParse(text string) []link {
	var out []link
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		f := strings.Fields(line)
		switch {
		case len(f) == 0:
		case len(f) != 3 || f[0] != "word" && f[0] != "rows" && f[0] != "kind":
			panic(fmt.Sprintf("links.txt: %q", line))
		default:
			out = append(out, link{f[0], f[1], f[2]})
		}
	}
	return out
}

// place is where a probe runs, which no line of links.txt tells apart.
var place = regexp.MustCompile(`@[^/]*`)

func (l link) picks(s Subject) bool {
	switch l.by {
	case "word":
		return slices.Contains(words(s.Row), l.pattern)
	case "rows":
		return notes.Matches(l.pattern, place.ReplaceAllString(s.Row, ""))
	}
	return l.pattern == string(s.Kind)
}

// words are those of a row's name.
func words(row string) []string {
	return strings.FieldsFunc(row, func(r rune) bool { return strings.ContainsRune("/@.-_+=", r) })
}

// Subject is a row, or a probe as a whole, that differs.
type Subject struct {
	Row     string
	Kind    observe.Kind // "" of a probe as a whole
	Head    observe.Head // of its probe; the zero value where it is not known
	Reasons []string     // of the values that are unsupported
}

// SubjectOf is a row whose values on two kernels differ.
func SubjectOf(row string, head observe.Head, from, to table.Value) Subject {
	s := Subject{Row: row, Kind: to.Kind, Head: head}
	for _, v := range []table.Value{from, to} {
		if v.Status == table.Unsupported {
			s.Reasons = append(s.Reasons, v.Text)
		}
	}
	return s
}

// Of returns the differences that go with one of a row, in the order of All:
//
//   - what the reason of an unsupported probe names, an option or a setting;
//   - the modules that the probe needs and one of the kernels does not have;
//   - what links.txt puts beside the row. Of settings these are defaults that
//     changed: one that only one of the kernels has is another matter, and so is
//     one that the probe sets itself.
//
// What a guest gave for a reason is only looked up among what differs.
func (c *Comparison) Of(s Subject) []Difference {
	picked := map[int]bool{}
	pick := func(name string) {
		if i, ok := c.byName[name]; ok {
			picked[i] = true
		}
	}
	for _, r := range s.Reasons {
		for _, name := range named.FindAllString(r, mostNamed) {
			pick(name)
		}
	}
	for _, m := range s.Head.Needs {
		if i, ok := c.byName[m]; ok && c.All[i].Kind == Module {
			picked[i] = true
		}
	}
	for _, l := range links {
		if !l.picks(s) {
			continue
		}
		for i, d := range c.All {
			ok, err := path.Match(l.target, d.Name)
			if err == nil && ok && (d.Kind != Sysctl || d.Changed() && !sets(s.Head, d.Name) && !tells(s.Row, d.Name)) {
				picked[i] = true
			}
		}
	}
	var out []Difference
	for i, d := range c.All {
		if picked[i] {
			out = append(out, d)
		}
	}
	return out
}

// Changed reports whether both kernels have what differs.
func (d Difference) Changed() bool { return d.From != Absent && d.To != Absent }

// named are options and settings in a sentence.
var named = regexp.MustCompile(`\bCONFIG_[A-Za-z0-9_]+|\bnet\.[a-z0-9_.]*[a-z0-9_]`)

// mostNamed is how many of them a reason may name.
const mostNamed = 8

// sets reports whether a probe gives a setting a value of its own: its head says
// "net.netfilter.nf_conntrack_events = 1".
func sets(head observe.Head, name string) bool {
	return slices.ContainsFunc(head.Sysctls, func(line string) bool {
		set, _, _ := strings.Cut(line, "=")
		return strings.TrimSpace(set) == name
	})
}

// tells reports whether a row is the very default.
func tells(row, name string) bool {
	rest, ok := strings.CutPrefix(row, inventory)
	if !ok {
		return false
	}
	_, subject, _ := strings.Cut(rest, "/")
	subject, _ = strings.CutSuffix(subject, ".default")
	return setting(subject) == name
}
