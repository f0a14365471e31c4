package kernel

import (
	"context"
	"fmt"

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
	Known bool `json:"known"`
}

// Verify reads all files of a stored kernel again. The error is of the context,
// or says that there is no such entry.
func (c *Catalog) Verify(ctx context.Context, digest string) (Checked, error) {
	e, damage, err := c.store.Check(ctx, digest)
	out := Checked{Digest: digest, Damage: damage}
	if err != nil {
		return out, err
	}
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
