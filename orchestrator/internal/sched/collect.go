package sched

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/packets"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
)

// collector turns a record stream into a cell and its rows.
type collector struct {
	cell     *results.Cell
	selected []string // probes that are to run
	batch    []string // those that the next guest is to run
	rows     []observe.Row
	recalled int       // probes that had ended before the first guest
	klog     io.Writer // kernel.log
	open     *results.Probe
	opened   []observe.Row    // rows of the open probe
	captured []observe.Record // packets and steps of the open probe
	// packets writes the capture of a probe.
	packets func(probe string, data []byte) error
	// saved is called whenever a probe has ended.
	saved func()
	// ended is told of each probe that ends in a guest; it may be nil.
	ended func(results.Probe)
}

// read takes the stream to its end. An error is the stream's: garbled or
// truncated, or from a guest that is not the one that was asked for.
func (c *collector) read(stream io.Reader) error {
	r := observe.NewReader(stream, observe.Limits{})
	for {
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := c.take(rec); err != nil {
			return err
		}
	}
}

func (c *collector) take(rec observe.Record) error {
	switch {
	case rec.Hello != nil:
		return c.hello(rec.Hello)
	case rec.Begin != nil:
		c.open = &results.Probe{Name: rec.Begin.Probe}
		c.opened, c.captured = nil, nil
	case rec.Row != nil:
		c.opened = append(c.opened, *rec.Row)
	case rec.Log != nil:
		c.open.Log = append(c.open.Log, *rec.Log)
		return c.tellLog(c.open.Name, *rec.Log)
	case rec.Packet != nil || rec.Step != nil:
		c.captured = append(c.captured, rec)
	case rec.End != nil:
		if err := c.keepPackets(); err != nil {
			return err
		}
		c.end(rec.End)
	}
	return nil
}

// keepPackets writes down what was captured of the open probe, if anything was.
func (c *collector) keepPackets() error {
	if c.captured == nil {
		return nil
	}
	k := c.cell.Kernel
	data, err := packets.Encode(&packets.Capture{Probe: c.open.Name, Kernel: k.Release + " (" + k.Version + ")", Events: c.captured})
	if err != nil {
		return err
	}
	c.captured = nil
	return c.packets(c.open.Name, data)
}

func (c *collector) tellLog(probe string, l observe.Log) error {
	_, err := fmt.Fprintf(c.klog, "[%12.6f] %s: %s\n", float64(l.AtUS)/1e6, probe, observe.Escape(l.Text))
	return err
}

// tellRecalled writes to kernel.log what it would hold of the probes that have
// ended already, in the order in which they were to run.
func (c *collector) tellRecalled() error {
	c.recalled = len(c.cell.Probes)
	for _, name := range c.selected {
		i := slices.IndexFunc(c.cell.Probes, func(p results.Probe) bool { return p.Name == name })
		if i < 0 {
			continue
		}
		for _, l := range c.cell.Probes[i].Log {
			if err := c.tellLog(name, l); err != nil {
				return fmt.Errorf("write the kernel's log: %w", err)
			}
		}
	}
	return nil
}

func (c *collector) hello(h *observe.Hello) error {
	c.cell.Modules = h.Modules
	if want := c.cell.Kernel.Release; want != "" && h.Release != want {
		return fmt.Errorf("the guest runs kernel %q, not %q", h.Release, want)
	}
	c.cell.Kernel.Release = h.Release
	return sameProbes(h.Probes, c.batch)
}

// sameProbes holds the guest to what it was asked.
func sameProbes(have, want []string) error {
	for _, p := range have {
		if !slices.Contains(want, p) {
			return fmt.Errorf("the guest runs %s, which was not chosen: agent and host are not of one build", p)
		}
	}
	for _, p := range want {
		if !slices.Contains(have, p) {
			return fmt.Errorf("the guest does not run %s, which was chosen: agent and host are not of one build", p)
		}
	}
	return nil
}

func (c *collector) end(e *observe.End) {
	c.open.Outcome, c.open.Reason = e.Outcome, e.Reason
	c.open.Elapsed = time.Duration(e.ElapsedNS)
	if e.Outcome == observe.Recorded {
		c.open.Rows = len(c.opened)
		c.rows = append(c.rows, c.opened...)
	}
	c.put()
	c.saved()
}

// put ends the open probe, as it stands.
func (c *collector) put() {
	c.cell.Probes = append(c.cell.Probes, *c.open)
	if c.ended != nil {
		c.ended(*c.open)
	}
	c.open, c.opened = nil, nil
}

// standing is how the cell stands by the probes that have ended.
func (c *collector) standing() (results.CellOutcome, string) {
	for _, p := range c.cell.Probes {
		if p.Outcome == observe.Crashed {
			return results.CellCrashed, p.Reason
		}
	}
	return results.CellOK, ""
}

// crashes are the probes that the kernel died in.
func (c *collector) crashes() int {
	n := 0
	for _, p := range c.cell.Probes {
		if p.Outcome == observe.Crashed {
			n++
		}
	}
	return n
}

// endOpen says what became of the probe that did not end, if there is one.
func (c *collector) endOpen(outcome observe.Outcome, reason string) {
	if c.open == nil {
		return
	}
	c.open.Outcome, c.open.Reason, c.open.Rows = outcome, reason, 0
	c.put()
}

// notEnded are those of names that have no outcome yet.
func (c *collector) notEnded(names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		return slices.ContainsFunc(c.cell.Probes, func(p results.Probe) bool { return p.Name == name })
	})
}

// close says what became of the probes that did not end: the open one has the
// given outcome, those that were not reached are missing.
func (c *collector) close(outcome observe.Outcome, reason string) {
	c.endOpen(outcome, reason)
	for _, name := range c.notEnded(c.selected) {
		c.cell.Probes = append(c.cell.Probes, results.Probe{Name: name, Outcome: observe.Missing, Reason: "not reached"})
	}
	slices.SortStableFunc(c.cell.Probes, func(a, b results.Probe) int { return strings.Compare(a.Name, b.Name) })
}
