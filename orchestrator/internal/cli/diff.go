package cli

import (
	"github.com/spf13/cobra"

	"github.com/ctmatrix/ctmatrix/orchestrator/internal/baseline"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/render"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/table"
)

func (a *app) diffCommand() *cobra.Command {
	var out, probe string
	var asJSON bool
	var by judging
	cmd := &cobra.Command{
		Use:   "diff A B",
		Short: "Print what differs between two runs, two kernels of the latest run, or a baseline and a run",
		Long: `diff prints what differs between two runs, or two kernels of the latest run.
Where A is the directory of a baseline, B is judged by it as run does. With --packets
it lays the packets of one probe alongside, on two kernels, and marks where they part.

` + failHelp,
		Example: `  ctmatrix diff runs/20261101T010000Z latest
  ctmatrix diff debian:5.10 debian:6.1
  ctmatrix diff baseline latest
  ctmatrix diff --packets tcp-rst/in-window debian:6.1 debian:7.3`,
		Args: a.args(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if probe != "" {
				return a.diffPackets(cmd, probe, [2]string(args))
			}
			var err error
			if by.fail, err = parseFail(by.words); err != nil {
				return err
			}
			if by.book, err = a.book(cmd); err != nil {
				return err
			}
			return a.diff(by, out, args[0], args[1], asJSON)
		},
	}
	cmd.Flags().StringVar(&out, "out", "runs", "directory of the runs, for names and for `latest`")
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	packetsFlag(cmd, &probe)
	neighboursFlag(cmd, &by)
	failFlag(cmd, &by)
	a.configFlag(cmd)
	a.notesFlag(cmd)
	return cmd
}

// diff compares what two names stand for.
func (a *app) diff(by judging, root, x, y string, asJSON bool) error {
	before, _, err := side(root, x, &by)
	if err != nil {
		return err
	}
	blessed := by.blessed
	after, run, err := side(root, y, &by)
	if err != nil {
		return err
	}
	if blessed != nil && run != nil {
		by.blessed, by.dir = blessed, x
		if asJSON {
			return a.against(by, after, run, render.Summary{Dir: run.Dir}, render.JudgedJSON)
		}
		return a.against(by, after, run, render.Summary{Dir: run.Dir}, a.judgedText)
	}
	d := table.Diff(before, after)
	if asJSON {
		err = render.DiffJSON(a.stdout, d)
	} else {
		err = render.DiffText(a.stdout, d, a.layout())
	}
	if err != nil {
		return err
	}
	return a.verdict(by, d.Findings())
}

// side is the table of what a name stands for: a baseline, which is left in by, or
// a run.
func side(root, name string, by *judging) (*table.Table, *results.Run, error) {
	if baseline.Is(name) {
		b, err := baseline.Read(name)
		if err != nil {
			return nil, nil, err
		}
		by.blessed = b
		t := b.Table()
		t.Book = by.book
		return t, nil, nil
	}
	run, err := results.Find(root, name)
	if err != nil {
		return nil, nil, err
	}
	t := table.New(run.Cells, run.Plan.Probes)
	t.Book = by.book
	return t, run, nil
}
