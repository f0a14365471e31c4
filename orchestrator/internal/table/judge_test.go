package table

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/notes"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
)

// judgeText writes a judgement in short.
func judgeText(j *Judgement) string {
	out := []string{diffText(j.Difference)}
	for _, r := range j.Vanished {
		out = append(out, "gone "+r)
	}
	for _, u := range j.Unblessed {
		out = append(out, fmt.Sprintf("unblessed %s %v", u.Probe, u.Pairs))
	}
	for _, c := range j.Below {
		out = append(out, "below "+c.Row.Name+" "+edgeList(j.B, []Edge{c.Boundaries[0].Edge}))
	}
	return strings.Join(out, "; ")
}

// with adds a probe with one row to a cell.
func with(c results.CellRows, probe, value string) results.CellRows {
	c.Probes = append(c.Probes, results.Probe{Name: probe, Outcome: observe.Recorded, Rows: 1})
	c.Rows = append(c.Rows, observe.Row{Name: probe + "/x.y", Kind: observe.Count, Value: value})
	return c
}

func TestJudge(t *testing.T) {
	all := func(string) bool { return true }
	for name, c := range map[string]struct {
		blessed, run []results.CellRows
		asked        func(string) bool
		want         string
		found        string
	}{
		"as blessed":   {run("6.1.1-1=1 6.12.1-1=2"), run("6.1.1-1=1 6.12.1-1=2"), all, "6.1.1:6.1.1 by version; 6.12.1:6.12.1 by version", ""},
		"changed":      {run("6.1.1-1=1 6.12.1-1=2"), run("6.1.1-1=1 6.12.1-1=1"), all, "6.1.1:6.1.1 by version; 6.12.1:6.12.1 by version; 6.12.1:6.12.1 a/b/x.y 2>1", "1 unexplained"},
		"no choice":    {run("6.1.1-1=1"), run("7.3.1-1=2"), all, "-6.1.1; +7.3.1", ""},
		"never before": {run("6.1.1-1=1"), run("6.1.2-1=1 6.6.1-1=2 7.3.1-1=2"), all, "6.1.1:6.1.2 by series; +6.6.1; +7.3.1; below a/b/x.y 6.1.2>6.6.1", "1 unexplained"},
		"probe gone": {
			[]results.CellRows{with(one("6.1.1-1", "1"), "a/c", "1")}, run("6.1.1-1=1"), all, "6.1.1:6.1.1 by version; gone a/c/x.y", "1 vanished",
		},
		"probe not asked": {
			[]results.CellRows{with(one("6.1.1-1", "1"), "a/c", "1")}, run("6.1.1-1=1"), func(string) bool { return false }, "6.1.1:6.1.1 by version", "",
		},
		"probe new": {
			run("6.1.1-1=1"), []results.CellRows{with(one("6.1.1-1", "1"), "a/c", "1")}, all, "6.1.1:6.1.1 by version", "1 new",
		},
		"not blessed on one": {
			[]results.CellRows{with(one("6.1.1-1", "1"), "a/c", "1"), one("7.3.1-1", "1")},
			[]results.CellRows{with(one("6.1.1-1", "1"), "a/c", "1"), with(one("7.3.1-1", "1"), "a/c", "1")},
			all, "6.1.1:6.1.1 by version; 7.3.1:7.3.1 by version; unblessed a/c [1]", "1 new",
		},
		"broken": {run("6.1.1-1=1 6.12.1-1=2"), run("6.1.1-1=!broken 6.12.1-1=!crashed"), all, "6.1.1:6.1.1 by version; 6.12.1:6.12.1 by version", "1 broken, 1 crashed"},
		"broken, and new": {
			run("6.1.1-1=1"), []results.CellRows{func() results.CellRows {
				c := one("6.1.1-1", "1")
				c.Probes = append(c.Probes, results.Probe{Name: "a/c", Outcome: observe.Broken, Reason: "rig"})
				return c
			}()}, all, "6.1.1:6.1.1 by version", "1 new, 1 broken",
		},
		"unsupported, as blessed": {run("6.1.1-1=!unsupported"), run("6.1.1-1=!unsupported"), all, "6.1.1:6.1.1 by version", "1 unsupported"},
	} {
		t.Run(name, func(t *testing.T) {
			j := Judge(New(c.blessed, nil), New(c.run, nil), c.asked)
			if got := judgeText(j); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			everything, err := ParseFailOn(Words()[:len(Words())-1])
			if err != nil {
				t.Fatal(err)
			}
			if _, why := everything.Status(j.Findings()); why != c.found {
				t.Errorf("found %q, want %q", why, c.found)
			}
		})
	}
}

// A row that some kernels were blessed without is as blessed, and no residue.
func TestJudgeOfAbsentRow(t *testing.T) {
	more := one("6.1.1-1", "1")
	more.Rows = append(more.Rows, observe.Row{Name: "a/b/x.z", Kind: observe.Count, Value: "1"})
	more.Probes[0].Rows++
	cells := []results.CellRows{more, one("7.3.1-1", "1")}
	j := Judge(New(cells, nil), New(cells, nil), nil)
	if status, why := FailOnDefault().Status(j.Findings()); status != ExitSame || j.Failed() {
		t.Errorf("status %d: %s", status, why)
	}
	if status, _ := FailOnDefault().Status(New(cells, nil).Findings()); status != ExitFailed {
		t.Errorf("status %d without a baseline", status)
	}
}

func TestFailOn(t *testing.T) {
	book := Book{Notes: []notes.Note{{Rows: []string{"a/b"}, Since: map[string]notes.Point{"mainline": {With: "6.12"}}, Reason: "so"}}}
	explained := New(run("6.1.1-1=1 6.12.1-1=2"), nil)
	explained.Book = book
	broken := New(run("6.1.1-1=1 6.12.1-1=2 7.3.1-1=!broken"), nil)
	for _, c := range []struct {
		words string
		t     *Table
		want  int
		why   string
	}{
		{FailOnDefault().String(), explained, ExitSame, ""},
		{"explained", explained, ExitChanged, "1 explained"},
		{"unexplained", explained, ExitSame, ""},
		{FailOnDefault().String(), broken, ExitFailed, "1 unexplained, 1 broken"},
		{"unexplained", broken, ExitChanged, "1 unexplained"},
		{"broken", broken, ExitFailed, "1 broken"},
		{"never", broken, ExitSame, ""},
		{"unsupported,crashed", New(run("6.1.1-1=!unsupported 6.12.1-1=!crashed"), nil), ExitFailed, "1 unsupported, 1 crashed"},
		{"missing", New(run("6.1.1-1=!missing"), nil), ExitFailed, "1 missing"},
	} {
		f, err := ParseFailOn(strings.Split(c.words, ","))
		if err != nil {
			t.Fatal(err)
		}
		if got, why := f.Status(c.t.Findings()); got != c.want || why != c.why || f.String() != c.words {
			t.Errorf("--fail-on %s (%s): status %d for %q, want %d for %q", c.words, f, got, why, c.want, c.why)
		}
	}
	for words, want := range map[string]string{
		"unexplianed":  `unknown "unexplianed": known are unexplained, vanished, new, explained, unsupported, unstable, broken, crashed, missing, uncompared, never`,
		"never,broken": "never stands alone: leave out the others",
		"":             `unknown "": known are unexplained, vanished, new, explained, unsupported, unstable, broken, crashed, missing, uncompared, never`,
	} {
		if _, err := ParseFailOn(strings.Split(words, ",")); err == nil || err.Error() != want {
			t.Errorf("%q: %v\nwant %s", words, err, want)
		}
	}
}

// The default is what the exit status of a comparison has always been.
func TestFailOnDefaultIsAsBefore(t *testing.T) {
	for _, words := range []string{"6.1.1-1=1 6.12.1-1=1", "6.1.1-1=1 6.12.1-1=2", "6.1.1-1=1 6.12.1-1=!broken", "6.1.1-1=1 6.12.1-1=!unsupported"} {
		x := New(run(words), nil)
		if got, _ := FailOnDefault().Status(x.Findings()); got != ExitStatus(Unexplained(x.Changes()), !x.Residue().Empty()) {
			t.Errorf("%s: status %d", words, got)
		}
		d := Diff(New(run("6.1.1-1=1 6.12.1-1=1"), nil), x)
		if got, _ := FailOnDefault().Status(d.Findings()); got != ExitStatus(d.Unexplained(), d.Failed()) {
			t.Errorf("diff with %s: status %d", words, got)
		}
	}
}
