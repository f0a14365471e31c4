package cli

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/ctmatrix/ctmatrix/images/kernel"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/agentbin"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/matrix"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/sched"
)

// resume goes on with a run that was cut short, and prints its table. Of one that
// has nothing left to run it prints the table alone.
func (a *app) resume(cmd *cobra.Command, flags runFlags, args []string) error {
	started := time.Now()
	if err := a.judge(cmd, &flags.judging); err != nil {
		return err
	}
	name := results.LatestLink
	if len(args) == 1 {
		name = args[0]
	}
	found, err := results.Find(flags.out, name)
	if errors.Is(err, results.ErrNotFound) && len(args) == 0 {
		return fmt.Errorf("there is no run below %s to go on with: name its directory with --out", flags.out)
	}
	if err != nil {
		return err
	}
	if len(found.Cells) != len(found.Plan.Cells) {
		return usage{fmt.Errorf("%s is a part of the run %s: name the run", name, found.Dir)}
	}
	out, run, err := results.Resume(found.Dir)
	if err != nil {
		return err
	}
	defer out.Close() // all was written before
	if err := a.goOn(cmd, flags, out, run); err != nil {
		return err
	}
	return a.report(run.Dir, flags.judging, time.Since(started), flags.json)
}

// goOn runs what is left of a run.
func (a *app) goOn(cmd *cobra.Command, flags runFlags, out *results.Writer, run *results.Run) error {
	if err := contradiction(cmd, run.Plan); err != nil {
		return err
	}
	kept := 0
	for i := range run.Cells {
		if (sched.Cell{Before: &run.Cells[i]}).Ended() {
			kept++
		}
	}
	if kept == len(run.Cells) {
		a.live.line(fmt.Sprintf("%s has ended: there is nothing to go on with", run.Dir))
		if run.Plan.Finished != nil {
			return nil
		}
		return out.Finish(time.Now()) // cut short behind its last cell
	}
	cells, err := plannedCells(run)
	if err != nil {
		return err
	}
	bars := a.bars()
	defer bars.Close()
	s, err := a.resumed(cmd, run.Plan, cells, bars)
	if err != nil {
		return err
	}
	a.live.line(fmt.Sprintf("going on with %s: %d of %d cells have ended", run.Dir, kept, len(cells)))
	if err := out.Continue(time.Now()); err != nil {
		return err
	}
	s.Out, s.Progress, s.Left, s.Ended = out, bars, bars.Left, bars.Ended
	flags.out = cmp.Or(filepath.Dir(run.Dir), flags.out)
	return a.execute(cmd.Context(), s, cells, bars, flags)
}

// plannedCells refuses runs that do not say enough.
func plannedCells(run *results.Run) ([]sched.Cell, error) {
	if run.Plan.Conditions == nil {
		return nil, fmt.Errorf("%s was begun by ctmatrix %s, which did not write down how to go on: run it anew", run.Dir, run.Plan.Tool)
	}
	cells, err := sched.CellsOf(run)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: run it anew", run.Dir, err)
	}
	return cells, nil
}

// resumed is a scheduler under the conditions of a plan, or says why there can be
// none.
func (a *app) resumed(cmd *cobra.Command, plan results.Plan, cells []sched.Cell, bars *bars) (*sched.Scheduler, error) {
	was := plan.Conditions
	agent, err := agentbin.Agent(kernel.DefaultArch)
	if err != nil {
		return nil, err
	}
	if agentbin.Digest(agent) != was.Agent {
		return nil, fmt.Errorf("the run was begun with another agent, that of ctmatrix %s, and this is ctmatrix %s: go on with that one, or run anew", plan.Tool, Version)
	}
	c, err := a.settings(cmd)
	if err != nil {
		return nil, err
	}
	a.sameArchive(c, was.Archive)
	c.Variants, c.Probes = nil, nil
	for _, spec := range cells {
		if !spec.Ended() {
			g := spec.Guest
			c.Variants = append(c.Variants, matrix.Variant{Memory: g.Memory, CPUs: g.CPUs, Clock: g.Clock}) // for the jobs
		}
	}
	for _, h := range plan.Probes {
		c.Probes = append(c.Probes, h.Name)
	}
	a.seed, a.cold = was.Seed, was.Cold
	catalog, err := a.catalog(c, bars)
	if err != nil {
		return nil, err
	}
	s, _, err := a.scheduler(cmd.Context(), c, catalog)
	if err != nil {
		return nil, err
	}
	s.Shuffle, s.FreshGuest, s.Anew, s.Capture = was.Shuffle, was.Fresh, was.Anew, was.Capture
	if is := s.Conditions(); is.Build != was.Build || is.QEMU != was.QEMU {
		return nil, fmt.Errorf("the run was begun with QEMU %s (%s), and this is QEMU %s (%s): name the first with --qemu, or run anew",
			was.QEMU, was.Build, is.QEMU, is.Build)
	}
	return s, nil
}

// sameArchive has packages come from where those of the run came from. A flag may
// name another place, as long as the kernels are the same.
func (a *app) sameArchive(c *matrix.Config, was results.Archive) {
	given := func(key string) bool { _, ok := a.overrides[key]; return ok }
	if !given("mirror") {
		c.Mirror = was.Mirror
	}
	if !given("security_mirror") {
		c.SecurityMirror = was.SecurityMirror
	}
	if !given("keyring") {
		c.Keyring = was.Keyring
	}
	if !given("allow_unverified") {
		c.AllowUnverified = was.AllowUnverified
	}
	c.Suites = was.Suites
}

// contradiction refuses flags that ask for something else than the plan: what a
// run is made of was decided when it was begun.
func contradiction(cmd *cobra.Command, plan results.Plan) error {
	was := plan.Conditions
	if was == nil {
		was = &results.Conditions{}
	}
	repeat := 1
	for _, c := range plan.Cells {
		repeat = max(repeat, c.Repeat)
	}
	shuffle := ""
	if was.Shuffle != nil {
		shuffle = fmt.Sprint(*was.Shuffle)
	}
	lists := map[string][]string{"kernel": plan.Selection.Kernels, "probe": plan.Selection.Probes, "variant": plan.Selection.Variants}
	values := map[string]string{
		"shuffle": shuffle, "fresh-guest": fmt.Sprint(was.Fresh), "cold": fmt.Sprint(was.Cold),
		"seed": fmt.Sprint(was.Seed), "repeat": fmt.Sprint(repeat), "no-cache": fmt.Sprint(was.Anew),
		"capture": fmt.Sprint(was.Capture),
	}
	var errs []string
	cmd.Flags().Visit(func(f *pflag.Flag) {
		same := true
		if list, isList := lists[f.Name]; isList {
			same = slices.Equal(f.Value.(pflag.SliceValue).GetSlice(), list)
		} else if value, known := values[f.Name]; known {
			same = f.Value.String() == value || f.Name == "shuffle" && f.Value.String() == f.NoOptDefVal && shuffle != ""
		}
		if !same {
			errs = append(errs, "--"+f.Name)
		}
	})
	if len(errs) > 0 {
		return usage{fmt.Errorf("%s: the run was planned otherwise: leave it out, or run anew without --resume", strings.Join(errs, ", "))}
	}
	return nil
}
