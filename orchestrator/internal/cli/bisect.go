package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/images/kernel"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/agentbin"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/bisect"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/matrix"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/sched"
)

// bisectFlags are the flags of bisect that are no settings.
type bisectFlags struct {
	row, from, to string
	all, json     bool
	out, variant  string
}

func (a *app) bisectCommand() *cobra.Command {
	var flags bisectFlags
	cmd := &cobra.Command{
		Use:   "bisect --row ROW --from REF --to REF",
		Short: "Find the packages between which a row's value changed",
		Long: `bisect asks kernels for a row, or for the outcome of a probe, until it knows
between which two packages the value changed. It fetches and boots only those that
it must ask, and runs only the row's probe.

Inside a stable series it halves, which finds one change; with --all it asks every
kernel and finds all. Series fork from the mainline: a range of several is searched
series by series, and what changed between two is told as such. A kernel that gives
no answer is skipped, and a neighbour asked instead.

Exit status: 0 the value is the same at both ends, 1 a change was found, 2 it could
not be decided, 64 the command was called wrongly.`,
		Example: `  ctmatrix bisect --row limits/defaults/max.per-bucket --from debian:5.10 --to debian:6.1
  ctmatrix bisect --row tcp-rst/exact --from debian:6.12.43 --to debian:6.12
  ctmatrix bisect --row loose/on/raw.packets --from debian:6.12.85 --to debian:6.12 --all`,
		Args: a.args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.bisect(cmd, flags) },
	}
	a.settingFlags(cmd)
	a.notesFlag(cmd)
	f := cmd.Flags()
	f.StringVar(&flags.row, "row", "", "row to search, family/probe/subject.attr, or a probe for its outcome")
	f.StringVar(&flags.from, "from", "", "oldest kernel of the range")
	f.StringVar(&flags.to, "to", "", "newest kernel of the range")
	f.BoolVar(&flags.all, "all", false, "ask every kernel of the range")
	f.String("jobs", "", "guests at a time: auto or a number")
	f.StringVar(&flags.variant, "variant", "", "variant of the matrix to run (default: the only one, or default)")
	f.StringVar(&flags.out, "out", "runs", "directory in which the run's directory is made")
	f.BoolVar(&flags.json, "json", false, "write JSON")
	f.BoolVar(&a.cold, "cold", false, "boot every guest, instead of restoring one that was saved")
	f.Uint32Var(&a.seed, "seed", 0, "of all that guests draw by chance: hash seeds, keys, ports (default 1)")
	return cmd
}

// bisect is a bisection from the flags to the exit status.
func (a *app) bisect(cmd *cobra.Command, flags bisectFlags) error {
	started := time.Now()
	bars := a.bars()
	defer bars.Close()
	notes, err := a.book(cmd)
	if err != nil {
		return err
	}
	b, err := a.newBisection(cmd, flags, bars, started)
	if err != nil {
		return err
	}
	defer b.out.Close() // all was written before
	b.report.Book = notes
	return b.carryOut(cmd.Context(), started)
}

func bisectStatus(o bisect.Outcome) int {
	switch o {
	case bisect.Same:
		return ExitSame
	case bisect.Changed:
		return ExitChanged
	}
	return ExitFailed
}

// newBisection finds out what can go wrong without a kernel, before anything is
// fetched or written.
func (a *app) newBisection(cmd *cobra.Command, flags bisectFlags, bars *bars, started time.Time) (*bisection, error) {
	ctx := cmd.Context()
	for _, f := range []struct{ name, value, want string }{
		{"row", flags.row, "family/probe/subject.attr, or a probe"},
		{"from", flags.from, "the oldest kernel, such as debian:6.12.43"},
		{"to", flags.to, "the newest kernel, such as debian:6.12"},
	} {
		if f.value == "" {
			return nil, usage{fmt.Errorf("--%s is missing: name %s", f.name, f.want)}
		}
	}
	head, err := probeOfRow(ctx, flags.row)
	if err != nil {
		return nil, err
	}
	c, err := a.settings(cmd)
	if err != nil {
		return nil, err
	}
	c.Probes = []string{head.Name}
	variant, err := oneVariant(c, flags.variant)
	if err != nil {
		return nil, err
	}
	c.Variants = []matrix.Variant{variant}
	catalog, err := a.catalog(c, bars)
	if err != nil {
		return nil, err
	}
	candidates, err := bisectRange(ctx, catalog, flags.from, flags.to)
	if err != nil {
		return nil, err
	}
	s, listing, err := a.scheduler(ctx, c, catalog)
	if err != nil {
		return nil, err
	}
	b := &bisection{
		app: a, bars: bars, json: flags.json, changelogs: catalog, scheduler: s, head: head,
		cells:  cellsOf(c, candidates, c.Variants, 1),
		report: &bisect.Report{Row: flags.row, Question: head.Question, Search: bisect.New(bisectKernels(candidates), flags.all)},
	}
	b.out, err = results.Create(flags.out, "", results.Plan{
		Tool: Version, Argv: os.Args, Started: started.UTC(), Probes: listing.Probes,
		Selection: results.Selection{Kernels: []string{flags.from, flags.to}, Probes: c.Probes, Variants: []string{variant.Name}},
	})
	if err != nil {
		return nil, fmt.Errorf("%w: name another directory with --out", err)
	}
	return b, nil
}

// probeOfRow finds the probe that records a row, as far as the suite knows
// without a kernel: a row's own name it does not know.
func probeOfRow(ctx context.Context, row string) (observe.Head, error) {
	listing, err := agentbin.Listing(ctx, nil)
	if err != nil {
		return observe.Head{}, err
	}
	var names []string
	for _, want := range []string{row, observe.Row{Name: row}.Probe()} {
		for _, h := range listing.Probes {
			if h.Name == want {
				return h, nil
			}
		}
	}
	for _, h := range listing.Probes {
		names = append(names, h.Name)
	}
	probe := row
	if strings.Count(row, "/") > 1 {
		probe = observe.Row{Name: row}.Probe()
	}
	return observe.Head{}, usage{fmt.Errorf("--row %s: no probe records it; nearest: %s; see `ctmatrix probes`",
		row, strings.Join(bisect.Nearest(probe, names), ", "))}
}

// oneVariant is the variant that is named, else the only one, else the default.
func oneVariant(c *matrix.Config, name string) (matrix.Variant, error) {
	if name == "" && len(c.Variants) == 1 {
		return c.Variants[0], nil
	}
	variants, err := chooseVariants(c, []string{cmp.Or(name, matrix.DefaultVariant)})
	if err != nil {
		return matrix.Variant{}, err
	}
	return variants[0], nil
}

// bisectRange returns the kernels between two refs, both included: series in
// their order, in each by version.
func bisectRange(ctx context.Context, r sched.Resolver, from, to string) ([]kernel.Candidate, error) {
	older, err := oneKernel(ctx, r, "--from", from)
	if err != nil {
		return nil, err
	}
	newer, err := oneKernel(ctx, r, "--to", to)
	if err != nil {
		return nil, err
	}
	switch order := compareKernels(older, newer); {
	case older.Flavour != newer.Flavour || older.Arch != newer.Arch:
		return nil, usage{fmt.Errorf("%s is of flavour %s for %s, %s of flavour %s for %s: name two of one build",
			from, older.Flavour, older.Arch, to, newer.Flavour, newer.Arch)}
	case order == 0:
		return nil, usage{fmt.Errorf("%s and %s both name %s: there is nothing in between", from, to, older.Version)}
	case order > 0:
		return nil, usage{fmt.Errorf("--from %s is newer than --to %s: swap them", older.Version, newer.Version)}
	}
	between := kernel.Ref{Scheme: older.Source, Value: older.Version + ".." + newer.Version, Flavour: older.Flavour, Arch: older.Arch}
	all, err := r.Resolve(ctx, between.String())
	if err != nil && !errors.Is(err, kernel.ErrUnknown) { // ends named by their file in the pool are in no index
		return nil, err
	}
	var out []kernel.Candidate
	for _, c := range append([]kernel.Candidate{older, newer}, all...) {
		same := func(o kernel.Candidate) bool { return compareKernels(o, c) == 0 }
		if compareKernels(older, c) <= 0 && compareKernels(c, newer) <= 0 && !slices.ContainsFunc(out, same) {
			c.Ref = c.Exact() // none may stand for another that has gone
			out = append(out, c)
		}
	}
	slices.SortFunc(out, compareKernels)
	return out, nil
}

// oneKernel is the one that a ref names.
func oneKernel(ctx context.Context, r sched.Resolver, flag, ref string) (kernel.Candidate, error) {
	found, err := r.Resolve(ctx, ref)
	switch {
	case err != nil:
		return kernel.Candidate{}, refError(err)
	case len(found) > 1:
		return kernel.Candidate{}, usage{fmt.Errorf("%s %s names %d kernels, from %s to %s: name one",
			flag, ref, len(found), found[0].Version, found[len(found)-1].Version)}
	case found[0].Source != kernel.SchemeDebian:
		return kernel.Candidate{}, usage{fmt.Errorf("%s %s: only packages have others in between: name one as debian:VERSION", flag, ref)}
	}
	return found[0], nil
}

// compareKernels orders by series, then by version of the package.
func compareKernels(a, b kernel.Candidate) int {
	return cmp.Or(kernel.CompareVersions(a.Series, b.Series), kernel.CompareVersions(a.Version, b.Version))
}

func bisectKernels(candidates []kernel.Candidate) []bisect.Kernel {
	var out []bisect.Kernel
	for _, c := range candidates {
		out = append(out, bisect.Kernel{Version: c.Version, Release: c.Release, Series: c.Series})
	}
	return out
}
