package suite

import (
	"fmt"

	"github.com/ctmatrix/ctmatrix/guest/internal/probe"
	"github.com/ctmatrix/ctmatrix/guest/observe"
)

// Hold brings about what the head of a case asks for, calls held where the
// case's body would run, on the thread of its box, and undoes everything. What
// the body itself would have set up is not there.
//
// It emits a record stream as Run does, in which the case begins when held calls
// begin. How it ends tells of what held left behind. A case that cannot be held is
// an error, and does not begin.
func Hold(name string, modules Loader, emit func(observe.Record) error, held func(begin func() error) error) error {
	cases, err := Select(Options{Patterns: []string{name}})
	if err != nil {
		return err
	}
	if len(cases) != 1 {
		return fmt.Errorf("%q stands for %d probes: name one", name, len(cases))
	}
	c := cases[0]
	begun := false
	begin := func() error {
		begun = true
		return emit(observe.Record{Begin: &observe.Begin{Probe: c.Name()}})
	}
	c.Probe.Run = func(p *probe.P) { p.Must(held(begin)) }
	log, ground, err := open(cases, modules, emit)
	if err != nil {
		return err
	}
	defer log.Close()
	defer ground.Close()
	r := c.Run(modules, log, ground)
	if !begun {
		return fmt.Errorf("%s cannot be set up here: %s: %s", c.Name(), r.Outcome, r.Reason)
	}
	end := &observe.End{Probe: c.Name(), Outcome: r.Outcome, Reason: r.Reason, ElapsedNS: r.Elapsed.Nanoseconds()}
	if err := emit(observe.Record{End: end}); err != nil {
		return err
	}
	return emit(observe.Record{Done: &observe.Done{Probes: 1}})
}
