package kernel

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// Archive is where packages come from, and what there is now.
type Archive struct {
	Main     string  `json:"main"` // base URLs
	Security string  `json:"security"`
	Named    string  `json:"named"`  // who says so: "settings", or the directory of apt's
	Suites   []Suite `json:"suites"` // those that can be used
}

// Suite is a suite of an archive, whose index a key of the keyring signed.
type Suite struct {
	Name   string    `json:"name"`
	Signed time.Time `json:"signed,omitzero"` // zero where it was not written down
	Until  time.Time `json:"until,omitzero"`  // zero where not limited
	Asked  time.Time `json:"asked"`           // when the mirror was asked last
}

// Archive asks the mirrors for the indexes that are not fresh and returns what
// there is. Suites that cannot be used are warned about, as in Resolve; the error
// is that of the mirrors, or that no suite can be used.
func (c *Catalog) Archive(ctx context.Context) (Archive, error) {
	s, ok := c.sources[SchemeDebian].(*debian)
	if !ok {
		return Archive{}, fmt.Errorf("no source %q", SchemeDebian)
	}
	m, err := s.mirrors()
	if err != nil {
		return Archive{}, err
	}
	a := Archive{Main: m.Main, Security: m.Security, Named: "settings"}
	if s.o.Mirror == "" {
		a.Named = s.o.AptDir
	}
	x, err := s.index(ctx, s.o.Arch)
	if err != nil {
		return a, err
	}
	for _, d := range x.suites {
		a.Suites = append(a.Suites, Suite{Name: d.name, Signed: d.state.Date, Until: d.state.ValidUntil, Asked: d.state.Asked})
	}
	return a, nil
}

// Newest is the suite that was signed last; the zero value where none says when.
func (a Archive) Newest() Suite {
	var newest Suite
	for _, s := range a.Suites {
		if s.Signed.After(newest.Signed) {
			newest = s
		}
	}
	return newest
}

// Expired are the names of the suites whose index was to be replaced before now.
func (a Archive) Expired(now time.Time) []string {
	var out []string
	for _, s := range a.Suites {
		if !s.Until.IsZero() && now.After(s.Until) {
			out = append(out, s.Name)
		}
	}
	slices.Sort(out)
	return out
}

// Keys is how many keys may vouch for an archive. The error says which keyring
// cannot be read.
func (c *Catalog) Keys() (int, error) {
	s, ok := c.sources[SchemeDebian].(*debian)
	if !ok {
		return 0, fmt.Errorf("no source %q", SchemeDebian)
	}
	keys, err := s.keys()
	return keys.Len(), err
}
