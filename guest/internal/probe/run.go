package probe

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/observe"
)

// Loader loads and unloads kernel modules.
type Loader interface {
	// Load loads modules and what they depend on. Loading what is there is no
	// error; the error names the first that cannot be had and why.
	Load(names ...string) error
	// Unload unloads a module after everything that uses it.
	Unload(name string) error
}

// Result is how a case ended and what it recorded.
type Result struct {
	Outcome observe.Outcome
	Reason  string
	Rows    []observe.Row // only where the outcome is recorded
	Log     []observe.Log
	Elapsed time.Duration // guest time
}

// Run runs a case from a clean slate to a clean slate. What it observed counts
// only if the namespace it ran in is left without a trace.
func (c Case) Run(modules Loader, log *lab.Log) Result {
	began := lab.Now()
	p := &P{name: c.Name(), seen: map[string]bool{}, log: log}
	outcome, reason := c.run(p, modules)
	r := Result{Outcome: outcome, Reason: reason, Log: p.lines, Elapsed: lab.Now() - began}
	if outcome == observe.Recorded {
		r.Rows = p.rows
	}
	return r
}

func (c Case) run(p *P, modules Loader) (observe.Outcome, string) {
	if _, err := p.log.Take(); err != nil {
		return observe.Broken, err.Error()
	}
	if err := c.load(modules); err != nil {
		return observe.Unsupported, err.Error()
	}
	if c.Untouched {
		if err := modules.Unload("nf_conntrack"); err != nil {
			return observe.Unsupported, "conntrack cannot be unloaded: " + err.Error()
		}
	}
	in := lab.InInitial
	if c.Place == Child {
		in = lab.InChild
	}
	outcome, reason := observe.Recorded, ""
	err := in(func() error { return c.inBox(p, &outcome, &reason) })
	if c.Untouched {
		err = errors.Join(err, c.load(modules))
	}
	if err != nil {
		return observe.Broken, err.Error()
	}
	return outcome, reason
}

func (c Case) load(modules Loader) error { return modules.Load(c.modules()...) }

// inBox runs on the thread of the box. Its error is the rig's.
func (c Case) inBox(p *P, outcome *observe.Outcome, reason *string) error {
	body := func() { *outcome, *reason = c.body(p) }
	if !c.Untouched {
		return p.withBox(c.path(), body)
	}
	var err error
	if p.Box, err = lab.NewBox(c.path()); err != nil {
		return err
	}
	body()
	return errors.Join(p.clean(), p.Box.Close(), leftovers())
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
	rules := lab.Counting(lab.NearName)
	if !c.Bare {
		rules = append(rules, lab.Classing(lab.NearName)...)
	}
	p.Add(append(rules, c.Probe.Rules...)...)
	c.Probe.Run(p)
	p.drainLog()
	return observe.Recorded, ""
}

// traces says what a probe left in the table, what is not confirmed and so in
// no dump included.
func traces() error {
	n, err := lab.ReadSysctl("net.netfilter.nf_conntrack_count")
	if err != nil {
		return fmt.Errorf("read conntrack count: %w", err)
	}
	if n != "0" {
		return fmt.Errorf("left behind: %s conntrack entries", n)
	}
	return nil
}

// leftovers says what a probe left in the namespace besides.
func leftovers() error {
	links, err := netlink.LinkList()
	if err != nil {
		return fmt.Errorf("list links: %w", err)
	}
	for _, l := range links {
		if l.Attrs().Name != "lo" {
			return fmt.Errorf("left behind: link %s", l.Attrs().Name)
		}
	}
	return nil
}

// isMissing reports whether an error of the kernel says that it has no such
// thing.
func isMissing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EOPNOTSUPP)
}
