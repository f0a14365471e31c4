package cli

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
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
	fresh    bool
	noCache  bool
	resume   bool
	capture  bool
	repeat   int
	judging
}

func (a *app) runCommand() *cobra.Command {
	var flags runFlags
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Boot the kernels, ask them, and print where they differ",
		Long: `Boots the kernels, asks them, and prints where they differ. What was measured
before under the same conditions is not measured again: kernel, agent, QEMU and
the guest's settings make these up.

A run that was cut short goes on with --resume, in its own directory and as it
was planned: what has ended stays, what failed or was cut off is run.

` + againstHelp + `

` + failHelp,
		Example: `  ctmatrix run
  ctmatrix run --kernel debian:6.1 --kernel debian:6.12 --probe 'loose/*'
  ctmatrix run --kernel 'dir:/path/to/kernel' --kernel debian:7.3
  ctmatrix run --repeat 3
  ctmatrix run --baseline baseline --fail-on unexplained,vanished
  ctmatrix run --resume`,
		Args: a.args(func(cmd *cobra.Command, args []string) error {
			if flags.resume {
				return cobra.MaximumNArgs(1)(cmd, args)
			}
			return cobra.NoArgs(cmd, args)
		}),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.witnessed(func() error {
				if flags.resume {
					return a.resume(cmd, flags, args)
				}
				return a.run(cmd, flags)
			})
		},
	}
	a.runFlags(cmd, &flags, 1)
	a.notesFlag(cmd)
	a.baselineFlags(cmd, &flags.judging)
	failFlag(cmd, &flags.judging)
	cmd.Flags().BoolVar(&flags.noCache, "no-cache", false, "also measure what was measured before, and keep what comes of that instead")
	cmd.Flags().BoolVar(&flags.capture, "capture", false, "also write down the packets of each probe, for Wireshark and ctmatrix report --packets")
	cmd.Flags().BoolVar(&flags.resume, "resume", false, "go on with a run that was cut short: the one named, else the latest")
	return cmd
}

// runFlags are the flags of what runs the matrix. Cells run the given number of
// times unless the user says otherwise.
func (a *app) runFlags(cmd *cobra.Command, flags *runFlags, repeat int) {
	a.settingFlags(cmd)
	a.eventsFlag(cmd)
	f := cmd.Flags()
	f.StringArray("kernel", nil, "kernel to run, instead of the matrix's (may be given several times)")
	f.StringArray("probe", nil, "probes to run, by glob, instead of the matrix's (several times)")
	f.String("jobs", "", "guests at a time: auto or a number")
	f.StringArrayVar(&flags.variants, "variant", nil, "run only this variant of the matrix (several times)")
	f.StringVar(&flags.out, "out", defaultOut, "directory in which the run's directory is made")
	f.StringVar(&flags.shuffle, "shuffle", "", "run the probes in another order, by a seed (without one: by a random seed)")
	f.Lookup("shuffle").NoOptDefVal = "random"
	f.BoolVar(&flags.fresh, "fresh-guest", false, "give every probe a guest of its own")
	f.BoolVar(&a.cold, "cold", false, "boot every guest, instead of restoring one that was saved")
	f.Uint32Var(&a.seed, "seed", 0, "of all that guests draw by chance: hash seeds, keys, ports (default 1)")
	f.BoolVar(&flags.json, "json", false, "write JSON")
	f.IntVar(&flags.repeat, "repeat", repeat, "run each kernel so many times, and tell apart what differs on the same kernel")
}

// defaultOut is where runs are unless the user says otherwise.
const defaultOut = "runs"

// run is a run from the settings to the table.
func (a *app) run(cmd *cobra.Command, flags runFlags) error {
	started := time.Now()
	if err := a.judge(cmd, &flags.judging); err != nil {
		return err
	}
	dir, err := a.measure(cmd, flags, started)
	if err != nil {
		return err
	}
	return a.report(dir, flags.judging, time.Since(started), flags.json)
}

// measure runs the matrix and returns the run directory. What can go wrong
// without a kernel is found out before anything is fetched or written.
func (a *app) measure(cmd *cobra.Command, flags runFlags, started time.Time) (string, error) {
	ctx := cmd.Context()
	c, err := a.settings(cmd)
	if err != nil {
		return "", err
	}
	if flags.repeat < 1 {
		return "", usage{fmt.Errorf("--repeat=%d: write a number from 1 on", flags.repeat)}
	}
	seed, err := shuffleSeed(flags.shuffle)
	if err != nil {
		return "", err
	}
	variants, err := chooseVariants(c, flags.variants)
	if err != nil {
		return "", err
	}
	c.Variants = variants // jobs are counted for what runs
	bars := a.bars()
	defer bars.Close()
	catalog, err := a.catalog(c, bars)
	if err != nil {
		return "", err
	}
	s, listing, err := a.scheduler(ctx, c, catalog)
	if err != nil {
		return "", err
	}
	s.Progress, s.Left, s.Ended, s.Shuffle, s.FreshGuest, s.Anew = bars, bars.Left, bars.Ended, seed, flags.fresh, flags.noCache
	s.Capture = flags.capture
	candidates, err := sched.Resolve(ctx, catalog, c.Kernels)
	if err != nil {
		return "", refError(err)
	}
	if n := len(candidates) * len(variants); n*flags.repeat > results.MaxCells {
		return "", usage{fmt.Errorf("--repeat=%d: %d cells so many times are more than %d: run fewer at a time", flags.repeat, n, results.MaxCells)}
	}
	cells := cellsOf(c, candidates, variants, flags.repeat)
	planned, err := plan(c, cells, listing, started)
	if err != nil {
		return "", err
	}
	planned.Conditions = a.conditions(s, c)
	s.Out, err = results.Create(flags.out, "", planned)
	if err != nil {
		return "", fmt.Errorf("%w: name another directory with --out", err)
	}
	defer s.Out.Close() // all was written before
	return s.Out.Dir(), a.execute(ctx, s, cells, bars, flags)
}

// execute runs cells to the end, or for as long as the user lets it.
func (a *app) execute(ctx context.Context, s *sched.Scheduler, cells []sched.Cell, bars *bars, flags runFlags) error {
	bars.probes = len(s.Selected)
	a.events.planned(s.Out.Dir(), s.Jobs, bars.probes, s.Out.Plan().Cells)
	again := "ctmatrix run --resume"
	if flags.out != defaultOut {
		again += " " + s.Out.Dir()
	}
	if err := s.Run(ctx, cells); err != nil {
		bars.Close()
		return fmt.Errorf("%w\nnot all results could be written: once they can, `%s` goes on", err, again)
	}
	bars.Close()
	if ctx.Err() == nil {
		return s.Out.Finish(time.Now())
	}
	a.again = again
	return nil
}

// tellAgain says how to go on with a run that was cut short, below what it found.
func (a *app) tellAgain() {
	if a.again != "" {
		a.warn("interrupted: what had been found by then is kept; `" + a.again + "` goes on")
	}
}

// conditions are what the run must be gone on with.
func (a *app) conditions(s *sched.Scheduler, c *matrix.Config) *results.Conditions {
	is := s.Conditions()
	is.Seed, is.Cold = a.seed, a.cold
	is.Archive = results.Archive{
		Mirror: c.Mirror, SecurityMirror: c.SecurityMirror, Suites: c.Suites, Keyring: c.Keyring, AllowUnverified: c.AllowUnverified,
	}
	return &is
}

// scheduler is one that lacks only where its results go. It fails where no guest
// could be started.
func (a *app) scheduler(ctx context.Context, c *matrix.Config, catalog *kernel.Catalog) (*sched.Scheduler, *observe.Listing, error) {
	agent, err := agentbin.Agent(kernel.DefaultArch)
	if err != nil {
		return nil, nil, err
	}
	var booter *sched.QEMU
	var noQEMU error
	var asked sync.WaitGroup
	asked.Go(func() { booter, noQEMU = a.booter(ctx, catalog.Store().Dir()) })
	listing, err := agentbin.Listing(ctx, c.Probes)
	asked.Wait()
	if err != nil {
		return nil, nil, globError(err)
	}
	jobs, err := c.JobCount(hostOf())
	if err != nil {
		return nil, nil, err
	}
	if noQEMU != nil {
		return nil, nil, noQEMU
	}
	cache := catalog.Store().Dir()
	var names []string
	for _, h := range listing.Probes {
		names = append(names, h.Name)
	}
	return &sched.Scheduler{
		Kernels: catalog, Booter: booter, Jobs: jobs, Agent: agent,
		Modules: suiteModules(ctx), Selected: names,
		ImageDir: imageDir(cache), Cells: sched.OpenCells(cache), History: sched.OpenHistory(cache),
		Stored: func(k kernel.Candidate) bool { return catalog.Has(ctx, k) }, Held: catalog.Held, Whole: catalog.Whole, Warn: a.warn,
	}, listing, nil
}

// suiteModules asks for the modules that the whole suite can need: an image serves
// every selection, and so does the guest that it becomes.
func suiteModules(ctx context.Context) func() ([]string, error) {
	return sync.OnceValues(func() ([]string, error) {
		all, err := agentbin.Listing(ctx, nil)
		if err != nil {
			return nil, err
		}
		return all.Modules, nil
	})
}

// imageDir is where image layers are kept in a cache.
func imageDir(cache string) string { return filepath.Join(cache, "images") }

// report prints what a run found and turns it into the exit status.
func (a *app) report(dir string, by judging, elapsed time.Duration, asJSON bool) error {
	run, err := results.Open(dir)
	if err != nil {
		return err
	}
	t := table.New(run.Cells, run.Plan.Probes)
	t.Book = by.book
	summary := summaryOf(run, elapsed)
	switch {
	case by.blessed != nil && asJSON:
		return a.against(by, t, run, summary, render.JudgedRunJSON)
	case by.blessed != nil:
		return a.against(by, t, run, summary, a.judgedText)
	case asJSON:
		err = render.JSON(a.stdout, t, summary)
	default:
		err = render.Text(a.stdout, t, summary, a.layout())
	}
	if err != nil {
		return err
	}
	a.tellAgain()
	return a.verdict(by, t.Findings())
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
			var have []string
			for _, v := range c.Variants {
				have = append(have, v.Name)
			}
			return nil, usage{fmt.Errorf("--variant %s: the matrix has no such variant; it has %s", name, strings.Join(have, ", "))}
		}
		chosen = append(chosen, c.Variants[i])
	}
	return chosen, nil
}

// cellsOf is every kernel under every variant, once, and then again as often as
// it is to be repeated.
func cellsOf(c *matrix.Config, candidates []kernel.Candidate, variants []matrix.Variant, repeat int) []sched.Cell {
	var cells []sched.Cell
	for n := 1; n <= repeat; n++ {
		for _, cand := range candidates {
			for _, v := range variants {
				cell := sched.Cell{Kernel: cand, Variant: v, Guest: c.GuestFor(v)}
				if repeat > 1 {
					cell.Repeat = n
				}
				cells = append(cells, cell)
			}
		}
	}
	return cells
}

func plan(c *matrix.Config, cells []sched.Cell, listing *observe.Listing, started time.Time) (results.Plan, error) {
	p := results.Plan{
		Tool: Version, Argv: os.Args, Started: started.UTC(), Probes: listing.Probes,
		Selection: results.Selection{Kernels: c.Kernels, Probes: c.Probes},
	}
	var err error
	if p.Cells, err = sched.Plan(cells); err != nil {
		return p, err
	}
	for _, cell := range p.Cells {
		if !slices.Contains(p.Selection.Variants, cell.Variant) {
			p.Selection.Variants = append(p.Selection.Variants, cell.Variant)
		}
	}
	return p, nil
}
