package sched

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/images/initramfs"
	"github.com/ctmatrix/ctmatrix/images/kconfig"
	"github.com/ctmatrix/ctmatrix/images/kernel"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/vm"
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
	c.close(reason)
	return put(*cell, c.rows)
}

// phases returns how the cell ended. Whatever it started has ended with it.
func (s *Scheduler) phases(ctx context.Context, i int, c *collector, t task) (results.CellOutcome, string) {
	k, unread, err := s.find(ctx, i, c.cell, t)
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
		if unread {
			if err := s.read(ctx, i, c.cell, t, k); err != nil {
				return failed(ctx, err)
			}
		}
		outcome, reason = s.boot(ctx, i, c, &t, k, console)
	}
	if outcome == results.CellOK && !c.lost && id.ID() == c.cell.ID && s.keeps(t.Cell) && len(c.cell.FromCache()) < len(c.cell.Probes) {
		s.remember(ctx, i, c, id)
	}
	return outcome, reason
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
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	leash := &leash{guest: guest, cancel: cancel}
	leash.phase("the suite did not begin", helloTime)
	c.went = func() { leash.phase("it did not end", probeTime) }
	out, in := io.Pipe()
	read := make(chan error, 1)
	go func() {
		err := c.read(out)
		if err != nil {
			cancel(err) // nobody listens any more: the agent must not wait for that
		}
		out.CloseWithError(errors.Join(errStopped, err))
		read <- err
	}()
	complaints := &bounded{max: 4096}
	err := guest.Exec(ctx, argv, in, complaints)
	in.Close()
	streamErr := <-read
	leash.loosen()
	if text := strings.TrimSpace(complaints.String()); err != nil && text != "" {
		err = fmt.Errorf("%w: %s", err, observe.Bounded(text))
	}
	var late *vm.LateError
	switch {
	case errors.As(context.Cause(ctx), &late) && (errors.Is(streamErr, observe.ErrTruncated)):
		return context.Cause(ctx)
	case streamErr == nil && err != nil:
		// All was said: how the speaker ended is worth a word, no more.
		c.warn("the suite's command: " + err.Error())
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

// find returns the cell's kernel, and whether its files have yet to be read: what is
// known of its cell needs none of them.
func (s *Scheduler) find(ctx context.Context, i int, cell *results.Cell, t task) (k *kernel.Kernel, unread bool, err error) {
	if s.Held != nil && !t.away {
		began := time.Now()
		if k := s.Held(ctx, t.Kernel); k != nil {
			step(cell, "fetch", began)
			return k, true, nil
		}
	}
	k, err = s.fetch(ctx, i, cell, t)
	return k, false, err
}

// read has the files of a kernel checked that is about to be booted, and mended where
// they have changed.
func (s *Scheduler) read(ctx context.Context, i int, cell *results.Cell, t task, k *kernel.Kernel) error {
	again, err := s.fetch(ctx, i, cell, t)
	if err == nil && again.Digest != k.Digest {
		err = errors.New("its files in the store had changed, and what was fetched for them is another kernel: run it anew")
	}
	return err
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
	var modules []string
	if s.Modules != nil {
		var err error
		if modules, err = s.Modules(); err != nil {
			return nil, err
		}
	}
	return Layers(cache, k, s.Agent, modules)
}

// Layers are those of an image with an agent and modules, compressed where the kernel
// is known to unpack them.
func Layers(cache initramfs.Cache, k *kernel.Kernel, bin []byte, modules []string) ([]initramfs.Layer, error) {
	config := configOf(k)
	cache.Signed = config.SignedOnly()
	if config["CONFIG_RD_LZ4"] == "y" {
		return packedLayers(cache, k, bin, modules)
	}
	agent, err := initramfs.Agent(bin)
	if err != nil {
		return nil, err
	}
	m, err := cache.Modules(k.Digest, k.ModulesDir, k.Release, modules)
	if err != nil {
		return nil, err
	}
	return []initramfs.Layer{m.Layer, agent}, nil
}

// packedLayers makes both at once: to compress them is most of what a new image takes.
func packedLayers(cache initramfs.Cache, k *kernel.Kernel, bin []byte, modules []string) ([]initramfs.Layer, error) {
	layers, errs := make([]initramfs.Layer, 2), make([]error, 2)
	var both sync.WaitGroup
	both.Go(func() { layers[0], errs[0] = cache.PackedModules(k.Digest, k.ModulesDir, k.Release, modules) })
	both.Go(func() { layers[1], errs[1] = cache.PackedAgent(bin) })
	both.Wait()
	return layers, cmp.Or(errs[0], errs[1])
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
