package cli

import (
	"fmt"
	"os"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/ctmatrix/ctmatrix/images/kernel"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/render"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/sched"
)

func (a *app) kernelsCommand() *cobra.Command {
	kernels := &cobra.Command{
		Use:                        "kernels",
		Short:                      "List, fetch and forget kernels",
		SuggestionsMinimumDistance: 2,
		Args:                       a.args(cobra.NoArgs),
		RunE:                       func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	kernels.AddCommand(a.kernelsList(), a.kernelsFetch(), a.kernelsGC())
	return kernels
}

func (a *app) kernelsList() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list [REF]...",
		Short: "List the kernels that refs name (default: all that the mirror offers)",
		Example: `  ctmatrix kernels list
  ctmatrix kernels list debian:6.12.*
  ctmatrix kernels list 'debian:trixie?flavour=generic'`,
		RunE: func(cmd *cobra.Command, refs []string) error {
			if len(refs) == 0 {
				refs = []string{"debian:*"}
			}
			candidates, catalog, err := a.resolve(cmd, refs, nil)
			if err != nil {
				return err
			}
			if asJSON {
				return a.json(candidates)
			}
			stored, err := catalog.Stored()
			if err != nil {
				return err
			}
			return a.listKernels(candidates, stored)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	a.settingFlags(cmd)
	return cmd
}

func (a *app) listKernels(candidates []kernel.Candidate, stored []*kernel.Kernel) error {
	here := map[string]bool{}
	for _, k := range stored {
		here[k.Version+" "+k.Release] = true
	}
	var rows [][]string
	for _, c := range candidates {
		row := []string{c.Version, c.Release, c.Suite, "verified", ""}
		if !c.Verified {
			row[3] = "unverified"
		}
		if here[c.Version+" "+c.Release] {
			row[4] = "stored"
		}
		rows = append(rows, row)
	}
	return render.Columns(a.stdout, []string{"VERSION", "RELEASE", "SUITE", "INDEX", "HERE"}, rows, a.layout())
}

func (a *app) kernelsFetch() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "fetch REF...",
		Short: "Fetch kernels into the store",
		Args:  a.args(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, refs []string) error {
			bars := a.bars()
			defer bars.Close()
			candidates, catalog, err := a.resolve(cmd, refs, bars)
			if err != nil {
				return err
			}
			var fetched []*kernel.Kernel
			for _, c := range candidates {
				k, err := catalog.Fetch(cmd.Context(), c)
				if err != nil {
					return err
				}
				fetched = append(fetched, k)
			}
			bars.Close()
			var rows [][]string
			for _, k := range fetched {
				rows = append(rows, []string{k.Version, k.Release, k.Digest[:12], k.Image})
			}
			return render.Columns(a.stdout, []string{"VERSION", "RELEASE", "DIGEST", "IMAGE"}, rows, a.layout())
		},
	}
	a.settingFlags(cmd)
	return cmd
}

func (a *app) kernelsGC() *cobra.Command {
	var unused time.Duration
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
			// Layers are made again in a moment.
			if err := os.RemoveAll(imageDir(catalog.Store().Dir())); err != nil {
				return fmt.Errorf("remove kept images: %w", err)
			}
			since := time.Now().Add(-unused)
			removed, freed, err := catalog.Store().GC(cmd.Context(), since)
			if err != nil {
				return err
			}
			guests, err := sched.CollectGuests(cmd.Context(), catalog.Store().Dir(), since)
			if err != nil {
				return err
			}
			cells, _, err := sched.CollectCells(cmd.Context(), catalog.Store().Dir(), since)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(a.stdout, "removed %d kernels, %s, %d saved guests and %d kept cells\n",
				len(removed), humanize.IBytes(uint64(freed)), guests, cells)
			return err
		},
	}
	cmd.Flags().DurationVar(&unused, "unused", 30*24*time.Hour, "keep what was used within this time")
	a.settingFlags(cmd)
	return cmd
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
