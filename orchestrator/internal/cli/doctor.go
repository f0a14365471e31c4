package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ctmatrix/ctmatrix/orchestrator/internal/agentbin"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/matrix"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/render"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/sched"
)

// finding is what the doctor says of one thing.
type finding struct {
	What   string `json:"what"`
	State  state  `json:"state"`
	Detail string `json:"detail"`
	Mend   string `json:"mend,omitempty"` // what to do, where that is known and needed
}

// state is how a thing stands.
type state string

const (
	stateOK   state = "ok"
	stateWarn state = "warn" // runs work without, or worse
	stateFail state = "fail" // no run works
)

// check looks at one thing that runs need.
type check struct {
	what string
	look func(ctx context.Context, c *matrix.Config) finding
}

func (a *app) doctorCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check what a run needs on this host, and say how to mend what is missing",
		Args:  a.args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.settings(cmd)
			if err != nil {
				return err
			}
			findings, bad := a.examine(cmd.Context(), c)
			if asJSON {
				err = a.json(findings)
			} else {
				err = a.showFindings(findings)
			}
			if err == nil && bad {
				return exit{ExitFailed}
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	a.settingFlags(cmd)
	return cmd
}

func (a *app) showFindings(findings []finding) error {
	var rows [][]string
	for _, f := range findings {
		detail := f.Detail
		if f.Mend != "" {
			detail += ": " + f.Mend
		}
		rows = append(rows, []string{f.What, string(f.State), detail})
	}
	return render.Columns(a.stdout, []string{"WHAT", "STATE", "DETAIL"}, rows, a.layout())
}

// examine looks at everything, in the order in which a run needs it.
func (a *app) examine(ctx context.Context, c *matrix.Config) (findings []finding, bad bool) {
	checks := []check{
		{"agent", checkAgent}, {"qemu", a.checkQEMU}, {"emulation", a.checkTCG}, {"virtual clock", a.checkClock}, {"kvm", a.checkKVM},
		{"saving", a.checkSaving}, {"sandbox", a.checkSandbox}, {"cpus", checkCPUs}, {"memory", checkMemory},
		{"cache", a.checkCache}, {"keyring", a.checkKeyring}, {"mirror", a.checkMirror}, {"terminal", a.checkTerminal},
	}
	for _, ch := range checks {
		f := ch.look(ctx, c)
		f.What, f.Detail = ch.what, strings.ReplaceAll(f.Detail, "\n", "; ")
		findings = append(findings, f)
		bad = bad || f.State == stateFail
	}
	return findings, bad
}

func ok(format string, args ...any) finding {
	return finding{State: stateOK, Detail: fmt.Sprintf(format, args...)}
}

// failed is a finding of an error, which says how to mend it.
func failed(err error) finding { return finding{State: stateFail, Detail: err.Error()} }

func checkAgent(ctx context.Context, _ *matrix.Config) finding {
	listing, err := agentbin.Listing(ctx, nil)
	if err != nil {
		return failed(err)
	}
	return ok("%d probes", len(listing.Probes))
}

// booter finds QEMU, before anything is fetched.
func (a *app) booter(ctx context.Context, cache string) (*sched.QEMU, error) {
	return sched.NewQEMU(ctx, sched.QEMUOptions{Program: a.qemu, Cache: cache, Cold: a.cold, Seed: a.seed, Verbose: a.say})
}
