package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/ctmatrix/ctmatrix/images/kernel"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/sched"
)

// fetchesAtOnce is how many kernels are fetched at a time: while one is
// unpacked, another comes.
const fetchesAtOnce = 2

func (a *app) kernelsFetch() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "fetch REF...",
		Short: "Fetch kernels into the store",
		Long: `Fetch kernels into the store, and print a line for each as it is there. What
cannot be fetched does not keep the others from it: it is told at the end, and
the exit status is 2.`,
		Args: a.args(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, refs []string) error {
			bars := a.bars()
			defer bars.Close()
			candidates, catalog, failed := a.resolve(cmd, refs, bars)
			if errors.As(failed, &usage{}) || catalog == nil || cmd.Context().Err() != nil {
				return failed
			}
			fetched, err := a.fetch(cmd.Context(), catalog, candidates, asJSON)
			bars.Close()
			if asJSON {
				err = errors.Join(a.json(fetched), err)
			}
			if errors.As(err, &exit{}) {
				return err
			}
			return errors.Join(failed, err)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON, when all are there")
	a.settingFlags(cmd)
	return cmd
}

// fetch fetches the candidates and returns the kernels in their order; the error
// has a line for each that is not there.
func (a *app) fetch(ctx context.Context, catalog *kernel.Catalog, candidates []kernel.Candidate, quiet bool) ([]*kernel.Kernel, error) {
	version, release := 0, 0
	for _, c := range candidates {
		version, release = max(version, len(c.Version)), max(release, len(c.Release))
	}
	before, err := catalog.Inventory()
	if err != nil {
		return nil, err
	}
	here := map[string]bool{}
	for _, i := range before {
		here[i.Stored.Digest] = true
	}
	kernels := make([]*kernel.Kernel, len(candidates))
	errs := make([]error, len(candidates))
	var g errgroup.Group
	g.SetLimit(fetchesAtOnce)
	for n, c := range candidates {
		g.Go(func() error {
			if errs[n] = ctx.Err(); errs[n] != nil {
				return nil
			}
			kernels[n], errs[n] = catalog.Fetch(ctx, c)
			if errs[n] != nil || quiet {
				return nil
			}
			k := kernels[n] // which need not be c, where that has gone
			what := "fetched"
			if here[k.Digest] {
				what = "was there"
			}
			if s := catalog.StoredAs(k.Digest); s != nil {
				what += ", " + size(s.Size)
			}
			a.live.print(a.stdout, fmt.Sprintf("%-*s  %-*s  %.12s  %s", version, k.Version, release, k.Release, k.Digest, what))
			return nil
		})
	}
	_ = g.Wait() // errors are by candidate
	fetched := []*kernel.Kernel{}
	for _, k := range kernels {
		if k != nil {
			fetched = append(fetched, k)
		}
	}
	if ctx.Err() != nil {
		a.warn("interrupted: the kernels that were fetched by then are kept")
		return fetched, exit{ExitFailed}
	}
	return fetched, errors.Join(errs...)
}

func (a *app) kernelsVerify() *cobra.Command {
	var repair, asJSON bool
	cmd := &cobra.Command{
		Use:   "verify [REF|DIGEST]...",
		Short: "Read stored kernels again and name what is damaged (default: all)",
		Long: `Read every file of stored kernels again, compare it with what was fetched, and
name what is damaged. Kernels are named by refs or by the beginning of a digest.
The exit status is 2 if something is damaged and was not repaired.`,
		Example: `  ctmatrix kernels verify
  ctmatrix kernels verify --repair debian:6.12.*`,
		RunE: func(cmd *cobra.Command, names []string) error {
			c, err := a.settings(cmd)
			if err != nil {
				return err
			}
			bars := a.bars()
			defer bars.Close()
			catalog, err := a.catalog(c, bars)
			if err != nil {
				return err
			}
			digests, err := catalog.Select(names...)
			if err != nil {
				return refError(err)
			}
			checked, err := verify(cmd.Context(), catalog, digests)
			if err != nil {
				return err
			}
			return a.mend(cmd.Context(), catalog, checked, repair, asJSON)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&repair, "repair", false, "remove what is damaged and fetch it anew")
	f.BoolVar(&asJSON, "json", false, "write JSON")
	a.settingFlags(cmd)
	return cmd
}

// verify reads the kernels, some at a time, and returns them in their order.
func verify(ctx context.Context, catalog *kernel.Catalog, digests []string) ([]kernel.Checked, error) {
	checked := make([]kernel.Checked, len(digests))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(fetchesAtOnce)
	for n, d := range digests {
		g.Go(func() (err error) {
			checked[n], err = catalog.Verify(ctx, d)
			return err
		})
	}
	return checked, g.Wait()
}

// verified is what `kernels verify --json` writes of a kernel.
type verified struct {
	kernel.Checked
	Repaired bool `json:"repaired,omitempty"`
}

// mend tells what is damaged, and repairs it where that is wanted.
func (a *app) mend(ctx context.Context, catalog *kernel.Catalog, checked []kernel.Checked, repair, asJSON bool) error {
	out := make([]verified, len(checked))
	damaged, repaired := 0, 0
	var bytes int64
	var errs []error
	for n, k := range checked {
		out[n].Checked = k
		bytes += k.Size
		if len(k.Damage) == 0 {
			continue
		}
		damaged++
		if !asJSON {
			a.damage(k)
		}
		if !repair {
			continue
		}
		if _, err := catalog.Repair(ctx, k); err != nil {
			errs = append(errs, fmt.Errorf("repair %s: %w", checkedName(k), err))
			continue
		}
		out[n].Repaired = true
		repaired++
	}
	if asJSON {
		errs = append(errs, a.json(out))
	} else {
		a.live.print(a.stdout, verdictOf(len(checked), damaged, repaired, bytes, repair))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if damaged > repaired {
		return exit{ExitFailed}
	}
	return nil
}

// mostDamage is how many files of a kernel are named one by one.
const mostDamage = 10

func (a *app) damage(k kernel.Checked) {
	for n, d := range k.Damage {
		if n == mostDamage {
			a.live.print(a.stdout, fmt.Sprintf("%s: and %d files more", checkedName(k), len(k.Damage)-n))
			return
		}
		a.live.print(a.stdout, fmt.Sprintf("%s: %s %s", checkedName(k), d.File, d.What))
	}
}

func checkedName(k kernel.Checked) string {
	if !k.Known {
		return fmt.Sprintf("%.12s", k.Digest)
	}
	return fmt.Sprintf("%s (%s, %.12s)", k.Version, k.Release, k.Digest)
}

// verdictOf is the last line of `kernels verify`.
func verdictOf(all, damaged, repaired int, bytes int64, repair bool) string {
	if all == 0 {
		return "no kernels in the store"
	}
	line := fmt.Sprintf("%d kernels, %s: ", all, size(bytes))
	switch {
	case damaged == 0:
		return line + "none damaged"
	case repair:
		return line + fmt.Sprintf("%d damaged, %d of them repaired", damaged, repaired)
	}
	return line + fmt.Sprintf("%d damaged; --repair fetches them anew", damaged)
}

func (a *app) kernelsGC() *cobra.Command {
	var unused time.Duration
	var dry bool
	cmd := &cobra.Command{
		Use:   "gc",
		Short: "Remove kernels, saved guests and kept cells that were not used for a while",
		Args:  a.args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.settings(cmd)
			if err != nil {
				return err
			}
			catalog, err := a.catalog(c, nil)
			if err != nil {
				return err
			}
			return a.collect(cmd.Context(), catalog, time.Now().Add(-unused), dry)
		},
	}
	cmd.Flags().DurationVar(&unused, "unused", 30*24*time.Hour, "keep what was used within this time")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "remove nothing, and say what would be")
	a.settingFlags(cmd)
	return cmd
}

// collect removes what was not used since a time, or says what that would be.
func (a *app) collect(ctx context.Context, catalog *kernel.Catalog, since time.Time, dry bool) error {
	stale, err := catalog.Stale(since)
	if err != nil {
		return err
	}
	var bytes int64
	for _, i := range stale {
		bytes += i.Stored.Size
		name := i.Version
		if name == "" {
			name = "damaged entry"
		}
		if _, err := fmt.Fprintf(a.stdout, "%s  %.12s  %s\n", name, i.Stored.Digest, size(i.Stored.Size)); err != nil {
			return err
		}
	}
	what, kernels := "would remove", len(stale)
	cache := catalog.Store().Dir()
	guests := 0
	if dry {
		guests, err = sched.StaleGuests(cache, since)
	} else {
		what = "removed"
		// Layers are made again in a moment.
		if err := os.RemoveAll(imageDir(cache)); err != nil {
			return fmt.Errorf("remove kept images: %w", err)
		}
		var removed []string
		if removed, bytes, err = catalog.Store().GC(ctx, since); err != nil {
			return err
		}
		kernels = len(removed)
		guests, err = sched.CollectGuests(ctx, cache, since)
	}
	if err != nil {
		return err
	}
	cells, _, err := sched.CollectCells(ctx, cache, since, dry)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.stdout, "%s %d kernels, %s, %d saved guests and %d kept cells\n", what, kernels, orZero(size(bytes)), guests, cells)
	return err
}

func orZero(size string) string {
	if size == "" {
		return "0 B"
	}
	return size
}
