package sched

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/images/kernel/store"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/splat"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/vm"
)

// savedKey names the guest that an image becomes on a machine: everything that
// goes into it, and the QEMU that must read its state.
func (q *QEMU) savedKey(image Image, m Machine) string {
	h := sha256.New()
	part := func(b []byte) { fmt.Fprintf(h, "%d:%s", len(b), b) }
	for _, s := range []string{savedVersion, image.Digest, q.build, m.Machine} {
		part([]byte(s))
	}
	for _, list := range [][]string{m.Args, image.Args} {
		part(fmt.Appendf(nil, "%q", list))
	}
	for _, l := range image.Layers {
		part(l)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// restored is a guest that goes on where it was saved. If nobody has saved it
// yet, it is booted and saved first.
type restored struct {
	ctx     context.Context // in which the machine may run
	q       *QEMU
	image   Image
	machine Machine

	vm      *vm.VM        // the last that was started; nil before
	before  []splat.Splat // what the kernel said of itself before it was saved
	booted  bool          // to be saved
	channel *observe.Channel
	state   *os.File
	release []func() // what is done last, in order
}

func (g *restored) Ready(ctx context.Context) error {
	dir, err := g.q.guests.get(ctx, g.q.savedKey(g.image, g.machine), g.save)
	if err != nil {
		return err
	}
	if err := g.tellBoot(dir); err != nil {
		return err
	}
	if g.state, err = os.Open(filepath.Join(dir, savedState)); err != nil {
		return fmt.Errorf("restore a guest: %w", err)
	}
	g.release = append(g.release, func() { g.state.Close() }) // only read
	v, err := g.q.machine(g.image.Machine, g.machine)
	if err != nil {
		return err
	}
	v.Console, v.Incoming = g.image.Console, true
	v.RAM = &vm.RAM{Path: filepath.Join(dir, savedRAM), Private: true}
	if err := writable(v.RAM.Path); err != nil {
		return err
	}
	if err := g.start(v); err != nil {
		return err
	}
	return v.Up(ctx)
}

// writable says in plain words why QEMU will not open a guest's memory: it opens
// it for writing, though it only ever changes a copy.
func writable(ram string) error {
	f, err := os.OpenFile(ram, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("restore a guest: %w, which QEMU wants to write: set %s to a directory that can be written, or boot every guest with --cold", err, store.EnvDir)
	}
	return f.Close()
}

// tellBoot reads what the guest printed before it was saved, and copies it to its
// console, unless that has it already.
func (g *restored) tellBoot(dir string) error {
	before, err := os.Open(filepath.Join(dir, savedConsole))
	if err != nil {
		return fmt.Errorf("restore a guest: %w", err)
	}
	defer before.Close() // only read
	said := vm.NewScreen()
	var to io.Writer = said
	if !g.booted && !g.image.Again {
		to = io.MultiWriter(said, g.image.Console)
	}
	if _, err := io.Copy(to, before); err != nil {
		return fmt.Errorf("copy the saved guest's console: %w", err)
	}
	g.before = said.Splats()
	return nil
}

// start starts a machine with a channel.
func (g *restored) start(v *vm.VM) error {
	mem, err := v.Share(observe.ChannelSize)
	if err != nil {
		return err
	}
	g.release = append(g.release, func() { _ = unix.Munmap(mem) }) // fails only on what is not mapped
	if g.channel, err = observe.NewChannel(mem); err != nil {
		return err
	}
	g.release = append(g.release, g.q.pin(v))
	if err := v.Start(g.ctx); err != nil {
		return err
	}
	g.vm = v
	came := "boot"
	if v.Incoming {
		came = "restore"
	}
	g.q.tell(came, v)
	return nil
}

// save boots the image and saves the guest in dir when it waits for a job.
func (g *restored) save(ctx context.Context, dir string) (err error) {
	g.booted = true
	defer g.free()
	console, err := os.Create(filepath.Join(dir, savedConsole))
	if err != nil {
		return fmt.Errorf("save a guest: %w", err)
	}
	defer func() { err = errors.Join(err, console.Close()) }()
	v, err := g.q.machine(g.image.Machine, g.machine)
	if err != nil {
		return err
	}
	v.Append = g.image.Args
	v.Console = io.MultiWriter(console, g.image.Console)
	ram, err := v.NewRAM()
	if err != nil {
		return err
	}
	defer ram.Close() // it is in memory only
	if err := load(v, g.image); err != nil {
		return err
	}
	if err := g.start(v); err != nil {
		return err
	}
	defer v.Stop()
	if err := come(ctx, v); err != nil {
		return err
	}
	// The line comes a few instructions before the word.
	err = phase(ctx, v, "the agent did not get ready", readyTime, func(ctx context.Context) error {
		for !g.channel.Ready() {
			if err := look(ctx); err != nil {
				return fmt.Errorf("wait for the guest to be ready: %w", err)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	state, err := os.Create(filepath.Join(dir, savedState))
	if err != nil {
		return fmt.Errorf("save a guest: %w", err)
	}
	if err := errors.Join(v.Save(ctx, state), state.Close()); err != nil {
		return err
	}
	v.Stop() // only then is its memory whole
	if err := copySparse(filepath.Join(dir, savedRAM), ram); err != nil {
		return fmt.Errorf("save a guest: %w", err)
	}
	return nil
}

// lookEvery is how often a channel is looked at, which the guest does not notice.
const lookEvery = 2 * time.Millisecond

// look waits until it is time to look at a channel again.
func look(ctx context.Context) error {
	timer := time.NewTimer(lookEvery)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// errNoEnd says that a guest ended, or its QEMU, before its job did.
var errNoEnd = errors.New("the guest ended before its job")

// JobError is what a suite says that could not go on.
type JobError struct{ Text string }

func (e *JobError) Error() string { return "the job ended: " + e.Text }

// Exec leaves the job in the channel before the guest goes on, so that it finds
// it at the first look, and copies what it says.
func (g *restored) Exec(ctx context.Context, argv []string, stdout, _ io.Writer) error {
	if err := g.channel.Put(argv[1:]); err != nil {
		return err
	}
	if err := g.vm.Restore(ctx, g.state); err != nil {
		return err
	}
	watch, stop := context.WithCancel(ctx)
	defer stop()
	gone := make(chan error, 1)
	go func() { gone <- g.vm.Wait(watch) }()
	for read := 0; ; {
		var over error
		select {
		case err := <-gone:
			over = errors.Join(errNoEnd, err)
		default:
		}
		// All that was said before the end is there by now.
		ended, complaint := g.channel.Ended()
		if out := g.channel.Output(read); len(out) > 0 {
			read += len(out)
			if _, err := stdout.Write(out); err != nil {
				return err
			}
		}
		switch {
		case ended && complaint != "":
			return &JobError{observe.Bounded(complaint)}
		case ended:
			return nil
		case over != nil:
			return over
		}
		if err := look(ctx); err != nil {
			return err
		}
	}
}

// Stop ends the guest, which has nothing to lose.
func (g *restored) Stop(context.Context) error {
	if g.vm != nil {
		g.vm.Stop()
	}
	g.free()
	return nil
}

func (g *restored) free() {
	for _, f := range g.release {
		f()
	}
	g.release = nil
}

func (g *restored) Wait(ctx context.Context) error {
	if g.vm == nil {
		return nil
	}
	return g.vm.Wait(ctx)
}

func (g *restored) Tail() []string {
	if g.vm == nil {
		return nil
	}
	return g.vm.Tail()
}

func (g *restored) Splats() []splat.Splat {
	if g.vm == nil {
		return g.before
	}
	return append(slices.Clone(g.before), g.vm.Splats()...)
}

func (g *restored) Reset() bool { return g.vm != nil && g.vm.Reset() }

func (g *restored) Within(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	if g.vm == nil {
		return context.WithTimeout(ctx, limit)
	}
	return g.vm.Within(ctx, limit)
}

func (g *restored) Interrupt(ctx context.Context) error {
	if g.vm == nil {
		return errNoGuest
	}
	return g.vm.Interrupt(ctx)
}

// errNoGuest says that no machine was started yet.
var errNoGuest = errors.New("no guest was started")

func (g *restored) Args() []string {
	if g.vm == nil {
		return nil
	}
	return g.vm.Args()
}

// Came is "boot" where the guest was booted to be saved.
func (g *restored) Came() string {
	if g.booted {
		return "boot"
	}
	return "restore"
}
