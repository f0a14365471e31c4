package render

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/table"
)

// written returns what f writes.
func written(t *testing.T, f func(io.Writer) error) []byte {
	t.Helper()
	var buf bytes.Buffer
	if err := f(&buf); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func TestJSON(t *testing.T) {
	for name, make := range map[string]func(*testing.T) *sample{"four": four, "failed": failed, "repetitions": repetitions, "chances": chances, "configured": configured} {
		got := written(t, func(w io.Writer) error { return JSON(w, make(t).table(), summary) })
		golden(t, name+".json", got)
		var back Report
		dec := json.NewDecoder(bytes.NewReader(got))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&back); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	empty := written(t, func(w io.Writer) error { return JSON(w, newSample(t).table(), Summary{}) })
	if bytes.Contains(empty, []byte("null")) {
		t.Errorf("null in the report of nothing:\n%s", empty)
	}
}

// later is the run after four: one kernel moved on, one is new, one broke.
func later(t *testing.T) *sample {
	s := newSample(t, "5.10.262-1", "6.1.195-1", "6.12.117-1", "7.4.1-1")
	s.both("table-full/syn", "syn.class", "9 new", 0, 1)
	s.set("loose/on/ack.entry", "none", 1)
	s.outcome("limits/namespace", observe.Unsupported, "no user namespaces", 2)
	s.outcome("loose/off", observe.Broken, "left behind: link tun0", 1)
	s.cells[0].Rows = append(s.cells[0].Rows, observe.Row{Name: "loose/on/extra.flag", Kind: observe.Flag, Value: "yes"})
	for i := range s.cells {
		s.outcome("limits/defaults", observe.Missing, "", i)
		s.cells[i].Probes = deleteProbe(s.cells[i].Probes, "limits/defaults")
	}
	return s
}

func deleteProbe(probes []results.Probe, name string) []results.Probe {
	var out []results.Probe
	for _, p := range probes {
		if p.Name != name {
			out = append(out, p)
		}
	}
	return out
}

func TestDiff(t *testing.T) {
	before := func(t *testing.T) *table.Table {
		return newSample(t, "5.10.262-1", "6.1.192-2", "6.12.117-1", "7.3.4-1").table()
	}
	columns := func(t *testing.T, from, to int) *table.Difference {
		s := four(t)
		return table.Diff(table.New(s.cells[from:from+1], heads), table.New(s.cells[to:to+1], heads))
	}
	for name, d := range map[string]*table.Difference{
		"diff":         table.Diff(before(t), later(t).table()),
		"diff.same":    table.Diff(before(t), before(t)),
		"diff.columns": columns(t, 1, 2),
		"diff.nothing": table.Diff(newSample(t, "6.1.1-1", "6.1.2-1").table(), newSample(t, "7.1.1-1").table()),
	} {
		for suffix, o := range map[string]Options{".80": {}, ".120": {Width: 120}, ".80.color": {Color: true}} {
			got := written(t, func(w io.Writer) error { return DiffText(w, d, o) })
			golden(t, name+suffix+".txt", got)
			if !o.Color {
				fits(t, got, max(o.Width, 80))
			}
		}
		golden(t, name+".json", written(t, func(w io.Writer) error { return DiffJSON(w, d) }))
	}
}

// A diff of runs that repeated, and of kernels on different clocks.
func TestDiffOfWhatMustNotBeCompared(t *testing.T) {
	timed := append([]observe.Head{}, heads...)
	timed[0].Timed = true
	on := func(clock string) *table.Table {
		s := newSample(t, "5.10.262-1", "6.1.192-2")
		s.set("limits/defaults/max.per-bucket", "4", 0)
		for i := range s.cells {
			s.cells[i].Guest.Clock = "virtual"
		}
		s.cells[1].Guest.Clock = clock
		if clock == "host" {
			s.set("table-full/syn/syn.class", "9 new", 0, 1).set("loose/on/ack.entry", "none", 1)
		}
		return table.New(s.cells, timed)
	}
	steady := newSample(t, "5.10.262-1", "6.1.192-2", "6.12.117-1")
	for name, d := range map[string]*table.Difference{
		"diff.clocks":      table.Diff(on("virtual"), on("host")),
		"diff.repetitions": table.Diff(steady.table(), repetitions(t).table()),
	} {
		for suffix, o := range map[string]Options{".80": {}, ".120": {Width: 120}} {
			got := written(t, func(w io.Writer) error { return DiffText(w, d, o) })
			golden(t, name+suffix+".txt", got)
			fits(t, got, max(o.Width, 80))
		}
		golden(t, name+".json", written(t, func(w io.Writer) error { return DiffJSON(w, d) }))
	}
}

func TestStability(t *testing.T) {
	steady := newSample(t, "5.10.262-1", "6.1.192-2", "5.10.262-1", "6.1.192-2", "5.10.262-1", "6.1.192-2")
	for name, trial := range map[string]*table.Trial{
		"stability": flicker25(t), "stability.steady": trials(steady),
		"stability.none": trials(newSample(t, "6.1.192-2", "7.3.4-1")), "stability.hostile": trials(hostileTwice(t)),
	} {
		for suffix, o := range map[string]Options{".80": {}, ".120": {Width: 120}, ".80.color": {Color: true}} {
			got := written(t, func(w io.Writer) error { return StabilityText(w, trial, summary, o) })
			golden(t, name+suffix+".txt", got)
			if !o.Color {
				fits(t, got, max(o.Width, 80))
			}
		}
		got := written(t, func(w io.Writer) error { return StabilityJSON(w, trial, summary) })
		var back StabilityReport
		dec := json.NewDecoder(bytes.NewReader(got))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&back); err != nil || bytes.Contains(got, []byte("null")) {
			t.Errorf("%s: %v in\n%s", name, err, got)
		}
		if name != "stability.hostile" {
			golden(t, name+".json", got)
		}
	}
}

// hostileTwice is hostile, and the same kernels as they should be.
func hostileTwice(t *testing.T) *sample {
	s := hostile(t)
	s.cells = append(s.cells, newSample(t, "6.1.192-2", "6.12.117-1").cells...)
	return s
}

func TestLists(t *testing.T) {
	all := append([]observe.Head{}, heads...)
	all = append(all, observe.Head{Name: "table-full/syn@child", Question: heads[0].Question})
	all = append(all, observe.Head{Name: "table-full/evil\x1b[0m", Question: "\x07"})
	all[2].Timed = true
	for name, f := range map[string]func(io.Writer) error{
		"probe.timed.txt": func(w io.Writer) error { return Probe(w, all[2], Options{}) },
		"probes.txt":      func(w io.Writer) error { return Probes(w, all, Options{}) },
		"probe.txt":       func(w io.Writer) error { return Probe(w, heads[0], Options{}) },
		"columns.txt": func(w io.Writer) error {
			return Columns(w, []string{"VERSION", "RELEASE", "SUITE"}, [][]string{
				{"6.1.192-2", "6.1.0-56-cloud-amd64", "bookworm"},
				{"7.3.4-1", "7.3.4+deb13-cloud-amd64", strings.Repeat("trixie-backports ", 6)},
				{"short"},
			}, Options{})
		},
		"columns.none.txt": func(w io.Writer) error { return Columns(w, []string{"VERSION", "RELEASE"}, nil, Options{}) },
	} {
		got := written(t, f)
		golden(t, name, got)
		fits(t, got, 80)
	}
}

func TestWriteErrorsArePassedOn(t *testing.T) {
	want := errors.New("disk full")
	tab := four(t).table()
	d := table.Diff(tab, tab)
	for name, f := range map[string]func(io.Writer) error{
		"text":    func(w io.Writer) error { return Text(w, tab, summary, Options{}) },
		"json":    func(w io.Writer) error { return JSON(w, tab, summary) },
		"diff":    func(w io.Writer) error { return DiffText(w, d, Options{}) },
		"difjson": func(w io.Writer) error { return DiffJSON(w, d) },
		"trial":   func(w io.Writer) error { return StabilityText(w, flicker25(t), summary, Options{}) },
		"trijson": func(w io.Writer) error { return StabilityJSON(w, flicker25(t), summary) },
		"probes":  func(w io.Writer) error { return Probes(w, heads, Options{}) },
		"probe":   func(w io.Writer) error { return Probe(w, heads[0], Options{}) },
		"columns": func(w io.Writer) error { return Columns(w, []string{"A"}, nil, Options{}) },
	} {
		if err := f(failing{want}); !errors.Is(err, want) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

// Whatever a row holds, a line keeps to its width and to what a terminal just
// prints.
func FuzzText(f *testing.F) {
	f.Add(strings.Repeat("x ", observe.MaxValue), strings.Repeat("\x00", 1<<15), 57)
	f.Add("10 new", "\x1b[2J", 80)
	f.Add(strings.Repeat("世界", 200), "\u202e", 40)
	f.Add("", "a\nb", 120)
	f.Fuzz(func(t *testing.T, value, reason string, w int) {
		s := newSample(t, "6.1.1-1", "6.12.1-1")
		s.set("loose/on/ack.entry", value, 0)
		s.outcome("loose/off", observe.Broken, reason, 0)
		w = 40 + (w%200+200)%200
		fits(t, text(t, s, Options{Width: w}), w)
	})
}

// history is a sample of several series: a row that was fixed in three of them,
// one that comes and goes, a long one, and kernels that did not answer.
func history(t *testing.T) *sample {
	s := newSample(t, "5.10.218-1", "5.10.251-5", "5.10.262-1", "6.1.170-3", "6.1.176-1~deb11u1", "6.1.176-1",
		"6.12.90-2", "6.12.94-1", "6.12.96-1", "6.12.117-1", "6.16.3-1", "6.17.8-1", "7.3~rc7-1~exp1", "7.3.4-1")
	s.set("loose/on/ack.raw", "11", 2, 5, 7, 8, 9, 12, 13)
	s.set("table-full/syn/syn.raw", "9", 8)
	s.set("limits/child-write/initial-loose.value", strings.Repeat("a long line of the kernel's log, ", 3)+"and its end", 11, 12, 13)
	s.cells[4].Outcome, s.cells[4].Reason = results.CellFailed, "package has gone from the mirror"
	s.cells[4].Probes, s.cells[4].Rows = nil, nil
	return s
}

func TestTimeline(t *testing.T) {
	table := history(t).table()
	for name, match := range map[string]func(string) bool{
		"all":    func(string) bool { return true },
		"probe":  func(row string) bool { return strings.HasPrefix(row, "loose/on/") },
		"single": func(row string) bool { return row == "table-full/syn/syn.raw" },
	} {
		lines := table.Timeline(match)
		for _, o := range []Options{{Width: 80}, {Width: 160}, {Width: 80, Color: true}} {
			var b bytes.Buffer
			if err := TimelineText(&b, table, lines, name == "probe", o); err != nil {
				t.Fatal(err)
			}
			file := fmt.Sprintf("timeline.%s.%d.txt", name, o.Width)
			if o.Color {
				file = fmt.Sprintf("timeline.%s.%d.color.txt", name, o.Width)
			}
			golden(t, file, b.Bytes())
			for line := range strings.Lines(b.String()) {
				if !o.Color && width(strings.TrimSuffix(line, "\n")) > o.Width {
					t.Errorf("%s: a line of more than %d columns: %s", file, o.Width, line)
				}
			}
		}
		if name == "single" {
			var b bytes.Buffer
			if err := TimelineJSON(&b, table, lines, false); err != nil {
				t.Fatal(err)
			}
			golden(t, "timeline.json", b.Bytes())
		}
	}
}
