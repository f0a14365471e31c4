package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/notes"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/render"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/table"
)

func (a *app) timelineCommand() *cobra.Command {
	var out string
	var runs []string
	var all, asJSON bool
	cmd := &cobra.Command{
		Use:   "timeline [ROW-GLOB]...",
		Short: "Print each row's values over the history of kernels",
		Long: `timeline prints a line for each row: which values it has, and in each series of
kernels from which release to which it has them. Without a pattern it leaves out
the rows that are the same everywhere. A pattern names rows, probes or families:
"tcp-rst/exact/rst.entry", "tcp-rst/*", "tcp-rst".

Exit status: 0 none of the rows differs between neighbours, or notes explain all
that do; 1 some differ; 2 something could not be compared.`,
		Example: `  ctmatrix timeline
  ctmatrix timeline 'tcp-rst/*' --run latest --run runs/20261101T010000Z`,
		RunE: func(cmd *cobra.Command, globs []string) error {
			t, err := a.history(cmd, out, runs)
			if err != nil {
				return err
			}
			lines, err := timelineOf(t, globs)
			if err != nil {
				return err
			}
			all = all || len(globs) > 0
			if asJSON {
				err = render.TimelineJSON(a.stdout, t, lines, all)
			} else {
				err = render.TimelineText(a.stdout, t, lines, all, a.layout())
			}
			if err != nil {
				return err
			}
			changed, explained := render.TimelineChanges(lines)
			return statusOf(table.ExitStatus(changed-explained, !t.Residue().Empty()))
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&runs, "run", []string{results.LatestLink}, "run to take, or several that are laid together")
	f.StringVar(&out, "out", "runs", "directory of the runs, for names and for `latest`")
	f.BoolVar(&all, "all", false, "also rows that are the same everywhere")
	f.BoolVar(&asJSON, "json", false, "write JSON")
	a.configFlag(cmd)
	a.notesFlag(cmd)
	return cmd
}

// history is the table of one or several runs.
func (a *app) history(cmd *cobra.Command, root string, names []string) (*table.Table, error) {
	b, err := a.book(cmd)
	if err != nil {
		return nil, err
	}
	var cells []results.CellRows
	var heads []observe.Head
	for _, name := range names {
		run, err := results.Find(root, name)
		if err != nil {
			return nil, err
		}
		cells = append(cells, run.Cells...)
		heads = append(heads, run.Plan.Probes...)
	}
	t := table.New(cells, heads)
	t.Book = b
	return t, nil
}

// timelineOf are the lines that patterns name; all of them without a pattern.
// A pattern that names none is an error of usage.
func timelineOf(t *table.Table, globs []string) ([]table.Line, error) {
	used := make([]bool, len(globs))
	lines := t.Timeline(func(row string) bool {
		matched := len(globs) == 0
		for i, g := range globs {
			if notes.Matches(strings.TrimSuffix(g, "/"), row) {
				used[i], matched = true, true
			}
		}
		return matched
	})
	for i, g := range globs {
		if !used[i] {
			return nil, usage{fmt.Errorf("no row matches %q: write family/probe/subject.attr, family/probe or family, with * for a part; `ctmatrix timeline --all` lists all", g)}
		}
	}
	return lines, nil
}
