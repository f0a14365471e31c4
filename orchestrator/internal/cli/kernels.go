package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ctmatrix/ctmatrix/images/kernel"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/sched"
)

func (a *app) kernelsCommand() *cobra.Command {
	kernels := &cobra.Command{
		Use:                        "kernels",
		Short:                      "List, fetch, compare, verify and forget kernels",
		SuggestionsMinimumDistance: 2,
		Args:                       a.args(cobra.NoArgs),
		RunE:                       func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	kernels.AddCommand(a.kernelsList(), a.kernelsFetch(), a.kernelsCompare(), a.kernelsVerify(), a.kernelsGC())
	return kernels
}

// flavours are what --flavour takes besides all.
var flavours = []string{"cloud", "generic", "rt"}

// listing is what `kernels list` was asked for.
type listing struct {
	refs    []string
	flavour string // "" where not named
	stored  bool
	json    bool
}

func (a *app) kernelsList() *cobra.Command {
	var l listing
	cmd := &cobra.Command{
		Use:   "list [REF]...",
		Short: "List the kernels that refs name (default: all on the mirror and in the store)",
		Long: `List the kernels that refs name: where each comes from, whether a signed index
vouches for it, what it takes to download and in the store, and when it was used
last. Without refs, all that the mirror offers and all that are stored.

Columns that do not fit are left out; --json has everything.`,
		Example: `  ctmatrix kernels list
  ctmatrix kernels list 'debian:6.12.*' 'debian:trixie?flavour=generic'
  ctmatrix kernels list --flavour all debian:6.1
  ctmatrix kernels list --stored`,
		RunE: func(cmd *cobra.Command, refs []string) error {
			l.refs = refs
			if l.flavour != "" && l.flavour != "all" && !slices.Contains(flavours, l.flavour) {
				return usage{fmt.Errorf("unknown flavour %q; there are %s, all", l.flavour, strings.Join(flavours, ", "))}
			}
			return a.listKernels(cmd, l)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&l.stored, "stored", false, "list only what is in the store; needs no network")
	f.StringVar(&l.flavour, "flavour", "", "builds to list where a ref names none: cloud, generic, rt or all (default cloud)")
	f.BoolVar(&l.json, "json", false, "write JSON")
	a.settingFlags(cmd)
	return cmd
}

func (a *app) listKernels(cmd *cobra.Command, l listing) error {
	c, err := a.settings(cmd)
	if err != nil {
		return err
	}
	catalog, err := a.catalog(c, nil)
	if err != nil {
		return err
	}
	var offered, besides []kernel.Info
	var missing error
	if !l.stored {
		offered, missing = offers(cmd.Context(), catalog, l)
		if errors.Is(missing, kernel.ErrBadRef) || cmd.Context().Err() != nil {
			return refError(missing)
		}
	}
	if l.stored || len(l.refs) == 0 {
		if besides, err = stored(catalog, l, offered); err != nil {
			return refError(err)
		}
	}
	if l.json {
		all := append(append([]kernel.Info{}, offered...), besides...) // not null where there are none
		return errors.Join(a.json(all), missing)
	}
	if missing != nil && len(offered) == 0 && len(besides) == 0 {
		return missing
	}
	t := inventory{all: slices.Concat(offered, besides), now: time.Now(), allowed: c.AllowUnverified}
	return errors.Join(t.write(a.stdout, a.layout(), len(offered), l.stored), missing)
}

// offers returns what the sources offer of the refs, each kernel once, and an
// error with a line for each ref that names nothing.
func offers(ctx context.Context, catalog *kernel.Catalog, l listing) ([]kernel.Info, error) {
	refs := l.refs
	if len(refs) == 0 {
		refs = []string{kernel.SchemeDebian + ":*"}
	}
	var out []kernel.Info
	var errs []error
	for _, ref := range refs {
		found, err := offersOf(ctx, catalog, ref, l.flavour)
		if err != nil {
			errs = append(errs, err)
		}
		for _, i := range found {
			if !slices.ContainsFunc(out, func(o kernel.Info) bool { return o.Exact() == i.Exact() }) {
				out = append(out, i)
			}
		}
	}
	return out, errors.Join(errs...)
}

// offersOf returns what a ref names in the flavours that are asked for, version
// by version. One flavour that has none does not matter where others have some.
func offersOf(ctx context.Context, catalog *kernel.Catalog, ref, flavour string) ([]kernel.Info, error) {
	r, err := kernel.ParseRef(ref)
	if err != nil {
		return nil, err
	}
	if r.Scheme != kernel.SchemeDebian || r.Flavour != "" || flavour == "" {
		return catalog.Offers(ctx, ref)
	}
	wanted := []string{flavour}
	if flavour == "all" {
		wanted = flavours
	}
	var out []kernel.Info
	var first error
	for _, f := range wanted {
		found, err := catalog.Offers(ctx, kernel.Ref{Scheme: r.Scheme, Value: r.Value, Flavour: f, Arch: r.Arch}.String())
		if err != nil && first == nil {
			first = err
		}
		out = append(out, found...)
	}
	if len(out) == 0 {
		return nil, first
	}
	slices.SortStableFunc(out, func(a, b kernel.Info) int { return kernel.CompareVersions(a.Version, b.Version) })
	return out, nil
}

// stored returns the kernels in the store that are not among those offered.
func stored(catalog *kernel.Catalog, l listing, offered []kernel.Info) ([]kernel.Info, error) {
	all, err := catalog.Inventory()
	if err != nil {
		return nil, err
	}
	shown := map[string]bool{}
	for _, i := range offered {
		if i.Stored != nil {
			shown[i.Stored.Digest] = true
		}
	}
	var refs []kernel.Ref
	for _, ref := range l.refs {
		r, err := kernel.ParseRef(ref)
		if err != nil {
			return nil, err
		}
		refs = append(refs, r)
	}
	return slices.DeleteFunc(all, func(i kernel.Info) bool {
		named := len(refs) == 0 || slices.ContainsFunc(refs, func(r kernel.Ref) bool { return r.Names(i.Candidate) })
		other := l.flavour != "" && l.flavour != "all" && i.Flavour != "" && i.Flavour != l.flavour
		return shown[i.Stored.Digest] || !named || other
	}), nil
}

// resolve turns refs into candidates, each once, oldest first within a ref.
func (a *app) resolve(cmd *cobra.Command, refs []string, progress kernel.Progress) ([]kernel.Candidate, *kernel.Catalog, error) {
	c, err := a.settings(cmd)
	if err != nil {
		return nil, nil, err
	}
	catalog, err := a.catalog(c, progress)
	if err != nil {
		return nil, nil, err
	}
	candidates, err := sched.Resolve(cmd.Context(), catalog, refs)
	return candidates, catalog, refError(err)
}
