package sched

import (
	"fmt"
	"strings"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/splat"
)

// complaintError is how a probe ended during which the kernel complained of itself
// and went on. Whatever runs behind it would run in a damaged kernel, and what is only
// said once would not be said again: so the guest ends with it, and the probe that is
// named does not depend on the order.
type complaintError struct{ fall }

func (e *complaintError) Error() string { return e.reason }

// complaint is what the kernel complained of during the open probe, or nil.
func (c *collector) complaint(e *observe.End) *complaintError {
	lines := make([]string, 0, len(c.open.Log))
	for _, l := range c.open.Log {
		lines = append(lines, l.Text)
	}
	became := e.Tainted &^ c.tainted
	c.tainted = e.Tainted
	for _, s := range splat.Scan(lines) {
		f := kernelFell("during "+c.open.Name, &s)
		if !s.End.Fatal() {
			f.reason = fmt.Sprintf("the kernel complained during %s: %s", c.open.Name, observe.Escape(s.String()))
		}
		if s.End == splat.Memory || s.End == splat.Starved {
			f.outcome, f.probe, f.fingerprint = results.CellFailed, observe.Broken, ""
			f.reason = fmt.Sprintf("the guest ran out of memory during %s: %s", c.open.Name, observe.Escape(s.Line))
		}
		return &complaintError{f}
	}
	// What the log should hold and does not is no clean log.
	if t := taints(became); t != "" {
		return &complaintError{fall{
			outcome: results.CellCrashed, probe: observe.Crashed,
			reason: fmt.Sprintf("the kernel was tainted during %s, and its log does not show why: %s", c.open.Name, t),
		}}
	}
	return nil
}

// damage are the flags of /proc/sys/kernel/tainted that stand for something that went
// wrong (Documentation/admin-guide/tainted-kernels.rst). The others are about what was
// loaded.
var damage = []struct {
	bit  uint
	what string
}{
	{5, "B, a bad page"},
	{7, "D, it died"},
	{9, "W, a warning"},
	{14, "L, a soft lockup"},
}

// taints names the damage among flags; "" where there is none.
func taints(flags uint64) string {
	var all []string
	for _, d := range damage {
		if flags>>d.bit&1 == 1 {
			all = append(all, d.what)
		}
	}
	return strings.Join(all, "; ")
}
