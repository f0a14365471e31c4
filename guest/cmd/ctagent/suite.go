package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"runtime/debug"
	"slices"
	"strconv"

	"github.com/ctmatrix/ctmatrix/guest/internal/agent"
	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/internal/modules"
	"github.com/ctmatrix/ctmatrix/guest/internal/suite"
	"github.com/ctmatrix/ctmatrix/guest/observe"
)

// list prints what the host must know before it boots a guest.
func list(args []string, w io.Writer) error {
	opts, err := runOptions(args)
	if err != nil {
		return err
	}
	l, err := suite.Listing(opts)
	if err != nil {
		return err
	}
	l.Modules = append(l.Modules, agent.Modules...)
	slices.Sort(l.Modules)
	l.Modules = slices.Compact(l.Modules)
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	return e.Encode(l)
}

// version prints what the agent was built from.
func version(w io.Writer) error {
	revision := "unknown revision"
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				revision = s.Value
			}
		}
	}
	_, err := fmt.Fprintf(w, "ctagent %s, record stream %d\n", revision, observe.Protocol)
	return err
}

// runSuite runs probes and writes the record stream.
func runSuite(ctx context.Context, args []string, w io.Writer) error {
	opts, err := runOptions(args)
	if err != nil {
		return err
	}
	loader, err := modules.Open()
	if err != nil {
		return err
	}
	return runWith(ctx, loader, opts, w)
}

// batch runs jobs that come through a channel.
type batch struct{ loader *modules.Loader }

func (b *batch) Prepare() (err error) {
	if b.loader, err = modules.Open(); err != nil {
		return err
	}
	return suite.Prepare(b.loader)
}

func (b *batch) Run(argv []string, out io.Writer) error {
	if len(argv) == 0 || argv[0] != runCommand {
		return fmt.Errorf("job %q is not to run probes", argv)
	}
	opts, err := runOptions(argv[1:])
	if err != nil {
		return err
	}
	return runWith(context.Background(), b.loader, opts, out)
}

// heapLimit is far above what the suite needs at a time, and far below what the
// least guest has.
const heapLimit = 48 << 20

// collectRarely has Go collect garbage only where memory runs short. Otherwise it
// does so every two minutes whatever happens, and an idle guest's minutes pass in
// no time: five days took three minutes of the host's for that alone.
func collectRarely() {
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(heapLimit)
}

func runWith(ctx context.Context, loader *modules.Loader, opts suite.Options, w io.Writer) error {
	collectRarely()
	if err := lab.WatchRarely(); err != nil {
		return fmt.Errorf("slow down Go's monitor: %w", err)
	}
	out := bufio.NewWriter(w)
	records := observe.NewWriter(out)
	err := suite.Run(ctx, opts, loader, func(r observe.Record) error {
		if err := records.Write(r); err != nil {
			return err
		}
		// The host learns of a probe before the next one runs, so that it knows
		// which one crashed the guest.
		if r.Row != nil || r.Log != nil || r.Packet != nil || r.Step != nil {
			return nil
		}
		return out.Flush()
	})
	return errors.Join(err, out.Flush())
}

func runOptions(args []string) (suite.Options, error) {
	var opts suite.Options
	flags := flag.NewFlagSet("run", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.Func("probe", "run what matches this glob", func(s string) error {
		opts.Patterns = append(opts.Patterns, s)
		return nil
	})
	flags.Func("shuffle", "run in the order that this seed gives", func(s string) (err error) {
		opts.Shuffle = true
		opts.Seed, err = strconv.ParseUint(s, 10, 64)
		return err
	})
	flags.Func("clock", "what guest time follows: virtual or host", func(s string) error {
		if s != "virtual" && s != "host" {
			return fmt.Errorf("%q is neither virtual nor host", s)
		}
		opts.HostClock = s == "host"
		return nil
	})
	flags.BoolVar(&opts.Capture, "capture", false, "tell what passed the links, and what tracking thought of it")
	flags.BoolVar(&opts.Rows, "rows", false, "list the rows of each probe, and what they mean")
	if err := flags.Parse(args); err != nil {
		return opts, usageError(err.Error() + "; " + string(usage))
	}
	if flags.NArg() > 0 {
		return opts, usage
	}
	return opts, nil
}
