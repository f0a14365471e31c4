package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ctmatrix/ctmatrix/images/kernel"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/agentbin"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/matrix"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/render"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/sched"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/vm"
)

// finding is what the doctor says of one thing.
type finding struct {
	What   string `json:"what"`
	State  string `json:"state"` // "ok", "note" or "bad"
	Detail string `json:"detail"`
}

// check looks at one thing that runs need.
type check struct {
	what string
	look func(ctx context.Context, c *matrix.Config) (state, detail string)
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
		rows = append(rows, []string{f.What, f.State, f.Detail})
	}
	return render.Columns(a.stdout, []string{"WHAT", "STATE", "DETAIL"}, rows, a.layout())
}

func (a *app) examine(ctx context.Context, c *matrix.Config) (findings []finding, bad bool) {
	checks := []check{
		{"agent", a.checkAgent}, {"qemu", a.checkQEMU}, {"emulation", a.checkTCG}, {"kvm", a.checkKVM}, {"saving", a.checkSaving},
		{"memory", checkMemory}, {"cache", a.checkCache}, {"mirror", a.checkMirror},
	}
	for _, ch := range checks {
		state, detail := ch.look(ctx, c)
		findings = append(findings, finding{ch.what, state, strings.ReplaceAll(detail, "\n", "; ")})
		bad = bad || state == stateBad
	}
	return findings, bad
}

const (
	stateOK   = "ok"
	stateNote = "note" // works without
	stateBad  = "bad"
)

func verdict(err error, detail string) (string, string) {
	if err != nil {
		return stateBad, err.Error()
	}
	return stateOK, detail
}

func (a *app) checkAgent(ctx context.Context, _ *matrix.Config) (string, string) {
	listing, err := agentbin.Listing(ctx, nil)
	if err != nil {
		return verdict(err, "")
	}
	return stateOK, fmt.Sprintf("%d probes", len(listing.Probes))
}

func (a *app) checkQEMU(ctx context.Context, _ *matrix.Config) (string, string) {
	version, err := vm.Version(ctx, a.qemu)
	return verdict(err, "version "+version)
}

func (a *app) checkTCG(ctx context.Context, _ *matrix.Config) (string, string) {
	return a.prove(ctx, vm.TCG, stateBad)
}

func (a *app) checkKVM(ctx context.Context, _ *matrix.Config) (string, string) {
	return a.prove(ctx, vm.KVM, stateNote)
}

// prove runs guest code; without is the state if it does not run.
func (a *app) prove(ctx context.Context, accel vm.Accel, without string) (string, string) {
	proof, err := vm.Prove(ctx, a.qemu, accel)
	if err != nil {
		return without, err.Error()
	}
	if !proof.Works {
		return without, proof.Reason + map[string]string{stateNote: ": software emulation is used", stateBad: ""}[without]
	}
	return stateOK, proof.Reason
}

// checkSaving asks whether guests can be saved, so that not every run boots them.
func (a *app) checkSaving(ctx context.Context, _ *matrix.Config) (string, string) {
	saves, err := vm.HasSnapshots(ctx, a.qemu)
	if err != nil {
		return stateNote, err.Error()
	}
	if !saves {
		return stateNote, "this QEMU has no virtio-pmem: every run boots its guests"
	}
	return stateOK, "guests are booted once and restored after that"
}

func checkMemory(_ context.Context, c *matrix.Config) (string, string) {
	jobs, err := c.JobCount(hostOf())
	if err != nil {
		return verdict(err, "")
	}
	each, err := c.Guest.MemoryMB()
	if err != nil {
		return verdict(err, "")
	}
	free, err := sched.FreeMemoryMB()
	if err != nil {
		return verdict(err, "")
	}
	detail := fmt.Sprintf("%d guests of %d MiB at a time; %d MiB are free", jobs, each, free)
	if free < jobs*each {
		return stateBad, detail + ": lower guest: memory: or jobs: in matrix.yaml"
	}
	return stateOK, detail
}

func (a *app) checkCache(_ context.Context, c *matrix.Config) (string, string) {
	catalog, err := a.catalog(c, nil)
	if err != nil {
		return verdict(err, "")
	}
	dir := catalog.Store().Dir()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return stateBad, fmt.Sprintf("%v: set %s to a directory that can be written", err, cacheVariable)
	}
	probe := filepath.Join(dir, fmt.Sprintf(".doctor-%d", os.Getpid()))
	if err := os.WriteFile(probe, nil, 0o600); err != nil {
		return stateBad, fmt.Sprintf("%v: set %s to a directory that can be written", err, cacheVariable)
	}
	if err := os.Remove(probe); err != nil {
		return verdict(err, "")
	}
	stored, err := catalog.Stored()
	return verdict(err, fmt.Sprintf("%s: %d kernels", dir, len(stored)))
}

func (a *app) checkMirror(ctx context.Context, c *matrix.Config) (string, string) {
	catalog, err := a.catalog(c, nil)
	if err != nil {
		return verdict(err, "")
	}
	all, err := catalog.Resolve(ctx, kernel.SchemeDebian+":*")
	if err != nil {
		return verdict(err, "")
	}
	return stateOK, fmt.Sprintf("offers %d kernels, %s to %s", len(all), all[0].Version, all[len(all)-1].Version)
}

// booter finds QEMU, before anything is fetched.
func (a *app) booter(ctx context.Context, cache string) (*sched.QEMU, error) {
	return sched.NewQEMU(ctx, sched.QEMUOptions{Program: a.qemu, Cache: cache, Cold: a.cold, Seed: a.seed, Verbose: a.say})
}
