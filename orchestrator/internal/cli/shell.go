package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/images/initramfs"
	"github.com/ctmatrix/ctmatrix/images/kernel"
	"github.com/ctmatrix/ctmatrix/images/userland"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/agentbin"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/matrix"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/sched"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/shell"
)

// shellFlags are the flags of shell, as they were written.
type shellFlags struct {
	mounts, gets []string
	load         []string
	probe        string
	gdb          int
	memory       string
	appends      []string
	variant      string
}

// visit is what one call of shell was asked for.
type visit struct {
	ref    string
	argv   []string // empty: an interactive shell
	mounts []shell.Mount
	gets   []shell.Get
	load   []string
	probe  string
	gdb    int
}

const shellLong = `Boots a kernel and gives a terminal in it, or runs one command. The guest has
bash, nft, iptables (both kinds), conntrack, ip, ss, tcpdump, strace, ping, nc
and what belongs to them, from Debian's packages. It has no network but what is
made in it, nothing of the host's but copies that were asked for, and its clock
is the host's. Everything in it is gone when the shell ends.

Modules are loaded when something asks for them: the kernel, a program, modprobe,
or --load ("all" has everything that the suite loads).

With a command the exit status is the command's, 128 and the signal's number if
one killed it. Its output and complaints come apart, unless standard input and
output are terminals: then it has one, too.`

func (a *app) shellCommand() *cobra.Command {
	var flags shellFlags
	cmd := &cobra.Command{
		Use:   "shell REF [-- COMMAND [ARG]...]",
		Short: "Boot one kernel and sit in front of it",
		Long:  shellLong,
		Example: `  ctmatrix shell debian:6.1
  ctmatrix shell debian:7.3 -- nft list ruleset
  ctmatrix shell debian:6.12 --mount ./rules -- nft -f /mnt/rules/a.nft
  ctmatrix shell debian:6.12 --get /root/a.pcap:a.pcap
  ctmatrix shell debian:5.10 --probe table-full/syn
  ctmatrix shell tree:~/linux --gdb`,
		RunE: func(cmd *cobra.Command, args []string) error {
			v, err := flags.visit(args, cmd.ArgsLenAtDash())
			if err != nil {
				return usage{err}
			}
			return a.shell(cmd, v, flags)
		},
	}
	a.settingFlags(cmd)
	f := cmd.Flags()
	f.StringArrayVar(&flags.mounts, "mount", nil, "copy HOSTDIR[:GUESTDIR][:rw] into the guest, and with rw back when it ends (several times)")
	f.StringArrayVar(&flags.gets, "get", nil, "copy GUEST:HOST out of the guest when it ends (several times)")
	f.StringSliceVar(&flags.load, "load", nil, "load modules before the shell starts: names, or all")
	f.StringVar(&flags.probe, "probe", "", "set up what this probe's head asks for, and look around in its box")
	f.IntVar(&flags.gdb, "gdb", 0, "have a debugger take part, through this port of the host's loopback (default 1234)")
	f.Lookup("gdb").NoOptDefVal = "1234"
	f.StringVar(&flags.memory, "memory", "", fmt.Sprintf("the guest's memory (default: the variant's, %dM at least)", shell.LeastMemory))
	f.StringArrayVar(&flags.appends, "append", nil, "more arguments of the kernel (several times)")
	f.StringVar(&flags.variant, "variant", "", "the matrix's variant to take memory, CPUs and kernel arguments from")
	return cmd
}

// visit reads arguments and flags. Dash is how many arguments stand before --.
func (s shellFlags) visit(args []string, dash int) (visit, error) {
	v := visit{load: s.load, probe: s.probe, gdb: s.gdb}
	switch {
	case len(args) == 0 || dash == 0:
		return v, errors.New("shell: which kernel? write a ref such as `ctmatrix shell debian:6.1`")
	case len(args) > 1 && dash != 1:
		return v, fmt.Errorf("shell: %q is not part of the kernel's name: write -- before the command", args[1])
	}
	v.ref, v.argv = args[0], args[1:]
	for _, text := range s.mounts {
		m, err := shell.ParseMount(text)
		if err == nil {
			err = m.Check()
		}
		if err != nil {
			return v, fmt.Errorf("--mount %w", err)
		}
		v.mounts = append(v.mounts, m)
	}
	for _, text := range s.gets {
		g, err := shell.ParseGet(text)
		if err == nil {
			err = g.Check()
		}
		if err != nil {
			return v, fmt.Errorf("--get %w", err)
		}
		v.gets = append(v.gets, g)
	}
	if s.gdb < 0 || s.gdb > 65535 {
		return v, fmt.Errorf("--gdb=%d: write a port from 1 to 65535", s.gdb)
	}
	return v, nil
}

// machine is what the kernel runs on, and its arguments.
func (s shellFlags) machine(c *matrix.Config) (matrix.Guest, []string, error) {
	variant := matrix.Variant{}
	if s.variant != "" {
		chosen, err := chooseVariants(c, []string{s.variant})
		if err != nil {
			return matrix.Guest{}, nil, err
		}
		variant = chosen[0]
	}
	g := c.GuestFor(variant)
	args := slices.Clone(variant.Args)
	for _, text := range s.appends {
		args = append(args, strings.Fields(text)...)
	}
	if s.memory != "" {
		g.Memory = s.memory
		if err := g.Check(); err != nil {
			return g, nil, usage{fmt.Errorf("--memory %w", err)}
		}
		return g, args, nil
	}
	if mb, err := g.MemoryMB(); err != nil || mb < shell.LeastMemory {
		g.Memory = fmt.Sprintf("%dM", shell.LeastMemory)
	}
	return g, args, nil
}

// shell boots the kernel and runs what was asked for.
func (a *app) shell(cmd *cobra.Command, v visit, flags shellFlags) error {
	ctx := cmd.Context()
	c, err := a.settings(cmd)
	if err != nil {
		return err
	}
	o := shell.Options{GDB: v.gdb}
	if o.Machine, o.Args, err = flags.machine(c); err != nil {
		return err
	}
	if v.probe != "" {
		if _, err := findProbe(cmd, v.probe); err != nil {
			return err
		}
	}
	began := time.Now()
	q, err := a.prepareShell(ctx, c, v, &o)
	if err != nil {
		return interrupted(ctx, err)
	}
	if v.interactive() {
		a.live.line(fmt.Sprintf("booting %s (%s) with %s", o.Kernel.Upstream, o.Kernel.Release, o.Machine.Memory))
	}
	g, err := shell.Open(ctx, q, o)
	if err != nil {
		return interrupted(ctx, err)
	}
	err = a.visit(ctx, v, g, o, began)
	if serr := g.Stop(ctx); serr != nil && ctx.Err() == nil && g.Death() == "" {
		a.say("end the guest: " + serr.Error())
	}
	return err
}

func (v visit) interactive() bool { return len(v.argv) == 0 }

// prepareShell gets the kernel and the layers of its image, and the one who
// boots them.
func (a *app) prepareShell(ctx context.Context, c *matrix.Config, v visit, o *shell.Options) (*sched.QEMU, error) {
	bars := a.bars()
	defer bars.Close()
	catalog, err := a.catalog(c, bars)
	if err != nil {
		return nil, err
	}
	candidates, err := sched.Resolve(ctx, catalog, []string{v.ref})
	if err != nil {
		return nil, refError(err)
	}
	if len(candidates) != 1 {
		return nil, usage{fmt.Errorf("%s stands for %d kernels: name one, such as %s", v.ref, len(candidates), candidates[len(candidates)-1].Exact())}
	}
	q, err := a.booter(ctx, catalog.Store().Dir())
	if err != nil {
		return nil, err
	}
	if o.Agent, err = agentbin.Agent(kernel.DefaultArch); err != nil {
		return nil, err
	}
	all, err := agentbin.Listing(ctx, nil)
	if err != nil {
		return nil, err
	}
	o.Modules, o.ImageDir = all.Modules, imageDir(catalog.Store().Dir())
	if o.Kernel, err = catalog.Fetch(ctx, candidates[0]); err != nil {
		return nil, err
	}
	o.Check = func() error { return catalog.Whole(ctx, o.Kernel) }
	o.Programs, err = a.programs(ctx, catalog, bars)
	return q, err
}

// programs is the layer with the guest's programs.
func (a *app) programs(ctx context.Context, catalog *kernel.Catalog, progress kernel.Progress) (initramfs.Layer, error) {
	cache := userland.Cache{Dir: userland.Dir(catalog.Store().Dir()), Progress: progress}
	l, err := cache.Layer(ctx, catalog)
	if err != nil {
		return nil, err
	}
	if l.Made {
		a.live.line(fmt.Sprintf("the guest's programs take %.1f MiB, kept in the cache", float64(len(l.Layer))/(1<<20)))
	}
	return l.Layer, nil
}

// interrupted is err, or the status of what the user has ended.
func interrupted(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	status, _ := shell.Status(context.Canceled)
	return exit{status}
}

// remark writes a line of a guest's, escaped.
func (a *app) remark(text string) { a.live.line(observe.Bounded(text)) }

// files of the user's terminal, or of what stands for it.
func (a *app) stdio() (in, out *os.File, tty bool) {
	out, ok := a.stdout.(*os.File)
	return os.Stdin, out, ok && shell.IsTerminal(os.Stdin, out)
}
