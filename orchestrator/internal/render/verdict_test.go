package render

import (
	"strings"
	"testing"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
)

// What is said of each probe on each kernel, by judgement and first words.
func TestVerdicts(t *testing.T) {
	want := map[string]map[string]string{ // by sample, then by probe and kernel
		"four": {
			"loose/on 5.10.262": "alone", "loose/on 6.1.192": "agrees", "loose/on 7.3.4": "changed: 1 change that nothing explains",
			"table-full/syn 6.12.117": "changed: 1 change", "table-full/flood 6.12.117": "broken: broken: left behind: 3",
			"table-full/flood 7.3.4": "agrees", "enable/flowtable 5.10.262": "unsupported: no module nf_flow_table",
			"enable/flowtable 6.1.192": "changed: 1 change",
		},
		"failed": {
			"table-full/flood 6.12.117": "crashed: crashed: Oops", "table-full/syn 5.10.262": "unstable: not to be compared: 1 answer",
			"loose/on 7.3.4": "missing: never ran: the kernel's run failed", "table-full/syn 6.12.117": "missing: never ran: the kernel's run crashed",
		},
		"repetitions": {
			"loose/on 6.1.192": "unstable: not to be compared: 1 answer", "loose/off 6.12.117": "unstable: not to be compared: 1 answer",
			"loose/off@child 6.12.117": "agrees",
		},
	}
	for name, verdicts := range want {
		tab := told[name](t)
		j := newJudge(tab)
		for _, p := range tab.Probes {
			for i, c := range tab.Columns {
				w, ok := verdicts[p.Name+" "+c.Label]
				if !ok {
					continue
				}
				delete(verdicts, p.Name+" "+c.Label)
				v := j.probe(p, i)
				if got := joinColon(v.name(), v.head); !strings.HasPrefix(got, w) {
					t.Errorf("%s: %s on %s is %q, want %q", name, p.Name, c.Label, got, w)
				}
			}
		}
		if len(verdicts) > 0 {
			t.Errorf("%s: never asked: %v", name, verdicts)
		}
	}
}

func joinColon(a, b string) string {
	if b == "" {
		return a
	}
	return a + ": " + b
}

// A probe that never ran on a kernel whose run came to its end is an error, one
// whose kernel's run did not is told once.
func TestMissingVerdicts(t *testing.T) {
	s := newSample(t, "6.1.192-2", "6.12.117-1")
	s.outcome("loose/on", observe.Missing, "not reached", 0, 1)
	s.cells[1].Outcome, s.cells[1].Reason = results.CellMissing, "interrupted"
	tab := s.table()
	j := newJudge(tab)
	for _, p := range tab.Probes {
		if p.Name != "loose/on" {
			continue
		}
		for i, want := range []judgement{isMissing, isUnasked} {
			if got := j.probe(p, i); got.judgement != want {
				t.Errorf("column %d is %+v", i, got)
			}
		}
	}
	if got := j.cell(1); got.judgement != isMissing || got.head != "missing: interrupted" {
		t.Errorf("the run is %+v", got)
	}
}

func TestClip(t *testing.T) {
	for in, want := range map[string]string{"": "", "abcd": "abcd", "abcde": "abcd… 1 more character", "\x1b": `\x1b`, "世界世界世界": "世界世界… 2 more characters"} {
		if got := clip(in, 4); got != want {
			t.Errorf("clip(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestNamer(t *testing.T) {
	n := namer{}
	for _, c := range [][2]string{{"a", "a"}, {"a", "a (2)"}, {"a (2)", "a (2) (2)"}, {"b", "b"}, {"a", "a (3)"}} {
		if got := n.name(c[0]); got != c[1] {
			t.Errorf("the name of %q is %q, want %q", c[0], got, c[1])
		}
	}
}
