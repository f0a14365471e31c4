package cli

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/ctmatrix/ctmatrix/orchestrator/internal/render"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/table"
)

// stabilityRepeats is how often stability runs each kernel unless told.
const stabilityRepeats = 5

func (a *app) stabilityCommand() *cobra.Command {
	var flags runFlags
	cmd := &cobra.Command{
		Use:   "stability [RUN]...",
		Short: "Compare each kernel with itself: of several runs, or of runs there are",
		Long: `Every kernel must give the same rows each time. Without arguments stability
runs the matrix several times; with runs it compares the kernels of those, each
with itself, whatever order or host they ran on.

Exit status: 0 no value differs on the same kernel, 1 some do, 2 a kernel's run
failed or there was nothing to compare.`,
		Example: `  ctmatrix stability --repeat 25
  ctmatrix stability --kernel debian:6.1 --shuffle
  ctmatrix stability latest runs/20261101T010000Z`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return a.witnessed(func() error { return a.measureStability(cmd, flags) })
			}
			if err := onlyForRuns(cmd); err != nil {
				return err
			}
			return a.stability(flags, args, render.Summary{})
		},
	}
	a.runFlags(cmd, &flags, stabilityRepeats)
	return cmd
}

// measureStability runs the matrix and compares what came of it.
func (a *app) measureStability(cmd *cobra.Command, flags runFlags) error {
	started := time.Now()
	flags.noCache = true // to compare is to measure
	dir, err := a.measure(cmd, flags, started)
	if err != nil {
		return err
	}
	return a.stability(flags, []string{dir}, render.Summary{Elapsed: time.Since(started), Dir: dir})
}

// onlyForRuns refuses flags that say what to run where nothing is to be run.
func onlyForRuns(cmd *cobra.Command) error {
	var err error
	cmd.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
		if f.Changed && f.Name != "out" && f.Name != "json" {
			err = usage{fmt.Errorf("--%s says what to run, and the runs are there: name runs or what to run, not both", f.Name)}
		}
	})
	return err
}

// stability prints how the kernels of runs compare with themselves.
func (a *app) stability(flags runFlags, names []string, s render.Summary) error {
	recordings, err := recordingsOf(flags.out, names)
	if err != nil {
		return err
	}
	trial := table.Stability(recordings)
	if flags.json {
		err = render.StabilityJSON(a.stdout, trial, s)
	} else {
		err = render.StabilityText(a.stdout, trial, s, a.layout())
	}
	if err != nil {
		return err
	}
	a.tellAgain()
	return statusOf(table.ExitStatus(trial.Totals().Flips, trial.Failed()))
}

// recordingsOf are the cells of runs, each once, however often it is named. Their
// names say the run where there are several.
func recordingsOf(root string, names []string) ([]table.Recording, error) {
	var out []table.Recording
	have, dirs := map[string]bool{}, map[string]bool{}
	for _, name := range names {
		run, err := results.Find(root, name)
		if err != nil {
			return nil, err
		}
		dir, err := filepath.Abs(run.Dir)
		if err != nil {
			return nil, fmt.Errorf("find run: %w", err)
		}
		dirs[dir] = true
		for _, c := range run.Cells {
			path := filepath.Join(dir, c.Dir)
			if have[path] {
				continue
			}
			have[path] = true
			out = append(out, table.Recording{Name: filepath.Join(filepath.Base(dir), c.Dir), CellRows: c})
		}
	}
	if len(dirs) == 1 {
		for i := range out {
			out[i].Name = out[i].Dir
		}
	}
	return out, nil
}
