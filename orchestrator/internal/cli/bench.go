package cli

import (
	"cmp"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/ctmatrix/ctmatrix/images/kernel"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/agentbin"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/bench"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/matrix"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/sched"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/vm"
)

// benchRepeats is how many boots of each kind bench makes unless told.
const benchRepeats = 3

func (a *app) benchCommand() *cobra.Command {
	var repeat int
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure how fast ctmatrix is, against a bare boot of the same kernels",
		Long: `Boots each kernel bare, to an init that powers off at once, on the machine, CPU
model and clock that guests have: once without any kernel argument, which is the
limit that all else is compared with, and once with those of guests. Then it runs
the matrix four times in a cache of its own: each guest booted and saved; restored,
one at a time; restored, two at a time; and where all is known.

CPU time is QEMU's, and steadier than the other on a host that does more. The
exit status is 0 whether goals are met or not.`,
		Example: `  ctmatrix bench
  ctmatrix bench --kernel debian:6.1 --probe 'loose/*' --repeat 1`,
		Args: a.args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.bench(cmd, repeat, asJSON) },
	}
	a.settingFlags(cmd)
	f := cmd.Flags()
	f.StringArray("kernel", nil, "kernel to measure, instead of the matrix's (may be given several times)")
	f.StringArray("probe", nil, "probes to ask, by glob, instead of the matrix's (several times); goals of the whole suite are not judged then")
	f.IntVar(&repeat, "repeat", benchRepeats, "boots of each kind, bare and to the agent; the cheapest counts")
	f.BoolVar(&asJSON, "json", false, "write JSON")
	return cmd
}

func (a *app) bench(cmd *cobra.Command, repeat int, asJSON bool) error {
	if repeat < 1 {
		return usage{fmt.Errorf("--repeat=%d: write a number from 1 on", repeat)}
	}
	c, err := a.settings(cmd)
	if err != nil {
		return err
	}
	b, err := a.benchOf(cmd, c)
	if err != nil {
		return err
	}
	b.Repeat = repeat
	report, err := b.Run(cmd.Context())
	nothing := report == nil || len(report.Kernels) == 0
	if cmd.Context().Err() != nil {
		told := "what had been measured by then is told"
		if nothing {
			told = "nothing had been measured by then"
		}
		a.warn("interrupted: " + told)
		err = exit{ExitFailed}
	}
	if nothing {
		return err
	}
	write := report.Text
	if asJSON {
		write = report.JSON
	}
	return cmp.Or(err, write(a.stdout))
}

// benchOf is a bench of the matrix's kernels, on the guests of its first variant.
func (a *app) benchOf(cmd *cobra.Command, c *matrix.Config) (*bench.Bench, error) {
	ctx := cmd.Context()
	c.Variants = c.Variants[:1]
	if clock := c.GuestFor(c.Variants[0]).Clock; clock != string(vm.Virtual) {
		return nil, usage{fmt.Errorf("guest: clock: %s: a bench compares guests on the virtual clock", clock)}
	}
	agent, err := agentbin.Agent(kernel.DefaultArch)
	if err != nil {
		return nil, err
	}
	listing, err := agentbin.Listing(ctx, c.Probes)
	if err != nil {
		return nil, globError(err)
	}
	all, err := agentbin.Listing(ctx, nil)
	if err != nil {
		return nil, err
	}
	catalog, err := a.catalog(c, nil)
	if err != nil {
		return nil, err
	}
	candidates, err := sched.Resolve(ctx, catalog, c.Kernels)
	if err != nil {
		return nil, refError(err)
	}
	b := &bench.Bench{
		Cells: cellsOf(c, candidates, c.Variants, 1), Kernels: catalog, QEMU: a.qemu, Agent: agent, Modules: all.Modules,
		All: len(all.Probes), Say: func(msg string) { a.live.line(msg) },
	}
	for _, p := range listing.Probes {
		b.Probes = append(b.Probes, p.Name)
	}
	b.Plan, err = plan(c, b.Cells, listing, time.Now())
	return b, err
}
