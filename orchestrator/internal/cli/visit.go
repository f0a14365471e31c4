package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/images/kernel"
	"github.com/ctmatrix/ctmatrix/images/userland"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/remote"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/shell"
)

// visit runs what was asked for in a guest that is up: what comes before, the
// shell or the command, and what comes after. Its error is of the first kind that
// went wrong, or the command's status.
func (a *app) visit(ctx context.Context, v visit, g *shell.Guest, o shell.Options, began time.Time) error {
	limit, err := copyLimit(o)
	if err != nil {
		return err
	}
	for _, m := range v.mounts {
		if err := m.CopyIn(ctx, g.Client(), limit/2, a.warn); err != nil {
			return interrupted(ctx, err)
		}
	}
	if err := load(ctx, v, g); err != nil {
		return interrupted(ctx, err)
	}
	var stage *shell.Stage
	if v.probe != "" {
		if stage, err = shell.SetUp(ctx, g.Client(), v.probe); err != nil {
			return interrupted(ctx, err)
		}
	}
	if v.interactive() || v.gdb != 0 {
		if err := a.greet(ctx, v, g, o, time.Since(began)); err != nil {
			return interrupted(ctx, err)
		}
	}
	ran := a.session(ctx, v, g, o.Kernel, stage)
	after := a.after(ctx, v, g, stage, limit)
	status, ended := shell.Status(ran)
	switch {
	case ctx.Err() != nil:
		return interrupted(ctx, ran)
	case !ended:
		return a.lost(ran, g)
	case after != nil:
		return after
	}
	return statusOf(status)
}

// copyLimit is how many bytes may be copied: no more than the guest's memory
// holds.
func copyLimit(o shell.Options) (int64, error) {
	mb, err := o.Machine.MemoryMB()
	return int64(mb) << 20, err
}

func load(ctx context.Context, v visit, g *shell.Guest) error {
	switch {
	case slices.Contains(v.load, "all"):
		return g.LoadAll(ctx)
	case len(v.load) > 0:
		return g.Load(ctx, v.load)
	}
	return nil
}

// greet says what this is, in a few lines.
func (a *app) greet(ctx context.Context, v visit, g *shell.Guest, o shell.Options, took time.Duration) error {
	loaded, err := g.Loaded(ctx)
	if err != nil {
		return err
	}
	k := o.Kernel
	cpus := "1 CPU"
	if n := o.Machine.CPUs; n > 1 {
		cpus = fmt.Sprintf("%d CPUs", n)
	}
	a.remark(fmt.Sprintf("%s (%s), package %s, after %.1f s: %s, %s, %s, the host's clock", k.Upstream, k.Release, k.Version, took.Seconds(), g.Machine.Accel, cpus, o.Machine.Memory))
	names := "none"
	if n := len(loaded); n > 8 {
		names = fmt.Sprintf("%s and %d more", strings.Join(loaded[:7], ", "), n-7)
	} else if n > 0 {
		names = strings.Join(loaded, ", ")
	}
	a.remark(fmt.Sprintf("modules loaded: %s; %d more are loaded when asked for", names, len(g.Modules())-len(loaded)))
	if v.probe != "" {
		a.remark(fmt.Sprintf("%s is set up as its head has it (ctmatrix probes show %s); this is its box", v.probe, v.probe))
	}
	if v.gdb != 0 {
		for _, line := range gdbLines(k, v.gdb) {
			a.remark(line)
		}
	}
	return nil
}

// gdbLines say how a gdb joins in.
func gdbLines(k *kernel.Kernel, port int) []string {
	line, symbols := "gdb", ""
	file, pkg := shell.Symbols(k)
	if _, err := os.Stat(file); err == nil {
		line += " -q " + file
	} else if pkg != "" {
		symbols = fmt.Sprintf("the kernel's symbols are in the package %s, as %s", pkg, file)
	}
	lines := []string{fmt.Sprintf("%s -ex 'target remote 127.0.0.1:%d'", line, port)}
	if symbols != "" {
		lines = append(lines, symbols)
	}
	return lines
}

// session runs the shell or the command, on a terminal if the user has one.
func (a *app) session(ctx context.Context, v visit, g *shell.Guest, k *kernel.Kernel, stage *shell.Stage) error {
	in, out, tty := a.stdio()
	argv := v.argv
	if v.interactive() {
		argv = []string{"bash", "--rcfile", userland.RCFile}
		if tty {
			argv = append(argv, "-i")
		}
	}
	r := remote.Request{
		Argv: stage.Enter(argv), Stdin: in, Stdout: a.stdout, Stderr: a.stderr,
		Env: []remote.Variable{{Name: "HOME", Value: "/root"}, {Name: "LANG", Value: "C.UTF-8"}, {Name: userland.KernelVariable, Value: name(k, v)}},
	}
	if !tty {
		return g.Client().Do(ctx, r)
	}
	return onTerminal(ctx, g, r, in, out)
}

// name is the kernel's in the prompt, with the probe's where one is set up.
func name(k *kernel.Kernel, v visit) string {
	if v.probe != "" {
		return k.Upstream + " " + v.probe
	}
	return k.Upstream
}

func onTerminal(ctx context.Context, g *shell.Guest, r remote.Request, in, out *os.File) (err error) {
	t, err := shell.TakeTerminal(in, out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.Restore()) }()
	if r.Terminal, err = t.Remote(); err != nil {
		return err
	}
	r.Stdout = t
	return g.Client().Do(ctx, r)
}

// after takes the probe down and copies out what was asked for.
func (a *app) after(ctx context.Context, v visit, g *shell.Guest, stage *shell.Stage, limit int64) error {
	if ctx.Err() != nil || g.Death() != "" {
		return nil // there is nobody to ask
	}
	var errs []error
	for _, m := range v.mounts {
		if m.Back {
			errs = append(errs, m.CopyOut(ctx, g.Client(), limit))
		}
	}
	for _, get := range v.gets {
		errs = append(errs, get.CopyOut(ctx, g.Client(), limit))
	}
	if stage != nil {
		end, err := stage.Down()
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("take %s down: %w", v.probe, err))
		case end.Outcome != observe.Recorded:
			a.remark(fmt.Sprintf("%s, taken down: %s", v.probe, end.Reason))
		}
	}
	return errors.Join(errs...)
}

// lost says why a session ended that was not the command's doing.
func (a *app) lost(err error, g *shell.Guest) error {
	if line := g.Death(); line != "" {
		for _, l := range g.Tail() {
			a.remark(l)
		}
		return fmt.Errorf("the kernel died: %s", observe.Bounded(line))
	}
	return err
}
