package kernel

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ctmatrix/ctmatrix/images/kernel/store"
)

// Info is what is known of a kernel without fetching it.
type Info struct {
	Candidate
	// Offered tells whether a source has it now: a mirror's index, or a place
	// on this machine.
	Offered bool `json:"offered"`
	// Download is what the packages have in bytes; 0 where that is not known
	// beforehand, and where there is nothing to download.
	Download int64 `json:"download,omitempty"`
	// Gone tells that the mirror did not have a package when it was fetched last,
	// although its index names it.
	Gone bool `json:"gone,omitempty"`
	// Stored is where its files are; nil where they are not.
	Stored *Stored `json:"stored,omitempty"`
}

// Stored is a kernel's place in the store.
type Stored struct {
	Digest string    `json:"digest"`
	Dir    string    `json:"dir"`
	Size   int64     `json:"size"` // bytes
	Used   time.Time `json:"used"` // when it was fetched, or asked for, last
}

func storedAt(e *store.Entry) *Stored {
	if e == nil {
		return nil
	}
	return &Stored{Digest: e.Digest, Dir: e.Dir, Size: e.Size(), Used: e.Used.UTC()}
}

// informer is a source that knows more of its kernels than their names.
type informer interface {
	// offers is Resolve with what only AllowUnverified would take in as well.
	offers(ctx context.Context, ref Ref) ([]Info, error)
}

// Offers returns what a ref names, oldest first, with what is known of each:
// those included that are left out unless AllowUnverified is set, which are not
// Verified. Nothing is warned about.
func (c *Catalog) Offers(ctx context.Context, ref string) ([]Info, error) {
	r, s, err := c.parse(ref)
	if err != nil {
		return nil, err
	}
	i, ok := s.(informer)
	if !ok {
		return nil, fmt.Errorf("%w %q: source %q lists nothing", ErrBadRef, ref, r.Scheme)
	}
	return i.offers(ctx, r)
}

// Inventory returns the kernels in the store, as those who fetched them first
// named them, oldest version first. It needs no network, and leaves out damaged
// entries: see Verify.
func (c *Catalog) Inventory() ([]Info, error) {
	entries, err := c.store.List()
	if err != nil {
		return nil, err
	}
	var out []Info
	for _, e := range entries {
		if k, err := fromEntry(e); err == nil { // else of another version of ours
			out = append(out, Info{Candidate: k.Candidate, Stored: storedAt(e)})
		}
	}
	slices.SortFunc(out, func(a, b Info) int {
		return cmp.Or(CompareVersions(a.Version, b.Version), cmp.Compare(a.Flavour, b.Flavour), cmp.Compare(a.Stored.Digest, b.Stored.Digest))
	})
	return out, nil
}

// StoredAs returns where a digest's kernel is, or nil where it is not.
func (c *Catalog) StoredAs(digest string) *Stored {
	e, err := c.store.Lookup(digest)
	if err != nil {
		return nil
	}
	return storedAt(e)
}

// Stale returns what the store's GC would remove, by digest. Of a damaged
// kernel no more is known than that and where it is.
func (c *Catalog) Stale(unusedSince time.Time) ([]Info, error) {
	entries, err := c.store.Stale(unusedSince)
	if err != nil {
		return nil, err
	}
	var out []Info
	for _, e := range entries {
		i := Info{Stored: storedAt(e)}
		if k, err := fromEntry(e); err == nil {
			i.Candidate = k.Candidate
		}
		out = append(out, i)
	}
	return out, nil
}

// single reports whether a ref means one kernel, however many would do.
func (r Ref) single() bool {
	sel, err := parseSelector(r.Value)
	return r.Scheme != SchemeDebian || err == nil && sel.single()
}

// Names reports whether a ref speaks of a candidate that was found before: it
// asks no index. A series or an upstream version speaks of all that belong to
// it, a suite of what was found there.
func (r Ref) Names(c Candidate) bool {
	if r.Scheme != c.Source || r.Arch != "" && r.Arch != c.Arch || r.Flavour != "" && r.Flavour != c.Flavour {
		return false
	}
	if r.Scheme != SchemeDebian {
		o, err := ParseRef(c.Ref)
		return err == nil && (o.Value == r.Value || r.Scheme == SchemeHost && r.Value == c.Release)
	}
	sel, err := parseSelector(r.Value)
	switch {
	case err != nil:
		return false
	case sel.kind == selectSuite:
		return c.Suite == sel.value
	case sel.kind == selectPool:
		return c.Version == sel.value
	}
	return sel.matches(c)
}

// offers implements informer.
func (s *debian) offers(ctx context.Context, ref Ref) ([]Info, error) {
	if sel, err := parseSelector(ref.Value); err == nil && sel.kind == selectPool {
		b, err := s.poolBuild(sel, ref)
		if err != nil {
			return nil, err
		}
		return []Info{s.info(b)}, nil
	}
	x, err := s.index(ctx, ref.Arch)
	if err != nil {
		return nil, err
	}
	picked, _, _, err := x.pick(ref, false)
	if err != nil {
		return nil, err
	}
	all, _, _, err := x.pick(ref, true)
	if err != nil {
		return nil, err
	}
	for _, b := range all {
		if !slices.ContainsFunc(picked, func(p build) bool { return p.Version == b.Version }) {
			picked = append(picked, b)
		}
	}
	slices.SortStableFunc(picked, func(a, b build) int { return CompareVersions(a.Version, b.Version) })
	var out []Info
	for _, b := range picked {
		b.Ref = ref.String()
		out = append(out, s.info(b))
	}
	return out, nil
}

func (s *debian) info(b build) Info {
	i := Info{Candidate: b.Candidate, Offered: true, Stored: storedAt(s.store.Peek(storeKey(b)))}
	for _, p := range b.parts {
		if p.hash.SHA256 == "" { // nor is its size known
			i.Download = 0
			break
		}
		i.Download += p.hash.Size
	}
	i.Gone = i.Stored == nil && s.store.Doc(goneDocs, goneName(b)) != nil
	return i
}

const goneDocs = "gone"

// goneName is of a build on a mirror: another mirror may have it.
func goneName(b build) string {
	var urls []string
	for _, p := range b.parts {
		urls = append(urls, p.urls...)
	}
	return suiteID(urls...)
}

// offers implements informer.
func (s *localSource) offers(ctx context.Context, ref Ref) ([]Info, error) {
	found, err := s.Resolve(ctx, ref)
	if err != nil {
		return nil, err
	}
	k, err := s.find(ref.Value, ref.Arch)
	if err != nil {
		return nil, err
	}
	key, err := k.key(ctx)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", ref, err)
	}
	return []Info{{Candidate: found[0], Offered: true, Stored: storedAt(s.store.Peek(key))}}, nil
}
