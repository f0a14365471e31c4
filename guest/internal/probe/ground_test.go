package probe

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
)

// fakeWitness has a state that undoing changes, but for what is lasting.
type fakeWitness struct {
	state   lab.State
	lasting []string
	err     error
	undone  []string
}

func (w *fakeWitness) State() (*lab.State, error) {
	s := w.state
	return &s, w.err
}

func (w *fakeWitness) Settled(*lab.State, time.Duration) (*lab.State, error) { return w.State() }
func (w *fakeWitness) Close() error                                          { return nil }

func (w *fakeWitness) Undo(t lab.Trace) error {
	w.undone = append(w.undone, t.String())
	if slices.Contains(w.lasting, t.String()) {
		return lab.ErrLasting
	}
	w.state[t.Kind] = nil
	if t.Kind == lab.KindLink { // addresses go with their link
		w.state[lab.KindAddress] = nil
	}
	return nil
}

// fakeLoader notes what it is told to do.
type fakeLoader struct{ told []string }

func (l *fakeLoader) Load(names ...string) error {
	l.told = append(l.told, "load "+strings.Join(names, " "))
	return nil
}

func (l *fakeLoader) Unload(name string) error {
	l.told = append(l.told, "unload "+name)
	return nil
}

func says(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestGround(t *testing.T) {
	w := &fakeWitness{}
	g := &Ground{witness: w, loader: &fakeLoader{}, clean: &lab.State{}}
	step := func(what string, got error, want string) {
		t.Helper()
		if says(got) != want {
			t.Errorf("%s says %q, want %q", what, says(got), want)
		}
	}
	step("clean ground", errors.Join(g.ready(), g.check("a/clean")), "")

	w.state[lab.KindLink] = []lab.Fact{{Name: "far"}}
	w.state[lab.KindAddress] = []lab.Fact{{Name: "192.0.2.1/32"}}
	step("a trace that can be undone", g.check("a/dirty"), "left behind: link far; address 192.0.2.1/32")
	if want := []string{"link far"}; !slices.Equal(w.undone, want) {
		t.Errorf("undone: %q, want %q: the address went with the link", w.undone, want)
	}
	step("ground that was cleared", errors.Join(g.ready(), g.check("a/clean")), "")

	w.state[lab.KindThread] = []lab.Fact{{Name: "threads astray", Value: "1"}}
	w.lasting = []string{"1 threads astray"}
	step("a trace that cannot be undone", g.check("a/worse"), "left behind: 1 threads astray (still there: 1 threads astray)")
	step("poisoned ground", g.ready(), "not run: a/worse left behind: 1 threads astray")
	step("poisoned ground, again", g.ready(), "not run: a/worse left behind: 1 threads astray")

	w.err = errors.New("no buffer")
	step("ground that cannot be looked at", g.ready(), "look for what was left behind: no buffer")
	w.err = nil
	step("ground that still is poisoned", g.ready(), "not run: a/worse left behind: 1 threads astray")
	w.state[lab.KindThread] = nil
	step("ground that healed", errors.Join(g.ready(), g.check("a/clean")), "")

	g.clean[lab.KindModuleUse] = []lab.Fact{{Name: "worn", Value: "0"}, {Name: "other", Value: "0"}}
	w.state[lab.KindModuleUse] = []lab.Fact{{Name: "worn", Value: "7"}, {Name: "other", Value: "0"}}
	step("a module that the probe wears", errors.Join(g.check("a/wearing", "worn"), g.ready()), "")
	w.lasting = []string{"use of module worn = 7, was 0"}
	step("one that another wears", g.check("a/b", "other"), "left behind: use of module worn = 7, was 0 (still there: use of module worn = 7, was 0)")
}

func TestGroundModules(t *testing.T) {
	clean := &lab.State{}
	clean[lab.KindModule] = []lab.Fact{{Name: "nft_ct"}}
	w, l := &fakeWitness{}, &fakeLoader{}
	w.state[lab.KindModule] = []lab.Fact{{Name: "sctp"}}
	g := &Ground{witness: w, loader: l, clean: clean}
	want := "left behind: module nft_ct is gone; module sctp (still there: module nft_ct is gone; module sctp)"
	if got := says(g.check("a/b")); got != want {
		t.Errorf("check says %q, want %q", got, want)
	}
	if want := []string{"load nft_ct", "unload sctp"}; !slices.Equal(l.told, want) {
		t.Errorf("the loader was told %q, want %q", l.told, want)
	}
}
