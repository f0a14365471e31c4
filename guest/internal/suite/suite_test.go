package suite

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ctmatrix/ctmatrix/guest/internal/modules"
	"github.com/ctmatrix/ctmatrix/guest/internal/probe"
)

// The heads are what a reader has of a probe.
func TestHeads(t *testing.T) {
	listing, err := Listing(Options{})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, h := range listing.Probes {
		if seen[h.Name] {
			t.Errorf("%s is there twice", h.Name)
		}
		seen[h.Name] = true
		if strings.Count(h.Name, "/") != 1 {
			t.Errorf("%s is not family/probe", h.Name)
		}
		if !strings.Contains(h.Question, "?") {
			t.Errorf("%s asks nothing: %q", h.Name, h.Question)
		}
		if h.Source == "" {
			t.Errorf("%s names no source", h.Name)
		}
	}
}

func TestSelect(t *testing.T) {
	all := len(probe.Cases(All()))
	for _, test := range []struct {
		patterns []string
		want     string // the first chosen
		count    int
	}{
		{nil, "baseline/ten-syns", all},
		{[]string{"*"}, "baseline/ten-syns", all},
		{[]string{"baseline"}, "baseline/ten-syns", 8},
		{[]string{"baseline/"}, "baseline/ten-syns", 8},
		{[]string{"loose/on"}, "loose/on", 1},
		{[]string{"loose/on@child"}, "loose/on@child", 1},
		{[]string{"loose/on*", "loose/on"}, "loose/on", 4},
		{[]string{"loose/on", "loose/on"}, "loose/on", 1},
		{[]string{"loose/on@child", "baseline/ten-syns"}, "baseline/ten-syns", 2},
		{[]string{`loose/o\n`, "loose/?n"}, "loose/on", 1},
	} {
		got, err := Select(Options{Patterns: test.patterns})
		if err != nil {
			t.Errorf("Select(%q): %v", test.patterns, err)
			continue
		}
		if len(got) != test.count || got[0].Name() != test.want {
			t.Errorf("Select(%q) = %d probes from %s, want %d from %s", test.patterns, len(got), got[0].Name(), test.count, test.want)
		}
	}
	for _, unknown := range []string{"lose/*", "loose/onn", "lose", "loose/["} {
		if _, err := Select(Options{Patterns: []string{"loose/on", unknown}}); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%q", unknown)) {
			t.Errorf("Select of %q: %v, want an error that names it", unknown, err)
		}
	}
}

func TestShuffleKeepsAll(t *testing.T) {
	a, _ := Select(Options{Shuffle: true, Seed: 1})
	b, _ := Select(Options{Shuffle: true, Seed: 1})
	plain, _ := Select(Options{})
	same, moved := true, false
	for i := range a {
		same = same && a[i].Name() == b[i].Name()
		moved = moved || a[i].Name() != plain[i].Name()
	}
	if !same || !moved || len(a) != len(plain) {
		t.Errorf("shuffle: same order for one seed %v, another order than unshuffled %v, %d of %d probes", same, moved, len(a), len(plain))
	}
}

// What a kernel was built without is told by the option's name.
func TestModulesHaveOptions(t *testing.T) {
	for _, name := range probe.Modules(probe.Cases(All())) {
		if modules.Option(name) == "" {
			t.Errorf("no option is known for module %s", name)
		}
	}
}

// What wears a module is asked last, in whatever order the others are.
func TestWearersAreLast(t *testing.T) {
	for _, opts := range []Options{{}, {Shuffle: true, Seed: 7}} {
		cases, err := Select(opts)
		if err != nil {
			t.Fatal(err)
		}
		worn := 0
		for _, c := range cases {
			if len(c.Wears) > 0 {
				worn++
			} else if worn > 0 {
				t.Errorf("%s comes after one that wears a module", c.Name())
			}
		}
		if worn == 0 {
			t.Error("none wears a module")
		}
	}
}
