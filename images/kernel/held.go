package kernel

import "context"

// holder is a source whose kernels are found in the store without their content.
type holder interface {
	// has and held are Catalog.Has and Catalog.Held.
	has(ctx context.Context, c Candidate) bool
	held(ctx context.Context, c Candidate) *Kernel
}

// Has reports whether a candidate need not be downloaded, as far as can be told
// without reading what is stored.
func (c *Catalog) Has(ctx context.Context, cand Candidate) bool {
	h, ok := c.sources[cand.Source].(holder)
	return !ok || h.has(ctx, cand)
}

// Held is what Fetch would return of a candidate that lies in the store, or nil. Of
// all its files the sizes are compared, but none is read: it says which kernel that
// is, and Fetch must be asked before it is booted.
func (c *Catalog) Held(ctx context.Context, cand Candidate) *Kernel {
	h, ok := c.sources[cand.Source].(holder)
	if !ok {
		return nil
	}
	return h.held(ctx, cand)
}

func (s *debian) has(ctx context.Context, c Candidate) bool {
	b, ok := s.chosen(ctx, c)
	return ok && s.store.Has(storeKey(b))
}

func (s *debian) held(ctx context.Context, c Candidate) *Kernel {
	b, ok := s.chosen(ctx, c)
	if !ok || !b.Verified && !s.o.AllowUnverified {
		return nil
	}
	e := s.store.Get(storeKey(b))
	if e == nil {
		return nil
	}
	b.Ref = c.Ref
	k, err := stored(b.Candidate, e)
	if err != nil {
		return nil
	}
	return k
}

// chosen is the build that Fetch tries first.
func (s *debian) chosen(ctx context.Context, c Candidate) (build, bool) {
	ref, err := wholeRef(c)
	if err != nil {
		return build{}, false
	}
	choices, err := s.choices(ctx, ref, c)
	if err != nil || len(choices) == 0 {
		return build{}, false
	}
	return choices[0], true
}
