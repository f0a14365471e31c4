package cli

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/ctmatrix/ctmatrix/orchestrator/internal/matrix"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/sched"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/vm"
)

func (a *app) checkQEMU(ctx context.Context, _ *matrix.Config) finding {
	version, err := vm.Version(ctx, a.qemu)
	if err != nil {
		return failed(err)
	}
	path, err := vm.Path(a.qemu)
	if err != nil {
		return failed(err)
	}
	return ok("version %s, %s", version, path)
}

// otherQEMU is what to do about a QEMU that lacks something.
const otherQEMU = "install the package qemu-system-x86 of a distribution, or name another program with --qemu"

func (a *app) checkTCG(ctx context.Context, _ *matrix.Config) finding {
	proof, err := vm.Prove(ctx, a.qemu, vm.TCG)
	return proven(proof, err, stateFail, otherQEMU)
}

// checkClock proves that QEMU counts instructions, which guests' time follows.
func (a *app) checkClock(ctx context.Context, c *matrix.Config) finding {
	proof, err := vm.ProveClock(ctx, a.qemu)
	without := stateWarn
	for _, v := range c.Variants {
		if c.GuestFor(v).Clock == string(vm.Virtual) {
			without = stateFail
		}
	}
	return proven(proof, err, without, otherQEMU+", or run on clock: host")
}

func (a *app) checkKVM(ctx context.Context, _ *matrix.Config) finding {
	proof, err := vm.Prove(ctx, a.qemu, vm.KVM)
	return proven(proof, err, stateWarn, "nothing need be done: software emulation is used")
}

// proven is a finding of guest code; without is the state if it did not run.
func proven(proof vm.Proof, err error, without state, mend string) finding {
	switch {
	case err != nil:
		return finding{State: without, Detail: err.Error()}
	case !proof.Works:
		return finding{State: without, Detail: proof.Reason, Mend: mend}
	}
	return ok("%s", proof.Reason)
}

// checkSaving asks whether guests can be saved, so that not every run boots them.
func (a *app) checkSaving(ctx context.Context, _ *matrix.Config) finding {
	saves, err := vm.HasSnapshots(ctx, a.qemu)
	switch {
	case err != nil:
		return finding{State: stateWarn, Detail: err.Error()}
	case !saves:
		return finding{State: stateWarn, Detail: "this QEMU has no virtio-pmem, so every run boots its guests", Mend: otherQEMU}
	}
	return ok("guests are booted once and restored after that")
}

// checkSandbox asks whether QEMU can give up the system calls that it has no use
// for.
func (a *app) checkSandbox(ctx context.Context, _ *matrix.Config) finding {
	has, err := vm.HasSandbox(ctx, a.qemu)
	switch {
	case err != nil:
		return finding{State: stateWarn, Detail: err.Error()}
	case !has:
		return finding{State: stateWarn, Detail: "this QEMU is built without seccomp, so nothing holds a guest that breaks out of it", Mend: otherQEMU}
	}
	return ok("QEMU gives up the system calls that it does not need")
}

func checkCPUs(_ context.Context, c *matrix.Config) finding {
	host := hostOf()
	jobs, err := c.JobCount(host)
	if err != nil {
		return failed(err)
	}
	most := 1
	for _, v := range c.Variants {
		most = max(most, c.GuestFor(v).CPUs)
	}
	f := ok("%d for %d guests at a time", host.CPUs, jobs)
	if most > 1 {
		f.Detail += fmt.Sprintf(" of up to %d", most)
	}
	if jobs*most > host.CPUs {
		f.State, f.Mend = stateWarn, "fewer jobs: in matrix.yaml run as fast"
	}
	return f
}

func checkMemory(_ context.Context, c *matrix.Config) finding {
	jobs, err := c.JobCount(hostOf())
	if err != nil {
		return failed(err)
	}
	each, err := c.Guest.MemoryMB()
	if err != nil {
		return failed(err)
	}
	free, err := sched.FreeMemoryMB()
	if err != nil {
		return failed(err)
	}
	f := ok("%d guests of %d MiB at a time; %d MiB are free", jobs, each, free)
	if free < jobs*each {
		f.State, f.Mend = stateFail, "lower guest: memory: or jobs: in matrix.yaml"
	}
	return f
}

// checkTerminal says how output will look, and what of it may not be shown.
func (a *app) checkTerminal(context.Context, *matrix.Config) finding {
	if !isTerminal(a.stdout) {
		return ok("output goes to no terminal: %d columns, no colours", a.width)
	}
	colours := "colours"
	if !a.color() {
		colours = "no colours"
	}
	f := ok("%d columns, %s", a.width, colours)
	switch locale := localeOf(os.Getenv); {
	case os.Getenv("TERM") == "dumb":
		f.State, f.Detail, f.Mend = stateWarn, f.Detail+", and TERM=dumb", "set NO_COLOR, and write standard error to a file"
	case !strings.Contains(strings.ToLower(strings.ReplaceAll(locale, "-", "")), "utf8"):
		f.State, f.Detail, f.Mend = stateWarn, f.Detail+fmt.Sprintf(", but the locale %q is not UTF-8, in which tables are written", locale), "set LC_ALL=C.UTF-8"
	}
	return f
}

// localeOf is the one of characters, as setlocale(3) finds it.
func localeOf(env func(string) string) string {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := env(name); v != "" {
			return v
		}
	}
	return "C"
}
