// Command ctagent is the program inside the guest: init when it is the first process
// (package first, which then never comes to main), the server that init starts, and
// the suite that the host asks for. On the host it lists its probes.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/ctmatrix/ctmatrix/guest/internal/agent"
	"github.com/ctmatrix/ctmatrix/guest/internal/first"
	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/observe"
)

func main() {
	if filepath.Base(os.Args[0]) == modprobeCommand {
		os.Args = append([]string{observe.AgentPath, modprobeCommand}, os.Args[1:]...)
	}
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "%s%v\n", first.Prefix, err)
		os.Exit(exitStatus(err))
	}
}

// runCommand is the subcommand that runs probes.
const runCommand = "run"

// usageError is wrong usage, which has an exit status of its own.
type usageError string

func (e usageError) Error() string { return string(e) }

const usage = usageError("usage: ctagent list [--rows] [--probe GLOB]... | run [--probe GLOB]... [--shuffle SEED] [--clock virtual|host] [--capture] | stage PROBE | version")

func exitStatus(err error) int {
	var wrong usageError
	if errors.As(err, &wrong) {
		return 64
	}
	return 2
}

func run(args []string, stdout io.Writer) error {
	if len(args) == 0 {
		return usage
	}
	rest := args[1:]
	switch args[0] {
	case runCommand:
		ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
		defer stop()
		return runSuite(ctx, rest, stdout)
	case "list":
		return list(rest, stdout)
	case modprobeCommand:
		return modprobe(rest)
	case observe.Stage:
		return stage(rest, os.Stdin, stdout)
	case lab.SysctlCommand:
		return lab.SysctlMain(rest, stdout)
	}
	if len(rest) > 0 {
		return usage
	}
	switch args[0] {
	case "version":
		return version(stdout)
	case first.ServeCommand:
		return agent.Serve(context.Background(), stdout, &batch{})
	case observe.PowerOff:
		return first.PowerOff()
	}
	return usage
}
