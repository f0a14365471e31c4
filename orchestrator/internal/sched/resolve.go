package sched

import (
	"context"
	"slices"

	"github.com/hashicorp/go-multierror"

	"github.com/ctmatrix/ctmatrix/images/kernel"
)

// Resolver knows which kernels a ref names. A kernel.Catalog is one.
type Resolver interface {
	Resolve(ctx context.Context, ref string) ([]kernel.Candidate, error)
}

// Resolve turns refs into kernels, each once, in the order of the refs. Its
// error has a line for every ref that names none.
func Resolve(ctx context.Context, r Resolver, refs []string) ([]kernel.Candidate, error) {
	var all []kernel.Candidate
	var errs *multierror.Error
	for _, ref := range refs {
		found, err := r.Resolve(ctx, ref)
		if err != nil {
			errs = multierror.Append(errs, err)
			if ctx.Err() != nil {
				break
			}
		}
		for _, c := range found {
			same := func(o kernel.Candidate) bool { return o.Exact() == c.Exact() }
			if !slices.ContainsFunc(all, same) {
				all = append(all, c)
			}
		}
	}
	return all, joined(errs)
}
