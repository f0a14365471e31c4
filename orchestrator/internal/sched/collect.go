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
	given    string           // why what is left will not be run; "" where it will
	lost     bool             // a guest was: what the cell came to is not kept for others
	silent   bool             // the last guest did not print a thing
	told     bool             // what the kernel said of itself before the first probe was told
	tainted  uint64           // how the guest's kernel was, when it was last heard of
	went     func()           // called when the suite has gone on: a probe has begun or ended
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
			var complaint *complaintError
			if !errors.As(err, &complaint) {
				err = &refusedError{err}
			}
			return err
		}
	}
}

// refusedError is why a stream that is in order was not read on: it is of another
// guest than the one that was asked for, or what it says could not be written down.
type refusedError struct{ error }

// Unwrap returns why.
func (e *refusedError) Unwrap() error { return e.error }

func (c *collector) take(rec observe.Record) error {
	switch {
	case rec.Hello != nil:
		return c.hello(rec.Hello)
	case rec.Begin != nil:
		c.open = &results.Probe{Name: rec.Begin.Probe}
		c.opened, c.captured = nil, nil
		c.went()
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
		c.went()
		return c.end(rec.End)
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
	logs := map[string][]observe.Log{}
	for _, p := range c.cell.Probes {
		logs[p.Name] = p.Log
	}
	for _, name := range c.selected {
		for _, l := range logs[name] {
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
	c.tainted = h.Tainted
	if t := taints(h.Tainted); t != "" && !c.told {
		c.warn("the kernel was tainted before the first probe, and its console does not show why: " + t)
	}
	c.went()
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

// end ends the open probe. A probe during which the kernel complained of itself has
// crashed it, and the guest with that is not to be asked any more.
func (c *collector) end(e *observe.End) error {
	c.open.Outcome, c.open.Reason = e.Outcome, e.Reason
	c.open.Elapsed = time.Duration(e.ElapsedNS)
	complaint := c.complaint(e)
	switch {
	case complaint != nil:
		c.open.Outcome, c.open.Reason = complaint.probe, complaint.reason
		c.open.Fingerprint, c.open.Console = complaint.fingerprint, complaint.console
	case e.Outcome == observe.Recorded:
		c.open.Rows = len(c.opened)
		c.rows = append(c.rows, c.opened...)
	}
	c.put()
	c.saved()
	if complaint != nil {
		return complaint
	}
	return nil
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

// openName is the probe that has not ended, or "".
func (c *collector) openName() string {
	if c.open == nil {
		return ""
	}
	return c.open.Name
}

// endOpen says what became of the open probe, in which a guest was lost.
func (c *collector) endOpen(f fall) {
	c.open.Outcome, c.open.Reason, c.open.Rows = f.probe, f.reason, 0
	c.open.Fingerprint, c.open.Console = f.fingerprint, f.console
	c.put()
}

// warn adds a warning to the cell, once.
func (c *collector) warn(text string) {
	if !slices.Contains(c.cell.Warnings, text) && len(c.cell.Warnings) < mostWarnings {
		c.cell.Warnings = append(c.cell.Warnings, text)
	}
}

// mostWarnings bounds those of a cell.
const mostWarnings = 50

// notEnded are those of names that have no outcome yet.
func (c *collector) notEnded(names []string) []string {
	ended := make(map[string]bool, len(c.cell.Probes))
	for _, p := range c.cell.Probes {
		ended[p.Name] = true
	}
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return ended[name] })
}

// close says what became of the probes that did not end: they are missing.
func (c *collector) close(reason string) {
	if c.open != nil {
		c.endOpen(fall{probe: observe.Missing, reason: reason})
	}
	why := "not reached"
	if c.given != "" {
		why += ": " + c.given
	}
	for _, name := range c.notEnded(c.selected) {
		c.cell.Probes = append(c.cell.Probes, results.Probe{Name: name, Outcome: observe.Missing, Reason: why})
	}
	slices.SortStableFunc(c.cell.Probes, func(a, b results.Probe) int { return strings.Compare(a.Name, b.Name) })
}
