package sched

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/images/initramfs"
	"github.com/ctmatrix/ctmatrix/images/kconfig"
	"github.com/ctmatrix/ctmatrix/images/kernel"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/vm"
)

// The phases of a cell and how long each may take. They are far beyond what a
// working guest needs on a slow host: they end hangs, they do not measure.
const (
	bootTime  = 3 * time.Minute
	suiteTime = 15 * time.Minute
	stopTime  = 20 * time.Second
	// settleTime is how long a guest that fell silent may take to end of itself.
	settleTime = 3 * time.Second
)

// consoleLines is how much of the console a cell that failed shows.
const consoleLines = 12

// run takes one cell through all of its phases and writes down how it ended. Its
// error is one of writing: how the cell fared is in the cell.
func (s *Scheduler) run(ctx context.Context, i int, cell *results.Cell, t task) error {
	c := &collector{cell: cell, selected: s.Selected, klog: io.Discard}
	c.packets = func(probe string, data []byte) error { return s.Out.PutPackets(i, probe, data) }
	put := func(cell results.Cell, rows []observe.Row) error { return s.Out.Put(i, cell, rows) }
	saver := newSaver(put)
	c.saved = func() { saver.save(*cell, c.rows) }
	if s.Ended != nil {
		c.ended = func(p results.Probe) { s.Ended(i, *cell, p) }
	}
	cell.Outcome = results.CellMissing
	outcome, reason := s.phases(ctx, i, c, t)
	cell.Outcome, cell.Reason = outcome, reason
	if err := saver.close(); err != nil {
		return err
	}
	open := observe.Missing
	if outcome == results.CellCrashed {
		open = observe.Crashed
	}
	c.close(open, reason)
	return put(*cell, c.rows)
}

// phases returns how the cell ended. Whatever it started has ended with it.
func (s *Scheduler) phases(ctx context.Context, i int, c *collector, t task) (results.CellOutcome, string) {
	k, err := s.fetch(ctx, i, c.cell, t)
	if err != nil {
		return failed(ctx, err)
	}
	describe(c.cell, t.Cell, k)
	s.configure(c.cell, k)
	machine, err := s.Booter.Describe(ctx, t.Guest)
	if err != nil {
		return failed(ctx, err)
	}
	id := s.identify(c.cell, t.Cell, machine)
	console, err := s.recall(i, c, t.Cell, id)
	if err != nil {
		return failed(ctx, err)
	}
	defer console.Close()
	klog, err := s.Out.KernelLog(i)
	if err != nil {
		return failed(ctx, err)
	}
	defer klog.Close()
	c.klog = klog
	if err := c.tellRecalled(); err != nil {
		return failed(ctx, err)
	}
	outcome, reason := c.standing()
	if len(c.notEnded(c.selected)) > 0 {
		outcome, reason = s.boot(ctx, i, c, t, k, console)
	}
	if outcome == results.CellOK && s.keeps(t.Cell) && len(c.cell.FromCache()) < len(c.cell.Probes) {
		s.remember(ctx, i, c, id)
	}
	return outcome, reason
}

// boot runs the probes that have not ended, when it is the cell's turn.
func (s *Scheduler) boot(ctx context.Context, i int, c *collector, t task, k *kernel.Kernel, console io.Writer) (results.CellOutcome, string) {
	if !t.away {
		t.release()
	}
	if err := s.jobs.take(ctx, t.rank); err != nil {
		return failed(ctx, err)
	}
	defer s.jobs.give()
	t.turn()
	t.release()
	began, probes := time.Now(), len(c.notEnded(c.selected))
	s.outlook.begin(i, began)
	s.Progress.State(i, *c.cell, "boots")
	layers, err := s.image(ctx, c.cell, k)
	if err != nil {
		return failed(ctx, err)
	}
	outcome, reason := s.guests(ctx, i, c, Image{
		Kernel: k.Image, Digest: k.Digest, Layers: layers, Machine: t.Guest, Args: t.Variant.Args,
		Console: console, Again: c.recalled > 0,
	})
	s.Progress.State(i, *c.cell, "ends")
	if outcome == results.CellOK && s.History != nil && !s.Capture { // which takes longer
		s.History.add(t.Cell, probes, time.Since(began))
	}
	return outcome, reason
}

func failed(ctx context.Context, err error) (results.CellOutcome, string) {
	if ctx.Err() != nil {
		return results.CellMissing, "interrupted"
	}
	return results.CellFailed, err.Error()
}

// mostCrashes bounds how many guests of a cell may crash before what is left of
// it is given up.
const mostCrashes = 3

// guests runs the suite: in one guest, or in one for each probe. A kernel that
// crashes ends the probe it crashed in; the next guest goes on behind it.
func (s *Scheduler) guests(ctx context.Context, i int, c *collector, image Image) (results.CellOutcome, string) {
	outcome, reason := c.standing()
	crashes := c.crashes()
	for _, batch := range s.batches(c.notEnded(c.selected)) {
		for len(batch) > 0 {
			began := len(c.cell.Probes)
			c.batch = batch
			end, why := s.guest(ctx, i, c, image)
			image.Again = true
			if end == results.CellOK {
				break
			}
			if end == results.CellMissing {
				return end, why // interrupted: the rest is still to be run, whatever crashed before
			}
			if outcome == results.CellOK {
				outcome, reason = end, why
			}
			if end == results.CellCrashed {
				crashes++
				c.endOpen(observe.Crashed, why)
			}
			if end != results.CellCrashed || len(c.cell.Probes) == began || crashes == mostCrashes {
				return outcome, reason
			}
			batch = c.notEnded(batch)
		}
	}
	return outcome, reason
}

// batches are the probes, of those named, that run in one guest each.
func (s *Scheduler) batches(names []string) [][]string {
	most := max(len(names), 1)
	switch {
	case s.FreshGuest:
		most = 1
	case s.Capture:
		most = captureBatch
	}
	return slices.Collect(slices.Chunk(names, most))
}

// captureBatch is how many probes a guest runs that captures, so that the channel
// holds what they may say: three quarters of it are for packets.
const captureBatch = observe.ChannelSize * 3 / 4 / observe.MaxCapture

// guest starts the image, runs a batch of probes in it and ends it.
func (s *Scheduler) guest(ctx context.Context, i int, c *collector, image Image) (results.CellOutcome, string) {
	began := time.Now()
	guest, err := s.Booter.Boot(ctx, image)
	if err != nil {
		return failed(ctx, err)
	}
	outcome, reason := s.suite(ctx, i, c, guest, began)
	c.cell.Guest.Args = guest.Args()
	stopping := time.Now()
	// The guest is ended even when the run is interrupted.
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
	defer cancel()
	if err := guest.Stop(end); err != nil && outcome == results.CellOK {
		c.cell.Warnings = append(c.cell.Warnings, "end the guest: "+err.Error())
	}
	step(c.cell, "stop", stopping)
	if outcome == results.CellFailed || outcome == results.CellCrashed {
		tail := guest.Tail()
		c.cell.Console = tail[max(0, len(tail)-consoleLines):]
	}
	return outcome, reason
}

// suite waits for the agent and has it run the batch.
func (s *Scheduler) suite(ctx context.Context, i int, c *collector, guest Guest, began time.Time) (results.CellOutcome, string) {
	boot, cancel := context.WithTimeout(ctx, bootTime)
	defer cancel()
	err := guest.Ready(boot)
	step(c.cell, guest.Came(), began)
	if err != nil {
		return died(ctx, guest, "while it booted", err)
	}
	s.Progress.State(i, *c.cell, "runs")
	suite := time.Now()
	run, cancel := context.WithTimeout(ctx, suiteTime)
	defer cancel()
	err = s.stream(run, c, guest)
	step(c.cell, "suite", suite)
	var garbled *observe.StreamError
	switch {
	case err == nil:
		return results.CellOK, ""
	case errors.As(err, &garbled) && !errors.Is(err, observe.ErrTruncated):
		return failed(ctx, err)
	}
	during := "before the first probe"
	if c.open != nil {
		during = "during " + c.open.Name
	} else if n := len(c.cell.Probes); n > c.recalled {
		during = "after " + c.cell.Probes[n-1].Name
	}
	return died(ctx, guest, during, err)
}

// died tells a kernel that ended from a rig that did.
func died(ctx context.Context, guest Guest, when string, err error) (results.CellOutcome, string) {
	// QEMU ends, and the console is whole, soon after a kernel that panicked.
	settle, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
	defer cancel()
	if ctx.Err() == nil {
		_ = guest.Wait(settle) // how it ended is read from the console
	}
	if line := guest.Death(); line != "" {
		return results.CellCrashed, fmt.Sprintf("the kernel died %s: %s", when, observe.Escape(line))
	}
	if ctx.Err() != nil {
		return results.CellMissing, "interrupted " + when
	}
	var fault *vm.GuestError
	if errors.Is(err, context.DeadlineExceeded) || errors.As(err, &fault) {
		return results.CellCrashed, "the guest hung " + when
	}
	return results.CellFailed, when + ": " + err.Error()
}

// stream runs the suite with one exec and reads what it says while it says it.
func (s *Scheduler) stream(ctx context.Context, c *collector, guest Guest) error {
	argv := []string{observe.AgentPath, "run"}
	for _, p := range c.batch {
		argv = append(argv, "--probe", p)
	}
	if s.Shuffle != nil {
		argv = append(argv, "--shuffle", fmt.Sprint(*s.Shuffle))
	}
	if c.cell.Guest.Clock == "host" {
		argv = append(argv, "--clock", "host")
	}
	if s.Capture {
		argv = append(argv, "--capture")
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	out, in := io.Pipe()
	read := make(chan error, 1)
	go func() {
		err := c.read(out)
		if err != nil {
			cancel() // nobody listens any more: the agent must not wait for that
		}
		out.CloseWithError(errors.Join(errStopped, err))
		read <- err
	}()
	complaints := &bounded{max: 4096}
	err := guest.Exec(ctx, argv, in, complaints)
	in.Close()
	streamErr := <-read
	if text := strings.TrimSpace(complaints.String()); err != nil && text != "" {
		err = fmt.Errorf("%w: %s", err, observe.Bounded(text))
	}
	switch {
	case streamErr == nil && err != nil:
		// All was said: how the speaker ended is worth a word, no more.
		c.cell.Warnings = append(c.cell.Warnings, "the suite's command: "+err.Error())
	case errors.Is(streamErr, observe.ErrTruncated) && err != nil:
		return err // the same told closer to its cause
	}
	return streamErr
}

// errStopped says that the reader of the stream gave up.
var errStopped = errors.New("record stream no longer read")

// bounded keeps the first max bytes that are written to it.
type bounded struct {
	bytes.Buffer
	max int
}

func (b *bounded) Write(p []byte) (int, error) {
	b.Buffer.Write(p[:min(len(p), max(0, b.max-b.Len()))])
	return len(p), nil
}

// step notes how long a phase that began at a time has taken, over all guests of
// the cell.
func step(cell *results.Cell, name string, began time.Time) {
	addStep(cell, name, time.Since(began))
}

func addStep(cell *results.Cell, name string, elapsed time.Duration) {
	for i := range cell.Steps {
		if s := &cell.Steps[i]; s.Name == name {
			s.Elapsed += elapsed
			return
		}
	}
	cell.Steps = append(cell.Steps, results.Step{Name: name, Elapsed: elapsed})
}

func (s *Scheduler) fetch(ctx context.Context, i int, cell *results.Cell, t task) (*kernel.Kernel, error) {
	if t.away {
		select {
		case s.fetches <- struct{}{}:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		defer func() { <-s.fetches }()
		s.Progress.State(i, *cell, "fetches")
		defer s.Progress.State(i, *cell, "fetched")
	}
	if t.Before != nil {
		// The run was begun with this one: no other will do where it has gone.
		t.Kernel.Ref = t.Kernel.Exact()
	}
	began := time.Now()
	k, err := s.Kernels.Fetch(ctx, t.Kernel)
	step(cell, "fetch", began)
	return k, err
}

// configure keeps what can matter of a kernel's configuration. That there is none
// spoils nothing but what could be told beside the rows.
func (s *Scheduler) configure(cell *results.Cell, k *kernel.Kernel) {
	if k.Config == "" {
		return
	}
	config, err := kconfig.Read(k.Config)
	if err != nil {
		s.warn(fmt.Sprintf("%s: options are not told beside its rows: %v", cell.Kernel.Label, err))
		return
	}
	cell.Config = config.Kept()
}

// image builds the layers that all boots of a kernel share.
func (s *Scheduler) image(ctx context.Context, cell *results.Cell, k *kernel.Kernel) ([]initramfs.Layer, error) {
	defer step(cell, "image", time.Now())
	cache := initramfs.Cache{Dir: s.ImageDir}
	if s.Whole != nil {
		cache.Check = func() error { return s.Whole(ctx, k) }
	}
	return Layers(cache, k, s.Agent, s.Modules)
}

// Layers are those of an image with an agent and modules, compressed where the kernel
// is known to unpack them.
func Layers(cache initramfs.Cache, k *kernel.Kernel, bin []byte, modules []string) ([]initramfs.Layer, error) {
	agent, err := initramfs.Agent(bin)
	if err != nil {
		return nil, err
	}
	cache.Signed = SignedOnly(k)
	m, err := cache.Modules(k.Digest, k.ModulesDir, k.Release, modules)
	if err != nil {
		return nil, err
	}
	layers := []initramfs.Layer{m.Layer, agent}
	if configOf(k)["CONFIG_RD_LZ4"] != "y" {
		return layers, nil
	}
	for i := range layers {
		if layers[i], err = cache.Packed(layers[i]); err != nil {
			return nil, err
		}
	}
	return layers, nil
}

// SignedOnly reports whether a kernel may refuse modules without a signature.
func SignedOnly(k *kernel.Kernel) bool { return configOf(k).SignedOnly() }

// configOf is a kernel's configuration, and nil where it is not known.
func configOf(k *kernel.Kernel) kconfig.Config {
	if k.Config == "" {
		return nil
	}
	config, err := kconfig.Read(k.Config)
	if err != nil {
		return nil // which is told where options are
	}
	return config
}
