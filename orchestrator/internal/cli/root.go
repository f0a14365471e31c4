// Package cli is the command line, one file a command. It decides what is
// written where and with which exit status, and leaves the work to others.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/matrix"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/render"
)

// The exit statuses. They are part of the command line's contract.
const (
	ExitSame    = 0  // nothing that is not explained
	ExitChanged = 1  // behaviour differs and nothing explains it
	ExitFailed  = 2  // the tool or a cell failed
	ExitUsage   = 64 // the command was called wrongly (EX_USAGE of sysexits.h)
)

// Version is what the build says it is.
var Version = "unknown"

// app is what commands share.
type app struct {
	stdout, stderr io.Writer
	live           *bars   // through which lines go to stderr
	events         *events // what goes on, for a program; nil where it is not wanted
	eventsTo       string
	verbose        bool
	noColor        bool
	width          int
	config         string
	qemu           string
	cold           bool   // boot every guest
	seed           uint32 // of virtual machines; 0 is the default
	overrides      map[string]matrix.Override
	again          string // what goes on with the run that was interrupted; "" where none was
}

// exit ends a command with a status and no further word.
type exit struct{ status int }

func (e exit) Error() string { return fmt.Sprint("exit status ", e.status) }

// usage is an error in how the command was called.
type usage struct{ error }

func (u usage) Unwrap() error { return u.error }

// Main runs the command line and returns its exit status. The context ends when
// the user interrupts.
func Main(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	a := &app{stdout: stdout, stderr: stderr, overrides: map[string]matrix.Override{}, live: &bars{out: stderr}}
	root := a.root()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err != nil && !errors.As(err, &exit{}) {
		for _, line := range strings.Split(strings.TrimSpace(err.Error()), "\n") {
			// What it says may be a mirror's words, or a guest's.
			fmt.Fprintf(stderr, "ctmatrix: %s\n", observe.Escape(line))
		}
	}
	return exitStatus(err)
}

// exitStatus is how a command that came to an error ends.
func exitStatus(err error) int {
	var status exit
	switch {
	case err == nil:
		return ExitSame
	case errors.As(err, &status):
		return status.status
	case errors.As(err, &usage{}):
		return ExitUsage
	}
	return ExitFailed
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "ctmatrix",
		Short: "ctmatrix measures how Linux connection tracking behaves, kernel by kernel",
		Long: `ctmatrix boots real kernels in QEMU, asks each the same questions about
connection tracking with real packets, and prints where the answers differ.

Exit status: 0 nothing differs, 1 behaviour differs, 2 the tool or a kernel's
run failed, 64 the command was called wrongly.`,
		SilenceUsage: true, SilenceErrors: true, SuggestionsMinimumDistance: 2,
		Args: a.args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRun: func(cmd *cobra.Command, _ []string) {
			if a.width == 0 {
				a.width = widthOf(a.stdout)
			}
		},
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usage{fmt.Errorf("%w: see `%s --help`", err, cmd.CommandPath())}
	})
	f := root.PersistentFlags()
	f.BoolVarP(&a.verbose, "verbose", "v", false, "say more on standard error: warnings, QEMU's command line")
	f.BoolVar(&a.noColor, "no-color", false, "write no colours (also: NO_COLOR in the environment)")
	f.IntVar(&a.width, "width", 0, "columns to write for (default: the terminal's, else 80)")
	f.StringVar(&a.qemu, "qemu", "qemu-system-x86_64", "QEMU to run: a name to look up in PATH, or a path")
	root.AddCommand(
		a.runCommand(), a.diffCommand(), a.blessCommand(), a.timelineCommand(), a.bisectCommand(), a.stabilityCommand(),
		a.reportCommand(), a.shellCommand(), a.benchCommand(), a.probesCommand(), a.kernelsCommand(), a.doctorCommand(), a.versionCommand(), a.manCommand(),
	)
	root.AddCommand(a.topics()...)
	a.completions(root)
	return root
}

// args marks complaints of a validator as errors of usage.
func (a *app) args(validate cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := validate(cmd, args); err != nil {
			if near := cmd.SuggestionsFor(strings.Join(args, " ")); len(near) > 0 && cmd.HasSubCommands() {
				return usage{fmt.Errorf("unknown command %q: did you mean `%s %s`?", args[0], cmd.CommandPath(), near[0])}
			}
			return usage{fmt.Errorf("%w: see `%s --help`", err, cmd.CommandPath())}
		}
		return nil
	}
}

// warn writes a line that the user should see.
func (a *app) warn(msg string) { a.live.line("warning: " + msg) }

// say writes a line for those who asked for more.
func (a *app) say(msg string) {
	if a.verbose {
		a.live.line(msg)
	}
}

func (a *app) layout() render.Options {
	return render.Options{Width: a.width, Color: a.color()}
}

func (a *app) color() bool {
	_, no := os.LookupEnv("NO_COLOR")
	return !a.noColor && !no && isTerminal(a.stdout)
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// widthOf is the width of a terminal, or what is customary elsewhere.
func widthOf(w io.Writer) int {
	if f, ok := w.(*os.File); ok {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
			return width
		}
	}
	return 80
}
