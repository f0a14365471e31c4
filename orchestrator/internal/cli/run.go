package cli

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/images/kernel"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/agentbin"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/matrix"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/render"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/sched"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/table"
)

// runFlags are the flags of run that are no settings.
type runFlags struct {
	out      string
	variants []string
	shuffle  string
	json     bool
}

func (a *app) runCommand() *cobra.Command {
	var flags runFlags
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Boot the kernels, ask them, and print where they differ",
		Example: `  ctmatrix run
  ctmatrix run --kernel debian:6.1 --kernel debian:6.12 --probe 'loose/*'
  ctmatrix run --kernel 'dir:/path/to/kernel' --kernel debian:7.3`,
		Args: a.args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.run(cmd, flags) },
	}
	a.settingFlags(cmd)
	f := cmd.Flags()
	f.StringArray("kernel", nil, "kernel to run, instead of the matrix's (may be given several times)")
	f.StringArray("probe", nil, "probes to run, by glob, instead of the matrix's (several times)")
	f.String("jobs", "", "guests at a time: auto or a number")
	f.StringArrayVar(&flags.variants, "variant", nil, "run only this variant of the matrix (several times)")
	f.StringVar(&flags.out, "out", "runs", "directory in which the run's directory is made")
	f.StringVar(&flags.shuffle, "shuffle", "", "run the probes in another order, by a seed (without one: by a random seed)")
	f.Lookup("shuffle").NoOptDefVal = "random"
	f.BoolVar(&flags.json, "json", false, "write JSON")
	return cmd
}

// run is a run from the settings to the table.
func (a *app) run(cmd *cobra.Command, flags runFlags) error {
	started := time.Now()
	c, err := a.settings(cmd)
	if err != nil {
		return err
	}
	seed, err := shuffleSeed(flags.shuffle)
	if err != nil {
		return err
	}
	variants, err := chooseVariants(c, flags.variants)
	if err != nil {
		return err
	}
	listing, err := agentbin.Listing(cmd.Context(), c.Probes)
	if err != nil {
		return err
	}
	bars := a.bars()
	defer bars.Close()
	catalog, err := a.catalog(c, bars)
	if err != nil {
		return err
	}
	candidates, err := resolveAll(cmd.Context(), catalog, c.Kernels)
	if err != nil {
		return err
	}
	cells := cellsOf(c, candidates, variants)
	writer, err := results.Create(flags.out, "", plan(c, cells, listing, started))
	if err != nil {
		return err
	}
	if err := a.schedule(cmd.Context(), c, catalog, cells, listing, seed, writer, bars); err != nil {
		return err
	}
	bars.Close()
	if err := writer.Finish(time.Now()); err != nil {
		return err
	}
	return a.report(writer.Dir(), time.Since(started), flags.json)
}

// schedule runs the cells. It fails only where results cannot be had or kept.
func (a *app) schedule(ctx context.Context, c *matrix.Config, catalog *kernel.Catalog, cells []sched.Cell,
	listing *observe.Listing, seed *uint64, writer *results.Writer, bars *bars) error {
	jobs, err := c.JobCount(hostOf())
	if err != nil {
		return err
	}
	booter, err := a.booter(ctx, catalog.Store().Dir())
	if err != nil {
		return err
	}
	agent, err := agentbin.Agent(kernel.DefaultArch)
	if err != nil {
		return err
	}
	var names []string
	for _, h := range listing.Probes {
		names = append(names, h.Name)
	}
	s := &sched.Scheduler{
		Kernels: catalog, Booter: booter, Out: writer, Progress: bars, Jobs: jobs,
		Agent: agent, Modules: listing.Modules, Probes: c.Probes, Selected: names, Shuffle: seed,
		ImageDir: filepath.Join(catalog.Store().Dir(), "images"),
	}
	return s.Run(ctx, cells)
}

// report prints the table of a run and turns it into the exit status.
func (a *app) report(dir string, elapsed time.Duration, asJSON bool) error {
	run, err := results.Open(dir)
	if err != nil {
		return err
	}
	t := table.New(run.Cells, run.Plan.Probes)
	summary := render.Summary{Elapsed: elapsed, Dir: dir}
	if asJSON {
		err = render.JSON(a.stdout, t, summary)
	} else {
		err = render.Text(a.stdout, t, summary, a.layout())
	}
	if err != nil {
		return err
	}
	return statusOf(table.ExitStatus(len(t.Changes()), !t.Residue().Empty()))
}

// statusOf is the error that ends a command with a status.
func statusOf(status int) error {
	if status == ExitSame {
		return nil
	}
	return exit{status}
}

func shuffleSeed(flag string) (*uint64, error) {
	switch flag {
	case "":
		return nil, nil
	case "random":
		seed := rand.Uint64()
		return &seed, nil
	}
	seed, err := strconv.ParseUint(flag, 10, 64)
	if err != nil {
		return nil, usage{fmt.Errorf("--shuffle=%s: write a seed such as --shuffle=7, or --shuffle alone", flag)}
	}
	return &seed, nil
}

func chooseVariants(c *matrix.Config, names []string) ([]matrix.Variant, error) {
	if len(names) == 0 {
		return c.Variants, nil
	}
	var chosen []matrix.Variant
	for _, name := range names {
		i := slices.IndexFunc(c.Variants, func(v matrix.Variant) bool { return v.Name == name })
		if i < 0 {
			return nil, usage{fmt.Errorf("--variant %s: the matrix has no such variant", name)}
		}
		chosen = append(chosen, c.Variants[i])
	}
	return chosen, nil
}

// resolveAll turns refs into candidates, each kernel once, in the order of the
// refs.
func resolveAll(ctx context.Context, catalog *kernel.Catalog, refs []string) ([]kernel.Candidate, error) {
	var all []kernel.Candidate
	for _, ref := range refs {
		found, err := catalog.Resolve(ctx, ref)
		if err != nil {
			return nil, err
		}
		for _, c := range found {
			same := func(o kernel.Candidate) bool { return o.Exact() == c.Exact() }
			if !slices.ContainsFunc(all, same) {
				all = append(all, c)
			}
		}
	}
	return all, nil
}

func cellsOf(c *matrix.Config, candidates []kernel.Candidate, variants []matrix.Variant) []sched.Cell {
	var cells []sched.Cell
	for _, cand := range candidates {
		for _, v := range variants {
			cells = append(cells, sched.Cell{Kernel: cand, Variant: v, Guest: c.GuestFor(v)})
		}
	}
	return cells
}

func plan(c *matrix.Config, cells []sched.Cell, listing *observe.Listing, started time.Time) results.Plan {
	p := results.Plan{
		Tool: Version, Argv: os.Args, Started: started.UTC(), Probes: listing.Probes,
		Selection: results.Selection{Kernels: c.Kernels, Probes: c.Probes},
	}
	for _, spec := range cells {
		cell := sched.Planned(spec)
		p.Cells = append(p.Cells, results.Planned{Kernel: cell.Kernel, Variant: cell.Variant})
		if !slices.Contains(p.Selection.Variants, cell.Variant) {
			p.Selection.Variants = append(p.Selection.Variants, cell.Variant)
		}
	}
	return p
}
