package apt

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// ErrUnmet: a package, or one that it needs, is in none of the indexes.
var ErrUnmet = errors.New("unmet dependency")

// Relation is one way to meet a dependency: a package by name, and which
// versions of it do. Op is "" where all do.
type Relation struct{ Name, Op, Version string }

func (r Relation) String() string {
	if r.Op == "" {
		return r.Name
	}
	return fmt.Sprintf("%s (%s %s)", r.Name, r.Op, r.Version)
}

// relation is deb-control(5)'s form, as indexes have it: the qualifiers for
// architectures and build profiles are only in source packages.
var relation = regexp.MustCompile(`^([a-z0-9][a-z0-9+.-]*)(?::[a-z0-9]+)?(?:\s*\(\s*(<<|<=|=|>=|>>)\s*([^\s()]+)\s*\))?$`)

// ParseRelations reads a Depends, Pre-Depends or Provides field: all the
// outermost must be met, each by any one of those in it.
func ParseRelations(field string) ([][]Relation, error) {
	var all [][]Relation
	for group := range strings.SplitSeq(field, ",") {
		if strings.TrimSpace(group) == "" {
			continue
		}
		var any []Relation
		for text := range strings.SplitSeq(group, "|") {
			m := relation.FindStringSubmatch(strings.TrimSpace(text))
			if m == nil {
				return nil, fmt.Errorf("bad dependency %.80q", text)
			}
			any = append(any, Relation{m[1], m[2], m[3]})
		}
		all = append(all, any)
	}
	return all, nil
}

// Compare orders versions of packages as dpkg does: negative where a is older.
type Compare func(a, b string) int

func (r Relation) metBy(version string, compare Compare) bool {
	switch c := compare(version, r.Version); r.Op {
	case "":
		return true
	case "<<":
		return c < 0
	case "<=":
		return c <= 0
	case "=":
		return c == 0
	case ">=":
		return c >= 0
	default:
		return c > 0
	}
}

// Universe is what several indexes of one release offer together: of each
// package the newest version, as apt would take it.
type Universe struct {
	compare  Compare
	packages map[string]Package
	provided map[string][]provider // by the name that is provided, sorted by who does
}

type provider struct {
	name    string // of the package
	version string // that it provides; "" meets only what asks for none
}

// NewUniverse brings indexes together that ParseIndex has read. Where two have
// the same version of a package, the first counts.
func NewUniverse(compare Compare, indexes ...[]Package) (*Universe, error) {
	u := &Universe{compare: compare, packages: map[string]Package{}, provided: map[string][]provider{}}
	for _, index := range indexes {
		for _, p := range index {
			if have, ok := u.packages[p.Name]; !ok || compare(p.Version, have.Version) > 0 {
				u.packages[p.Name] = p
			}
		}
	}
	for _, p := range u.packages {
		provides, err := ParseRelations(p.Provides)
		if err != nil {
			return nil, fmt.Errorf("package %s: %w", p.Name, err)
		}
		for _, any := range provides {
			u.provided[any[0].Name] = append(u.provided[any[0].Name], provider{p.Name, any[0].Version})
		}
	}
	for _, list := range u.provided {
		slices.SortFunc(list, func(a, b provider) int { return strings.Compare(a.name, b.name) })
	}
	return u, nil
}

// Closure returns the packages called roots and all that they need, sorted by
// name. What is called without is taken to be there, and is not returned. Of
// several ways to meet a dependency one that is chosen already is taken, else
// the first that there is. The error is ErrUnmet, or says what cannot be read.
//
// Conflicts are not looked at: nothing is installed here, only unpacked.
func (u *Universe) Closure(roots, without []string) ([]Package, error) {
	c := closure{u: u, without: without, chosen: map[string]Package{}}
	for _, name := range roots {
		if err := c.need([]Relation{{Name: name}}); err != nil {
			return nil, err
		}
	}
	for len(c.queue) > 0 {
		p := c.queue[0]
		c.queue = c.queue[1:]
		needs, err := ParseRelations(p.Needs)
		if err != nil {
			return nil, fmt.Errorf("package %s: %w", p.Name, err)
		}
		for _, any := range needs {
			if err := c.need(any); err != nil {
				return nil, fmt.Errorf("package %s %s: %w", p.Name, p.Version, err)
			}
		}
	}
	all := make([]Package, 0, len(c.chosen))
	for _, p := range c.chosen {
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b Package) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// closure is a search that is under way.
type closure struct {
	u       *Universe
	without []string
	chosen  map[string]Package
	queue   []Package
}

// need chooses what meets a dependency, unless something does already.
func (c *closure) need(any []Relation) error {
	var first string
	for _, r := range any {
		for _, name := range c.u.ways(r) {
			if _, ok := c.chosen[name]; ok || slices.Contains(c.without, name) {
				return nil
			}
			if first == "" {
				first = name
			}
		}
		if slices.Contains(c.without, r.Name) {
			return nil
		}
	}
	if first == "" {
		return fmt.Errorf("%w: %s", ErrUnmet, join(any))
	}
	p := c.u.packages[first]
	c.chosen[first] = p
	c.queue = append(c.queue, p)
	return nil
}

// ways are the packages that meet a relation, the one of that name first.
func (u *Universe) ways(r Relation) []string {
	var names []string
	if p, ok := u.packages[r.Name]; ok && r.metBy(p.Version, u.compare) {
		names = append(names, r.Name)
	}
	for _, p := range u.provided[r.Name] {
		if r.Op == "" || p.version != "" && r.metBy(p.version, u.compare) {
			names = append(names, p.name)
		}
	}
	return names
}

func join(any []Relation) string {
	var words []string
	for _, r := range any {
		words = append(words, r.String())
	}
	return strings.Join(words, " | ")
}
