package baseline

import (
	"errors"
	"strings"
	"testing"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/table"
)

// said writes a baseline in short: "6.1 6.1.192-2 a/b/x.y=1 a/c=unsupported".
func said(b *Baseline) string {
	var out []string
	for _, c := range b.Cells {
		words := []string{c.ID, c.Kernel.Version}
		for _, r := range c.Rows {
			words = append(words, r.Name+"="+r.Value)
		}
		for _, p := range c.Probes {
			if p.Rows == 0 {
				words = append(words, p.Name+"="+string(p.Outcome))
			}
		}
		out = append(out, strings.Join(words, " "))
	}
	return strings.Join(out, "; ")
}

func only(name string) func(string) bool { return func(probe string) bool { return probe == name } }

// down is a kernel that did not boot.
func down(version string) results.CellRows {
	c := cell(version)
	c.Outcome, c.Reason = results.CellFailed, "no boot"
	return c
}

func TestBless(t *testing.T) {
	version := func(v string) func(results.Cell) bool {
		return func(c results.Cell) bool { return c.Kernel.Version == v }
	}
	old := []results.CellRows{
		cell("6.1.192-2", "a/b/x.y=1", "a/c/x.y=1"),
		cell("6.12.117-1", "a/b/x.y=1", "a/c/x.y=1"),
	}
	for name, c := range map[string]struct {
		run  []results.CellRows
		o    Options
		want string
	}{
		"all": {
			[]results.CellRows{cell("6.1.192-2", "a/b/x.y=2", "a/c=unsupported:why"), cell("6.12.118-1", "a/b/x.y=1", "a/c/x.z=1")}, Options{},
			"6.1 6.1.192-2 a/b/x.y=2 a/c=unsupported; 6.12 6.12.118-1 a/b/x.y=1 a/c/x.z=1",
		},
		"a kernel": {
			[]results.CellRows{cell("6.1.195-1", "a/b/x.y=2", "a/c/x.y=2"), cell("6.12.118-1", "a/b/x.y=2", "a/c/x.y=2")}, Options{Kernels: version("6.12.118-1")},
			"6.1 6.1.192-2 a/b/x.y=1 a/c/x.y=1; 6.12 6.12.118-1 a/b/x.y=2 a/c/x.y=2",
		},
		"a probe": {
			[]results.CellRows{cell("6.1.192-2", "a/b/x.y=2", "a/c/x.y=2"), cell("6.12.117-1", "a/b/x.y=2", "a/c/x.y=2")}, Options{Probes: only("a/c")},
			"6.1 6.1.192-2 a/b/x.y=1 a/c/x.y=2; 6.12 6.12.117-1 a/b/x.y=1 a/c/x.y=2",
		},
		"a run of less": {
			[]results.CellRows{cell("6.1.192-2", "a/b/x.y=2")}, Options{},
			"6.1 6.1.192-2 a/b/x.y=2 a/c/x.y=1; 6.12 6.12.117-1 a/b/x.y=1 a/c/x.y=1",
		},
		"a run of less, pruned": {
			[]results.CellRows{cell("6.1.195-1", "a/b/x.y=2")}, Options{Prune: true},
			"6.1 6.1.195-1 a/b/x.y=2",
		},
		"a new kernel": {
			[]results.CellRows{cell("6.6.1-1", "a/b/x.y=3")}, Options{},
			"6.1 6.1.192-2 a/b/x.y=1 a/c/x.y=1; 6.6 6.6.1-1 a/b/x.y=3; 6.12 6.12.117-1 a/b/x.y=1 a/c/x.y=1",
		},
		"incomplete": {
			[]results.CellRows{cell("6.1.192-2", "a/b/x.y=2", "a/c=broken"), cell("6.12.118-1", "a/b/x.y=2", "a/c=crashed")}, Options{Incomplete: true},
			"6.1 6.1.192-2 a/b/x.y=2 a/c/x.y=1; 6.12 6.12.118-1 a/b/x.y=2",
		},
		"incomplete, and one is down": {
			[]results.CellRows{cell("6.1.192-2", "a/b/x.y=2", "a/c/x.y=1"), down("6.12.118-1")}, Options{Incomplete: true},
			"6.1 6.1.192-2 a/b/x.y=2 a/c/x.y=1; 6.12 6.12.117-1 a/b/x.y=1 a/c/x.y=1",
		},
	} {
		t.Run(name, func(t *testing.T) {
			before := bless(t, &Baseline{}, Options{}, old...)
			was := said(before)
			if got := said(bless(t, before, c.o, c.run...)); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			if said(before) != was {
				t.Errorf("the old one became %s", said(before))
			}
		})
	}
}

// repeated is a kernel that ran several times, and answered a/b/x.y otherwise.
func repeated(values ...string) []results.CellRows {
	var out []results.CellRows
	for i, v := range values {
		c := cell("6.1.192-2", "a/b/x.y="+v, "a/c/x.y=1")
		c.Repeat = i + 1
		out = append(out, c)
	}
	return out
}

func TestRefusals(t *testing.T) {
	failed := cell("6.1.192-2")
	failed.Outcome, failed.Reason = results.CellFailed, "no boot\n\x1b[31m"
	const again = "not blessed: run it again, or bless the rest with --incomplete"
	for name, c := range map[string]struct {
		run  []results.CellRows
		o    Options
		want string
	}{
		"failed":       {[]results.CellRows{failed}, Options{}, `6.1.192 failed: no boot\n\x1b[31m` + "\n" + again},
		"broken":       {[]results.CellRows{cell("6.1.192-2", "a/b=broken:a link stayed")}, Options{}, "a/b broken on 6.1.192: a link stayed\n" + again},
		"crashed":      {[]results.CellRows{cell("6.1.192-2", "a/b=crashed:Oops")}, Options{}, "a/b crashed on 6.1.192: Oops\n" + again},
		"missing":      {[]results.CellRows{cell("6.1.192-2", "a/b=missing:interrupted")}, Options{}, "a/b missing on 6.1.192: interrupted\n" + again},
		"unstable":     {repeated("1", "2"), Options{}, `a/b/x.y unstable on 6.1.192: 1× "1" · 1× "2"` + "\n" + again},
		"not chosen":   {[]results.CellRows{cell("6.1.192-2", "a/b=broken", "a/c/x.y=1")}, Options{Probes: only("a/c")}, ""},
		"steady":       {repeated("1", "1"), Options{}, ""},
		"incomplete":   {repeated("1", "2"), Options{Incomplete: true}, ""},
		"moved, parts": {[]results.CellRows{cell("6.12.118-1", "a/b/x.y=1", "a/c/x.y=1")}, Options{Probes: only("a/c")}, "6.12: 6.12.117-1 is blessed, the run has 6.12.118-1, and would leave of the former a/b\nnot blessed: bless all probes of these kernels, or forget the others with --prune"},
	} {
		t.Run(name, func(t *testing.T) {
			old := bless(t, &Baseline{}, Options{}, cell("6.12.117-1", "a/b/x.y=1", "a/c/x.y=1"))
			_, err := Bless(old, table.New(c.run, nil), c.o)
			var refusal *Refusal
			if c.want == "" && err == nil {
				return
			}
			if !errors.As(err, &refusal) || err.Error() != c.want {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
		})
	}
}

// Of many reasons a few are told.
func TestRefusalIsShort(t *testing.T) {
	var facts []string
	for _, p := range strings.Split("abcdefghijklmnop", "") {
		facts = append(facts, "f/"+p+"=broken")
	}
	_, err := Bless(&Baseline{}, table.New([]results.CellRows{cell("6.1.192-2", facts...)}, nil), Options{})
	if lines := strings.Split(err.Error(), "\n"); len(lines) != mostReasons+2 || lines[mostReasons] != "and 6 more" {
		t.Errorf("%q", lines)
	}
}

// What an unstable probe was blessed as stays with --incomplete.
func TestUnstableStays(t *testing.T) {
	old := bless(t, &Baseline{}, Options{}, cell("6.1.192-2", "a/b/x.y=7", "a/c/x.y=7"))
	got := said(bless(t, old, Options{Incomplete: true}, repeated("1", "2")...))
	if want := "6.1 6.1.192-2 a/b/x.y=7 a/c/x.y=1"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// Kernels keep their names when their refs move on, and no two have the same.
func TestNames(t *testing.T) {
	ref := func(c results.CellRows, ref string) results.CellRows {
		c.Kernel.Ref = ref
		return c
	}
	b := bless(t, &Baseline{}, Options{}, cell("6.1.192-2", "a/b/x.y=1"))
	b = bless(t, b, Options{}, ref(cell("6.1.192-2", "a/b/x.y=2"), "debian:6.1.192-2"))
	if got := said(b); got != "6.1 6.1.192-2 a/b/x.y=2" || b.Cells[0].Kernel.Ref != "debian:6.1" {
		t.Errorf("the same build by another ref: %s, %s", got, b.Cells[0].Kernel.Ref)
	}
	b = bless(t, b, Options{}, ref(cell("6.1.180-1", "a/b/x.y=1"), "debian:6.1.*"), ref(cell("6.1.181-1", "a/b/x.y=1"), "debian:6.1.*"))
	b = bless(t, b, Options{}, ref(cell("6.1.1", "a/b/x.y=1"), "dir:/a b"), ref(cell("6.1.2", "a/b/x.y=1"), "dir:/a/b"))
	if got := strings.Join(b.names(), " "); got != "dir__a_b 6.1.2 6.1.180-1 6.1.181-1 6.1" {
		t.Errorf("names %s", got)
	}
}

// What comes from a guest names no file outside of the baseline.
func TestFamiliesAreFiles(t *testing.T) {
	for _, probe := range []string{"../x", ".hidden/x", "-/x", "x", "x/", "x/y/z", "a b/c"} {
		c := cell("6.1.192-2")
		c.Probes = []results.Probe{{Name: probe, Outcome: observe.Recorded}}
		if _, err := (&Baseline{Cells: []results.CellRows{c}}).Files(); err == nil {
			t.Errorf("probe %q is written", probe)
		}
	}
}
