package cli

import (
	"github.com/spf13/cobra"

	"github.com/ctmatrix/ctmatrix/orchestrator/internal/render"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/table"
)

func (a *app) diffCommand() *cobra.Command {
	var out string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "diff A B",
		Short: "Print what differs between two runs, or two kernels of the latest run",
		Example: `  ctmatrix diff runs/20261101T010000Z latest
  ctmatrix diff debian:5.10 debian:6.1`,
		Args: a.args(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := a.book(cmd)
			if err != nil {
				return err
			}
			d, err := compare(out, args[0], args[1], b)
			if err != nil {
				return err
			}
			if asJSON {
				err = render.DiffJSON(a.stdout, d)
			} else {
				err = render.DiffText(a.stdout, d, a.layout())
			}
			if err != nil {
				return err
			}
			return statusOf(table.ExitStatus(d.Unexplained(), d.Failed()))
		},
	}
	cmd.Flags().StringVar(&out, "out", "runs", "directory of the runs, for names and for `latest`")
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	a.configFlag(cmd)
	a.notesFlag(cmd)
	return cmd
}

func compare(root, a, b string, notes table.Book) (*table.Difference, error) {
	var tables [2]*table.Table
	for i, name := range []string{a, b} {
		run, err := results.Find(root, name)
		if err != nil {
			return nil, err
		}
		tables[i] = table.New(run.Cells, run.Plan.Probes)
		tables[i].Book = notes
	}
	return table.Diff(tables[0], tables[1]), nil
}
