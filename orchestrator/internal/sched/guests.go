package sched

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/images/kernel"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/splat"
)

// boot runs the probes that have not ended, when it is the cell's turn. Where no
// machine is asked for and the usual one does not print a thing, another may: t is
// that then, and the cell is of its identity.
func (s *Scheduler) boot(ctx context.Context, i int, c *collector, t *task, k *kernel.Kernel, console io.Writer) (results.CellOutcome, string) {
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
	image := Image{
		Kernel: k.Image, Digest: k.Digest, Layers: layers, Machine: t.Guest, Args: t.Variant.Args,
		Console: console, Again: c.recalled > 0,
	}
	outcome, reason := s.guests(ctx, i, c, image)
	if c.silent && t.Guest.Machine == anyMachine && ctx.Err() == nil {
		t.Guest.Machine, image.Machine.Machine = otherMachine, otherMachine
		image.Again = true
		outcome, reason = s.elsewhere(ctx, i, c, t, image, reason)
	}
	s.Progress.State(i, *c.cell, "ends")
	if outcome == results.CellOK && s.History != nil && !s.Capture { // which takes longer
		s.History.add(t.Cell, probes, time.Since(began))
	}
	return outcome, reason
}

// anyMachine leaves the choice to us, and otherMachine is what is taken where the
// usual one stays dark: it is older, and has no PCI Express.
const (
	anyMachine   = "auto"
	otherMachine = "pc"
)

// elsewhere runs the cell on the task's machine, because the usual one failed for a
// reason.
func (s *Scheduler) elsewhere(ctx context.Context, i int, c *collector, t *task, image Image, before string) (results.CellOutcome, string) {
	machine, err := s.Booter.Describe(ctx, t.Guest)
	if err != nil {
		return failed(ctx, err)
	}
	s.identify(c.cell, t.Cell, machine)
	before += ", retried on " + otherMachine
	c.warn(before)
	outcome, reason := s.guests(ctx, i, c, image)
	if c.silent {
		reason = before + ": " + reason
	}
	return outcome, reason
}

func failed(ctx context.Context, err error) (results.CellOutcome, string) {
	if ctx.Err() != nil {
		return results.CellMissing, "interrupted"
	}
	return results.CellFailed, err.Error()
}

// guests runs the suite: in one guest, or in one for each probe. A guest that is lost
// costs the probe that it was lost in, and the next goes on behind that. Where
// nothing hints at the probe it is asked once more.
func (s *Scheduler) guests(ctx context.Context, i int, c *collector, image Image) (results.CellOutcome, string) {
	outcome, reason := c.standing()
	lost, twice := c.crashes(), map[string]bool{}
	c.silent = false
	for _, batch := range s.batches(c.notEnded(c.selected)) {
		for len(batch) > 0 {
			began := len(c.cell.Probes)
			c.batch = batch
			f := s.guest(ctx, i, c, image)
			image.Again = true
			switch f.outcome {
			case results.CellOK:
				batch = nil
				continue
			case results.CellMissing:
				return f.outcome, f.reason // interrupted: the rest is still to be run, whatever crashed before
			}
			lost++
			c.lost = true
			if f.final {
				c.cell.Console = f.console
				return f.outcome, f.reason
			}
			culprit := c.openName()
			again := f.chance && !twice[culprit]
			twice[culprit] = true
			switch {
			case again:
				c.warn(f.reason + ": asked once more")
				c.open, c.opened = nil, nil
			case culprit != "":
				c.endOpen(f)
				c.saved()
			case len(c.cell.Probes) == began:
				if outcome == results.CellOK {
					outcome, reason, c.cell.Console = f.outcome, f.reason, f.console
				}
				c.silent = f.silent
				return outcome, reason
			case f.outcome != results.CellCrashed:
				c.warn(f.reason + ": the rest ran in another guest")
			}
			if f.outcome == results.CellCrashed && outcome == results.CellOK {
				outcome, reason, c.cell.Console = f.outcome, f.reason, f.console
			}
			if lost >= mostLost {
				c.given = fmt.Sprintf("given up after %d guests were lost", lost)
				if outcome == results.CellOK {
					outcome, reason, c.cell.Console = results.CellFailed, c.given+", the last because "+f.reason, f.console
				}
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
func (s *Scheduler) guest(ctx context.Context, i int, c *collector, image Image) fall {
	began := time.Now()
	guest, err := s.Booter.Boot(ctx, image)
	if err != nil {
		return fallOf(ctx, err)
	}
	f := s.suite(ctx, i, c, guest, began)
	c.cell.Guest.Args = guest.Args()
	stopping := time.Now()
	// The guest is ended even when the run is interrupted.
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
	defer cancel()
	if err := guest.Stop(end); err != nil && f.outcome == results.CellOK {
		c.warn("end the guest: " + err.Error())
	}
	step(c.cell, "stop", stopping)
	if tail := guest.Tail(); f.console == nil && (f.outcome == results.CellFailed || f.outcome == results.CellCrashed) {
		f.console = tail[max(0, len(tail)-consoleLines):]
	}
	return f
}

// suite waits for the agent and has it run the batch.
func (s *Scheduler) suite(ctx context.Context, i int, c *collector, guest Guest, began time.Time) fall {
	err := guest.Ready(ctx)
	step(c.cell, guest.Came(), began)
	if err != nil {
		return fell(ctx, guest, "while it booted", err)
	}
	c.complained(guest.Splats())
	s.Progress.State(i, *c.cell, "runs")
	suite := time.Now()
	before := len(c.cell.Probes)
	err = s.stream(ctx, c, guest)
	step(c.cell, "suite", suite)
	var complaint *complaintError
	var garbled *observe.StreamError
	var refusal *refusedError
	during := "before the first probe"
	if c.open != nil {
		during = "during " + c.open.Name
	} else if n := len(c.cell.Probes); n > before {
		during = "after " + c.cell.Probes[n-1].Name
	}
	switch {
	case err == nil:
		return fall{outcome: results.CellOK}
	case errors.As(err, &complaint):
		return complaint.fall
	case errors.As(err, &garbled) && !errors.Is(err, observe.ErrTruncated):
		return rigFell("%s: %v", during, err)
	case errors.As(err, &refusal):
		f := rigFell("%s: %v", during, err)
		f.final = true
		return f
	}
	return fell(ctx, guest, during, err)
}

// complained warns of what a kernel said of itself before the first probe.
func (c *collector) complained(splats []splat.Splat) {
	for _, s := range splats {
		if !s.End.Fatal() {
			c.warn("the kernel complained before the first probe: " + observe.Escape(s.String()))
			c.told = true
		}
	}
}
