package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ctmatrix/ctmatrix/orchestrator/internal/baseline"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/render"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/table"
)

// blessFlags are the flags of bless.
type blessFlags struct {
	out               string
	kernels, probes   []string
	incomplete, prune bool
	dry, json         bool
}

func (a *app) blessCommand() *cobra.Command {
	var flags blessFlags
	cmd := &cobra.Command{
		Use:   "bless [RUN]",
		Short: "Write down what a run found as what is normal",
		Long: `bless writes a baseline: what the latest run found, or the one that is named,
as text files in a directory that is kept in git. Look at what has moved with
git diff, and commit it: from then on run judges kernels by it.

A family has a file, a row has a line. A value holds for the kernels from the
first on, and until one has its own:

  tcp-rst/in-window recorded
  tcp-rst/in-window/rst.timeout timeout "1 10" 6.12="1 300"

A kernel of the run takes the place of the blessed one of its version, else of its
ref. What the run did not ask stays as it was blessed, unless --prune forgets it. A
run with probes that are broken, crashed, missing or unstable is refused; with
--incomplete, what these were blessed as stays.

Exit status: 0 blessed, 2 refused or failed, 64 wrong usage.`,
		Example: `  ctmatrix bless
  ctmatrix bless runs/20261101T010000Z --kernel debian:6.12
  ctmatrix bless --probe 'tcp-rst/*' --dry-run`,
		Args: a.args(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.bless(cmd, flags, append(args, results.LatestLink)[0])
		},
	}
	f := cmd.Flags()
	f.StringVar(&flags.out, "out", defaultOut, "directory of the runs, for names and for `latest`")
	f.StringArrayVar(&flags.kernels, "kernel", nil, "bless only this kernel of the run, by ref, label, version or release (several times)")
	f.StringArrayVar(&flags.probes, "probe", nil, "bless only these probes, by glob (several times)")
	f.BoolVar(&flags.incomplete, "incomplete", false, "also bless a run with failures, but for these")
	f.BoolVar(&flags.prune, "prune", false, "forget kernels and probes that the run did not ask")
	f.BoolVar(&flags.dry, "dry-run", false, "only say what would move")
	f.BoolVar(&flags.json, "json", false, "write JSON")
	a.baselineFlag(cmd)
	a.configFlag(cmd)
	return cmd
}

func (a *app) bless(cmd *cobra.Command, flags blessFlags, name string) error {
	if flags.prune && len(flags.kernels)+len(flags.probes) > 0 {
		return usage{errors.New("--prune with --kernel or --probe: what is not chosen stays, so leave --prune out")}
	}
	c, err := a.settings(cmd, "kernel", "probe")
	if err != nil {
		return err
	}
	if c.Baseline == "" {
		return usage{errors.New("no baseline is named: write baseline: in the matrix, or use --baseline")}
	}
	run, err := results.Find(flags.out, name)
	if err != nil {
		return err
	}
	t := table.New(run.Cells, run.Plan.Probes)
	options, err := chosen(t, flags)
	if err != nil {
		return err
	}
	old := &baseline.Baseline{}
	if baseline.Is(c.Baseline) {
		if old, err = baseline.Read(c.Baseline); err != nil {
			return err
		}
	}
	blessed, err := baseline.Bless(old, t, options)
	if err != nil {
		return err
	}
	if !flags.dry {
		if err := blessed.Write(c.Baseline); err != nil {
			return err
		}
	}
	before, after := old.Table(), blessed.Table()
	j := table.Judge(before, after, nil)
	if flags.json {
		return render.DiffJSON(a.stdout, j.Difference)
	}
	return render.BlessedText(a.stdout, j, table.Judge(after, before, nil), c.Baseline, flags.dry, a.layout())
}

// chosen are the options that flags stand for. A flag that chooses nothing of the
// run is an error of usage.
func chosen(t *table.Table, flags blessFlags) (baseline.Options, error) {
	o := baseline.Options{Incomplete: flags.incomplete, Prune: flags.prune}
	for _, name := range flags.kernels {
		if !slices.ContainsFunc(t.Columns, func(c table.Column) bool { return called(c.Cell, name) }) {
			var have []string
			for _, c := range t.Columns {
				have = append(have, c.Label)
			}
			return o, usage{fmt.Errorf("--kernel %s: the run has no such kernel; it has %s", name, strings.Join(have, ", "))}
		}
	}
	for _, g := range flags.probes {
		match := globs([]string{g})
		if !slices.ContainsFunc(t.Probes, func(p table.Probe) bool { return match(p.Name) }) {
			return o, usage{fmt.Errorf("--probe %s: the run asked no such probe", g)}
		}
	}
	if len(flags.kernels) > 0 {
		o.Kernels = func(c results.Cell) bool {
			return slices.ContainsFunc(flags.kernels, func(name string) bool { return called(c, name) })
		}
	}
	if len(flags.probes) > 0 {
		o.Probes = globs(flags.probes)
	}
	return o, nil
}

// called reports whether a name is one of a cell's kernel.
func called(c results.Cell, name string) bool {
	k := c.Kernel
	return slices.Contains([]string{k.Ref, k.Label, k.Version, k.Release, k.Label + "+" + c.Variant}, name)
}
