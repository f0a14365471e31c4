package kernel

import (
	"cmp"
	"fmt"
	"time"

	"github.com/ctmatrix/ctmatrix/images/kernel/store"
)

// DefaultFreshness is how long an index is used without asking the mirror.
const DefaultFreshness = time.Hour

// New returns a catalog of all sources. It touches neither the
// network nor the disk.
func New(o Options) (*Catalog, error) {
	o.Flavour = cmp.Or(o.Flavour, DefaultFlavour)
	o.Arch = cmp.Or(o.Arch, DefaultArch)
	if _, err := oneOf("flavour", o.Flavour, flavours); err != nil {
		return nil, err
	}
	if _, err := oneOf("arch", o.Arch, arches); err != nil {
		return nil, err
	}
	o.Freshness = cmp.Or(o.Freshness, DefaultFreshness)
	o.AptDir = cmp.Or(o.AptDir, "/etc/apt")
	if o.Suites == nil {
		o.Suites = DefaultSuites
	}
	for _, s := range o.Suites {
		if !suiteForm.MatchString(s) {
			return nil, fmt.Errorf("bad suite %q: write a name such as trixie-backports", s)
		}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Warn == nil {
		o.Warn = func(string) {}
	}
	if o.Verbose == nil {
		o.Verbose = func(string) {}
	}
	st, err := store.Open(o.CacheDir)
	if err != nil {
		return nil, err
	}
	return &Catalog{
		sources: map[string]Source{
			SchemeDebian: newDebian(o, st),
			SchemeDir:    &localSource{scheme: SchemeDir, find: findDir, store: st, warn: o.Warn},
			SchemeTree:   &localSource{scheme: SchemeTree, find: findTree, store: st, warn: o.Warn},
			SchemeHost:   &localSource{scheme: SchemeHost, find: thisHost.find, store: st, warn: o.Warn},
		},
		store:   st,
		flavour: o.Flavour,
		arch:    o.Arch,
	}, nil
}

// Stored returns the kernels in the store, by digest, as those who fetched them
// first named them. It needs no network.
func (c *Catalog) Stored() ([]*Kernel, error) {
	entries, err := c.store.List()
	if err != nil {
		return nil, err
	}
	var out []*Kernel
	for _, e := range entries {
		if k, err := fromEntry(e); err == nil { // else of another version of ours
			out = append(out, k)
		}
	}
	return out, nil
}

// Store is where fetched kernels are kept.
func (c *Catalog) Store() *store.Store { return c.store }
