package probe

import (
	"errors"
	"io/fs"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ctmatrix/ctmatrix/guest/internal/capture"
	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/internal/modules"
	"github.com/ctmatrix/ctmatrix/guest/observe"
)

// Loader loads and unloads kernel modules.
type Loader interface {
	// Load loads modules and what they depend on. Loading what is there is no
	// error; the error names the first that cannot be had and why, and is
	// modules.ErrMissing where the kernel has none.
	Load(names ...string) error
	// Unload unloads a module after everything that uses it. What is part of
	// the kernel is modules.ErrBuiltin.
	Unload(name string) error
}

// Result is how a case ended and what it recorded.
type Result struct {
	Outcome observe.Outcome
	Reason  string
	Rows    []observe.Row // only where the outcome is recorded
	Log     []observe.Log
	Elapsed time.Duration // guest time
	// Capture is what was captured, whatever the outcome: packets and steps.
	Capture []observe.Record
}

// Run runs a case from a clean slate to a clean slate. What it observed counts
// only if the namespace it ran in is left without a trace.
func (c Case) Run(loader Loader, log *lab.Log, ground *Ground) Result {
	began := lab.Now()
	p := &P{name: c.Name(), seen: map[string]bool{}, log: log, clock: guestClock, hostClock: c.HostClock}
	if c.Capture {
		p.rec = &capture.Recorder{}
	}
	outcome, reason := c.onGround(p, loader, ground)
	// What the kernel said when the probe had ended, early or not, is of the probe.
	lines, err := log.Take()
	p.lines = append(p.lines, lines...)
	if err != nil && outcome != observe.Broken {
		outcome, reason = observe.Broken, err.Error()
	}
	r := Result{Outcome: outcome, Reason: reason, Log: p.lines, Elapsed: lab.Now() - began}
	if outcome != observe.Recorded {
		p.rec.Step("%s: %s", outcome, reason)
	}
	r.Capture = p.rec.Records()
	if outcome == observe.Recorded {
		r.Rows = p.rows
	}
	return r
}

// onGround runs the case where none before it left anything, and looks what it
// leaves itself. Whatever that is, the case says it.
func (c Case) onGround(p *P, loader Loader, ground *Ground) (observe.Outcome, string) {
	if err := ground.ready(); err != nil {
		return observe.Broken, err.Error()
	}
	if err := ground.furnish(c); err != nil {
		return observe.Broken, err.Error()
	}
	outcome, reason := c.run(p, loader, ground)
	if err := ground.check(c.Name(), c.Wears...); err != nil {
		if outcome == observe.Broken {
			return outcome, reason + "; " + err.Error()
		}
		return observe.Broken, err.Error()
	}
	return outcome, reason
}

func (c Case) run(p *P, loader Loader, ground *Ground) (observe.Outcome, string) {
	if _, err := p.log.Take(); err != nil {
		return observe.Broken, err.Error()
	}
	for _, m := range c.Renews { // or it cannot be done after the probe
		if err := loader.Unload(m); err != nil {
			return lacking(err, modules.ErrBuiltin)
		}
	}
	if err := c.load(loader); err != nil {
		return lacking(err, modules.ErrMissing)
	}
	if c.Untouched {
		if err := loader.Unload("nf_conntrack"); err != nil {
			return lacking(err, modules.ErrBuiltin)
		}
	}
	in, resting := lab.InInitial, ground.box
	if c.Place == Child {
		in, resting = lab.InChild, nil
	}
	outcome, reason := observe.Recorded, ""
	err := in(func() error { return c.inBox(p, resting, &outcome, &reason) })
	for _, m := range c.Renews {
		err = errors.Join(err, loader.Unload(m))
	}
	if c.Untouched || len(c.Renews) > 0 {
		err = errors.Join(err, loader.Load(ground.clean.Modules()...))
	}
	if err != nil {
		return observe.Broken, err.Error()
	}
	return outcome, reason
}

// lacking is the outcome of an error that is the kernel's if it is what, and
// the rig's otherwise.
func lacking(err, what error) (observe.Outcome, string) {
	if errors.Is(err, what) {
		return observe.Unsupported, err.Error()
	}
	return observe.Broken, err.Error()
}

func (c Case) load(loader Loader) error { return loader.Load(c.modules()...) }

// inBox runs on the thread of the box. Its error is the rig's.
func (c Case) inBox(p *P, resting *lab.Box, outcome *observe.Outcome, reason *string) error {
	body := func() { *outcome, *reason = c.body(p) }
	if !c.Untouched {
		return p.withBox(c.path(), resting, body)
	}
	var err error
	if p.Box, err = lab.NewBox(c.path()); err != nil {
		return err
	}
	err = p.watched(false, body)
	return errors.Join(err, p.clean(), p.Box.Close())
}

// body prepares what the head asks for, runs the body, and turns what ended it
// into an outcome.
func (c Case) body(p *P) (outcome observe.Outcome, reason string) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case stop:
			outcome, reason = r.outcome, r.reason
		default:
			panic(r)
		}
	}()
	for _, s := range c.Sysctls {
		p.Set(s.Name, s.Value)
	}
	meters := lab.Counting(lab.NearName)
	if !c.Bare {
		meters = append(meters, lab.Classing(c.classed())...)
	}
	p.load(append(meters, c.Probe.Rules...))
	for _, r := range c.Probe.Rules {
		p.rec.Step("rule %s", r)
	}
	c.Probe.Run(p)
	p.drainLog()
	return observe.Recorded, ""
}

// classed is the device whose packets the class meters count: the client's,
// unless the agent plays the other side, too.
func (c Case) classed() string {
	if c.path() == lab.Input {
		return lab.NearName
	}
	return ""
}

// isMissing reports whether an error of the kernel says that it has no such
// thing.
func isMissing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EOPNOTSUPP)
}
