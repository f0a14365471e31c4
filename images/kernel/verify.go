package kernel

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/ctmatrix/ctmatrix/images/kernel/store"
)

// Checked is a kernel of the store that was read again.
type Checked struct {
	// Candidate is who fetched it first; the zero value where the entry does
	// not say so any more.
	Candidate
	Digest string         `json:"digest"`
	Damage []store.Damage `json:"damage,omitempty"`
	// Known tells whether it can be fetched again: Candidate says what it was.
	Known bool  `json:"known"`
	Size  int64 `json:"size"` // bytes, as it was when it was whole
}

// Whole reads all of a fetched kernel's files again, some 50 ms. The error names the
// first that is not what was stored, and what mends it.
func (c *Catalog) Whole(ctx context.Context, k *Kernel) error {
	err := c.store.Verify(ctx, k.Digest)
	if errors.Is(err, store.ErrDamaged) {
		return fmt.Errorf("%w: `ctmatrix kernels verify --repair` fetches it anew", err)
	}
	return err
}

// Select returns the digests of the stored kernels that names mean, each once,
// sorted: refs as Ref.Names understands them, and beginnings of digests. Without
// names all are meant. A name that means none is an error.
func (c *Catalog) Select(names ...string) ([]string, error) {
	digests, err := c.store.Digests()
	if err != nil || len(names) == 0 {
		return digests, err
	}
	picked := map[string]bool{}
	for _, name := range names {
		means, err := c.meaning(name)
		if err != nil {
			return nil, err
		}
		hit := false
		for _, d := range digests {
			if means(d) {
				picked[d], hit = true, true
			}
		}
		if !hit {
			return nil, fmt.Errorf("%w in the store: %s", ErrUnknown, name)
		}
	}
	return slices.DeleteFunc(digests, func(d string) bool { return !picked[d] }), nil
}

// meaning tells which digests a name means.
func (c *Catalog) meaning(name string) (func(digest string) bool, error) {
	if digestForm.MatchString(name) {
		return func(d string) bool { return strings.HasPrefix(d, name) }, nil
	}
	r, err := ParseRef(name)
	if err != nil {
		return nil, err
	}
	return func(d string) bool {
		e, err := c.store.Manifest(d)
		if err != nil {
			return false
		}
		k, err := fromEntry(e)
		return err == nil && r.Names(k.Candidate)
	}, nil
}

var digestForm = regexp.MustCompile(`^[0-9a-f]{4,64}$`)

// Verify reads all files of a stored kernel again. The error is of the context,
// or says that there is no such entry.
func (c *Catalog) Verify(ctx context.Context, digest string) (Checked, error) {
	e, damage, err := c.store.Check(ctx, digest)
	out := Checked{Digest: digest, Damage: damage}
	if err != nil {
		return out, err
	}
	out.Size = e.Size()
	if k, err := fromEntry(e); err == nil {
		out.Candidate, out.Known = k.Candidate, true
	}
	return out, nil
}

// Repair removes a damaged kernel from the store and fetches it anew. What is
// fetched of a place on this machine is what is there now.
func (c *Catalog) Repair(ctx context.Context, k Checked) (*Kernel, error) {
	if err := c.store.Remove(k.Digest); err != nil {
		return nil, err
	}
	if !k.Known {
		return nil, fmt.Errorf("kernel %.12s: it does not say which it was: fetch it by its name", k.Digest)
	}
	got, err := c.Fetch(ctx, k.Candidate)
	if err != nil {
		return nil, fmt.Errorf("fetch anew: %w", err)
	}
	return got, nil
}
