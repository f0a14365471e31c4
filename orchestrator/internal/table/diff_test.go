package table

import (
	"cmp"
	"fmt"
	"strings"
	"testing"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
)

// diffText writes a difference in short, for comparing.
func diffText(d *Difference) string {
	var out []string
	label := func(p int) string {
		return d.A.Columns[d.Pairs[p].A].Label + ":" + d.B.Columns[d.Pairs[p].B].Label
	}
	for i, p := range d.Pairs {
		out = append(out, fmt.Sprintf("%s by %s", label(i), p.By))
	}
	for _, c := range d.OnlyA {
		out = append(out, "-"+d.A.Columns[c].Label)
	}
	for _, c := range d.OnlyB {
		out = append(out, "+"+d.B.Columns[c].Label)
	}
	for _, r := range d.Rows {
		for i, differs := range r.Differs {
			if differs {
				out = append(out, fmt.Sprintf("%s %s %s>%s", label(i), r.Name, short(r.Old[i]), short(r.New[i])))
			}
		}
	}
	for _, u := range d.Residue {
		for _, p := range u.Pairs {
			what := fmt.Sprintf("%s ?%s", label(p), u.Probe)
			switch {
			case u.Clocks:
				what += " clock"
			case u.Old.Status == Unstable || u.New.Status == Unstable:
				what = fmt.Sprintf("%s ?%s %s > %s", label(p), cmp.Or(u.Row, u.Probe), long(u.Old), long(u.New))
			}
			out = append(out, what)
		}
	}
	return strings.Join(out, "; ")
}

func long(v Value) string {
	if v.Kind == "" && v.Text != "" {
		return string(v.Status) + ": " + v.Text
	}
	return short(v)
}

func short(v Value) string {
	if v.Kind != "" {
		return v.Text
	}
	return string(v.Status)
}

func TestDiff(t *testing.T) {
	for name, c := range map[string]struct{ a, b, want string }{
		"same":          {"6.1.1-1=1 6.12.1-1=1", "6.1.1-1=1 6.12.1-1=1", "6.1.1:6.1.1 by version; 6.12.1:6.12.1 by version"},
		"changed":       {"6.1.1-1=1 6.12.1-1=1", "6.1.1-1=1 6.12.1-1=2", "6.1.1:6.1.1 by version; 6.12.1:6.12.1 by version; 6.12.1:6.12.1 a/b/x.y 1>2"},
		"moved on":      {"6.1.1-1=1 6.12.1-1=1", "6.1.2-1=3 6.12.1-1=1", "6.1.1:6.1.2 by series; 6.12.1:6.12.1 by version; 6.1.1:6.1.2 a/b/x.y 1>3"},
		"ambiguous":     {"6.1.1-1=1 6.1.2-1=1", "6.1.3-1=1", "-6.1.1; -6.1.2; +6.1.3"},
		"version first": {"6.1.1-1=1 6.1.2-1=1", "6.1.2-1=2", "6.1.2:6.1.2 by version; -6.1.1; 6.1.2:6.1.2 a/b/x.y 1>2"},
		"unmatched":     {"6.1.1-1=1 6.2.1-1=1", "6.2.1-1=1 6.3.1-1=1", "6.2.1:6.2.1 by version; -6.1.1; +6.3.1"},
		"by choice":     {"6.1.1-1=1", "7.3.1-1=2", "6.1.1:7.3.1 by choice; 6.1.1:7.3.1 a/b/x.y 1>2"},
		"unsupported":   {"6.1.1-1=1", "6.1.1-1=!unsupported", "6.1.1:6.1.1 by version; 6.1.1:6.1.1 a/b recorded>unsupported"},
		"broken":        {"6.1.1-1=1", "6.1.1-1=!broken", "6.1.1:6.1.1 by version; 6.1.1:6.1.1 ?a/b"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := diffText(Diff(New(run(c.a), nil), New(run(c.b), nil))); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestDiffByRef(t *testing.T) {
	a, b := run("6.1.1-1=1 6.1.2-1=1"), run("6.1.1-1=1 6.1.9-1=2")
	a[1].Kernel.Ref, b[1].Kernel.Ref = "debian:6.1", "debian:6.1"
	want := "6.1.1:6.1.1 by version; 6.1.2:6.1.9 by ref; 6.1.2:6.1.9 a/b/x.y 1>2"
	if got := diffText(Diff(New(a, nil), New(b, nil))); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestDiffOfWhatOneSideLacks(t *testing.T) {
	a, b := run("6.1.1-1=1"), run("6.1.1-1=1")
	extra := func(c *results.CellRows, probe string, rows ...string) {
		c.Probes = append(c.Probes, results.Probe{Name: probe, Outcome: observe.Recorded, Rows: len(rows)})
		for _, r := range rows {
			c.Rows = append(c.Rows, observe.Row{Name: r, Kind: observe.Flag, Value: "yes"})
		}
	}
	extra(&a[0], "c/d", "c/d/x.gone", "c/d/x.stays")
	extra(&b[0], "c/d", "c/d/x.stays", "c/d/x.zoo")
	extra(&a[0], "e/f", "e/f/x.y")
	extra(&b[0], "g/h", "g/h/x.y")
	d := Diff(New(a, nil), New(b, nil))
	got := fmt.Sprint(d.Vanished, d.New, d.ProbesA, d.ProbesB, d.Changes(), d.Failed())
	if want := "[c/d/x.gone] [c/d/x.zoo] [e/f] [g/h] 2 false"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestDiffOfAFailedCell(t *testing.T) {
	a, b := run("6.1.1-1=1"), run("6.1.1-1=!missing")
	b[0].Outcome = results.CellFailed
	d := Diff(New(a, nil), New(b, nil))
	if fmt.Sprint(d.Cells, d.Residue, d.Changes(), d.Failed()) != "[0] [] 0 true" {
		t.Errorf("difference %+v", d)
	}
}
