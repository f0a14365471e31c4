package probe

import (
	"errors"
	"fmt"
	"slices"

	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
)

// furnish has a box rest where a case is to run that can have one that others had
// before: in the initial namespace, where whether a probe has left the box as it was
// is looked for as all traces are. What unloads modules finds none.
func (g *Ground) furnish(c Case) error {
	switch {
	case c.Untouched || len(c.Renews) > 0:
		return g.dismiss()
	case c.Place == Child || g.box != nil && g.box.Path() == c.path():
		return nil
	}
	if err := g.dismiss(); err != nil || c.path() == lab.Ether {
		return err
	}
	err := lab.InInitial(func() error {
		box, err := lab.NewBox(c.path())
		if err != nil {
			return err
		}
		g.box = box
		return box.Rest()
	})
	if err == nil {
		g.clean, err = g.furnished()
	}
	if err != nil {
		return errors.Join(fmt.Errorf("make the box: %w", err), g.dismiss())
	}
	return nil
}

// boxKinds are what a box that rests differs in from none.
var boxKinds = []lab.Kind{lab.KindFile, lab.KindLink, lab.KindAddress, lab.KindRoute, lab.KindModuleUse}

// furnished takes down how the ground is with the box, before any probe was in it.
func (g *Ground) furnished() (*lab.State, error) {
	s, err := g.witness.State()
	if err != nil {
		return nil, err
	}
	made := slices.DeleteFunc(lab.Diff(g.bare, s), func(t lab.Trace) bool { return slices.Contains(boxKinds, t.Kind) })
	if len(made) > 0 {
		return nil, fmt.Errorf("more than links came with it: %s", made)
	}
	return s, nil
}

// dismiss closes the box that rests, if any does.
func (g *Ground) dismiss() error {
	if g.box == nil {
		return nil
	}
	box := g.box
	g.box, g.clean = nil, g.bare
	return lab.InInitial(box.Close)
}
