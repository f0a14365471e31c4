package probe

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
)

// Ground is what all probes of a guest stand on: the initial namespace and the
// kernel, as they were before the first probe. Each probe must find it so and
// leave it so.
type Ground struct {
	witness witness
	loader  Loader
	clean   *lab.State // with box resting, where there is one
	bare    *lab.State // without

	box *lab.Box // rests in the initial namespace between probes

	spoilt lab.Traces // what could not be undone
	by     string     // the probe that left it
}

// witness is what the ground needs of a lab.Witness.
type witness interface {
	State() (*lab.State, error)
	Settled(before *lab.State, patience time.Duration) (*lab.State, error)
	Undo(lab.Trace) error
	Close() error
}

// NewGround takes down how the ground is now, with every module loaded that
// probes will need.
func NewGround(loader Loader) (*Ground, error) {
	g := &Ground{loader: loader}
	err := lab.InInitial(func() error {
		w, err := lab.NewWitness()
		if err != nil {
			return err
		}
		g.witness = w
		g.bare, err = w.State()
		g.clean = g.bare
		return err
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("take down how things are before the first probe: %w", err), g.Close())
	}
	return g, nil
}

// Close closes what the ground is watched through.
func (g *Ground) Close() error {
	if g.witness == nil {
		return nil
	}
	return errors.Join(g.dismiss(), g.witness.Close())
}

// ready says why no probe can run: an earlier one left what could not be undone
// and is still there.
func (g *Ground) ready() error {
	if len(g.spoilt) == 0 {
		return nil
	}
	still, err := g.traces(lab.Background)
	if err != nil {
		return err
	}
	if g.spoilt = still; len(still) == 0 {
		return nil
	}
	return fmt.Errorf("not run: %s left behind: %s", g.by, g.spoilt)
}

// check says what a probe left behind, and undoes it, so that the next probe
// finds the ground as this one did. That the kernel counts modules as used that
// the probe wears is no trace: nobody can undo it.
func (g *Ground) check(name string, wears ...string) error {
	left, err := g.left()
	left = slices.DeleteFunc(left, func(t lab.Trace) bool {
		return t.Kind == lab.KindModuleUse && t.Is != nil && slices.Contains(wears, t.Is.Name)
	})
	if err != nil || len(left) == 0 {
		return err
	}
	g.by = name
	err = fmt.Errorf("left behind: %s", left)
	undoing := g.clear()
	still, again := g.traces(lab.TimeWait)
	if again != nil {
		still = left // nobody knows better
	}
	if g.spoilt = still; len(still) == 0 {
		return err
	}
	return errors.Join(fmt.Errorf("%w (still there: %s)", err, still), undoing, again)
}

// maxUndone bounds how many traces are undone one by one.
const maxUndone = 100

// clear undoes one trace after the other, and looks again in between: an address
// goes, and comes, with its link, and routes with the address.
func (g *Ground) clear() error {
	var errs []error
	tried := map[string]bool{}
	for {
		now, err := g.witness.State()
		if err != nil {
			return errors.Join(append(errs, err)...)
		}
		left := lab.Diff(g.clean, now)
		next := slices.IndexFunc(left, func(t lab.Trace) bool { return !tried[t.String()] })
		if next < 0 || len(tried) == maxUndone {
			return errors.Join(errs...)
		}
		t := left[next]
		tried[t.String()] = true
		if err := g.undo(t); !errors.Is(err, lab.ErrLasting) {
			errs = append(errs, err)
		}
	}
}

// left says what is different after a probe. A box whose links the probe changed
// goes first, and with it what it changed.
func (g *Ground) left() (lab.Traces, error) {
	if g.box != nil && !g.box.Worn() {
		left, err := g.traces(lab.Background)
		if err != nil || len(left) == 0 {
			return nil, err
		}
	}
	if err := g.dismiss(); err != nil {
		return nil, err
	}
	return g.traces(lab.Background)
}

func (g *Ground) traces(patience time.Duration) (lab.Traces, error) {
	now, err := g.witness.Settled(g.clean, patience)
	if err != nil {
		return nil, fmt.Errorf("look for what was left behind: %w", err)
	}
	return lab.Diff(g.clean, now), nil
}

func (g *Ground) undo(t lab.Trace) error {
	switch {
	case t.Kind != lab.KindModule:
		return g.witness.Undo(t)
	case t.Was == nil:
		return g.loader.Unload(t.Is.Name)
	}
	return g.loader.Load(t.Was.Name)
}
