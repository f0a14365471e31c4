package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ctmatrix/ctmatrix/orchestrator/internal/baseline"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/notes"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/render"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/table"
)

// judging is what a run is judged by.
type judging struct {
	book       table.Book
	dir        string             // of the baseline
	blessed    *baseline.Baseline // nil where none is in force
	neighbours bool
	none       bool // --no-baseline
	words      []string
	fail       table.FailOn
}

const againstHelp = `Where there is a baseline, what was blessed is normal, and the run is judged by
it alone: each kernel is compared with the blessed one of its version, else of its
ref, else with the only one of its series. A kernel that was never blessed is
compared with its neighbour below. What differs between neighbours is counted, and
told with --neighbours.`

// failHelp lists the words of --fail-on.
const failHelp = `Exit status 1 is for
  unexplained  a value that changed, and no note says why
  vanished     a row that the older side has and the newer lacks
  new          a row, or with a baseline a probe, that the older side lacks
  explained    a value that changed, and notes say why
  unsupported  a probe for which some kernel lacks something
and 2 for
  unstable     a value that differs on the same kernel
  broken       a probe or a kernel's run that failed on our side
  crashed      a kernel that crashed or hung
  missing      a probe that never ran
  uncompared   a row that some kernels lack, or clocks that differ
By default all count but explained and unsupported. --fail-on names those that do;
"never" is none of them. What the tool itself cannot do is 2 in any case.`

func (a *app) baselineFlag(cmd *cobra.Command) {
	cmd.Flags().String("baseline", "", "directory of what was blessed (default: baseline)")
}

// baselineFlags are those of a run that may be judged by a baseline.
func (a *app) baselineFlags(cmd *cobra.Command, by *judging) {
	a.baselineFlag(cmd)
	cmd.Flags().BoolVar(&by.none, "no-baseline", false, "compare neighbours, whatever was blessed")
	neighboursFlag(cmd, by)
}

func neighboursFlag(cmd *cobra.Command, by *judging) {
	cmd.Flags().BoolVar(&by.neighbours, "neighbours", false, "with a baseline, also tell what differs between neighbours")
}

func failFlag(cmd *cobra.Command, by *judging) {
	cmd.Flags().StringSliceVar(&by.words, "fail-on", strings.Split(table.FailOnDefault().String(), ","), "what makes the exit status other than 0")
}

func parseFail(words []string) (table.FailOn, error) {
	fail, err := table.ParseFailOn(words)
	if err != nil {
		return nil, usage{fmt.Errorf("--fail-on: %w", err)}
	}
	return fail, nil
}

// judge reads what a run is judged by. Without a word of the user a baseline need
// not be there.
func (a *app) judge(cmd *cobra.Command, by *judging) error {
	var err error
	if by.fail, err = parseFail(by.words); err != nil {
		return err
	}
	if by.book, err = a.book(cmd); err != nil {
		return err
	}
	c, err := a.settings(cmd)
	if err != nil {
		return err
	}
	by.dir = c.Baseline
	there := baseline.Is(c.Baseline)
	switch {
	case by.none && cmd.Flags().Changed("baseline"):
		return usage{fmt.Errorf("--no-baseline and --baseline %s: leave one out", c.Baseline)}
	case by.none, c.Baseline == "", !there && !c.BaselineNamed:
		return nil
	case !there:
		return usage{fmt.Errorf("baseline %s: there is none: `ctmatrix bless` writes it, and --no-baseline does without", c.Baseline)}
	}
	by.blessed, err = baseline.Read(c.Baseline)
	return err
}

// against prints what differs between a run and what was blessed, with a writer
// for people or for programs.
func (a *app) against(by judging, t *table.Table, run *results.Run, s render.Summary, write judgedWriter) error {
	j := table.Judge(by.blessed.Table(), t, globs(run.Plan.Selection.Probes))
	if err := write(a.stdout, j, render.Judged{Summary: s, Blessed: by.dir, Neighbours: by.neighbours}); err != nil {
		return err
	}
	a.tellAgain()
	return a.verdict(by, j.Findings())
}

// judgedWriter is a way to tell a judgement.
type judgedWriter func(io.Writer, *table.Judgement, render.Judged) error

// judgedText is the one for people.
func (a *app) judgedText(w io.Writer, j *table.Judgement, s render.Judged) error {
	return render.JudgedText(w, j, s, a.layout())
}

// verdict turns what was found into the exit status. Who chose what it is for is
// told what it was.
func (a *app) verdict(by judging, found table.Findings) error {
	status, why := by.fail.Status(found)
	if why != "" && !slices.Equal(by.fail, table.FailOnDefault()) {
		a.live.line("fails for " + why)
	}
	return statusOf(status)
}

// globs reports which probes patterns choose, as run takes them.
func globs(patterns []string) func(probe string) bool {
	return func(probe string) bool {
		return slices.ContainsFunc(patterns, func(g string) bool {
			return notes.Matches(strings.TrimSuffix(g, "/"), probe)
		})
	}
}
