package sched

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ctmatrix/ctmatrix/images/kernel"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
)

// resumed goes on with the run of a rig, with other scripts.
func resumed(t *testing.T, old *rig, scripts map[string]script) *rig {
	t.Helper()
	if err := old.Out.Close(); err != nil {
		t.Fatal(err)
	}
	out, run, err := results.Resume(old.Out.Dir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { out.Close() })
	r := newRig(t, scripts)
	if r.cells, err = CellsOf(run); err != nil {
		t.Fatal(err)
	}
	if err := out.Continue(time.Now()); err != nil {
		t.Fatal(err)
	}
	r.Out = out
	return r
}

// interrupt runs a rig until one of its guests hangs.
func (r *rig) interrupt(t *testing.T) []results.CellRows {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-r.fakes.hangs
		cancel()
	}()
	return r.run(ctx, t)
}

// What has ended stays, what was cut off is completed, the rest is run.
func TestResume(t *testing.T) {
	first := newRig(t, map[string]script{
		"1": obeys,
		"2": {stream: upTo(t, stream(t, "2-cloud"), `"begin"`, 2), execErr: errors.New("gone"), death: "Oops: "},
		"3": {fetchErr: errors.New("no network")},
		"4": {stream: upTo(t, stream(t, "4-cloud"), `"begin"`, 2), hang: true},
		"5": obeys,
	})
	first.Jobs = 1
	before := first.interrupt(t)
	second := resumed(t, first, map[string]script{"1": obeys, "2": obeys, "3": obeys, "4": obeys, "5": obeys})
	for i, c := range second.run(t.Context(), t) {
		want, words := results.CellOK, "[waits boots runs ends ok]"
		if before[i].Outcome == results.CellOK || before[i].Outcome == results.CellCrashed {
			want, words = before[i].Outcome, "[kept]"
			if diff := cmp.Diff(before[i], c); diff != "" {
				t.Errorf("cell %s had ended and changed:\n%s", c.Dir, diff)
			}
		}
		if c.Outcome != want || c.Outcome == results.CellOK && len(c.Rows) != len(probes) {
			t.Errorf("cell %s is %s: %s, with %d rows; it was %s", c.Dir, c.Outcome, c.Reason, len(c.Rows), before[i].Outcome)
		}
		if got := fmt.Sprint(second.states.words[i]); got != words {
			t.Errorf("cell %s: states %s, want %s", c.Dir, got, words)
		}
	}
}

// A cell that was cut in the middle runs only the probes that it lacks, and its
// logs go on.
func TestResumeInTheMiddle(t *testing.T) {
	first := newRig(t, map[string]script{"1": {stream: upTo(t, stream(t, "1-cloud"), `"begin"`, 2), hang: true}})
	first.interrupt(t)
	second := resumed(t, first, map[string]script{"1": obeys})
	c := second.run(t.Context(), t)[0]
	if got, want := fmt.Sprint(second.fakes.argv), "[[/init run --probe a/two --probe b/one]]"; got != want {
		t.Errorf("ran %s, want %s", got, want)
	}
	if got, want := outcomes(c), "a/one recorded, a/two recorded, b/one recorded"; c.Outcome != results.CellOK || got != want {
		t.Errorf("the cell is %s with %s", c.Outcome, got)
	}
	for file, want := range map[string]string{
		results.ConsoleFile:   "the console of 1\nthe console of 1\n",
		results.KernelLogFile: `[    1.500000] a/one: table\x1b full` + "\n",
	} {
		if got, err := os.ReadFile(filepath.Join(second.Out.CellDir(0), file)); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v; want %q", file, got, err, want)
		}
	}
	var steps []string
	for _, s := range c.Steps {
		steps = append(steps, s.Name)
	}
	if want := []string{"fetch", "image", "boot", "suite", "stop"}; !slices.Equal(steps, want) {
		t.Errorf("steps %q, want %q", steps, want)
	}
	if !second.fakes.images[0].Again {
		t.Error("the console would tell the boot twice")
	}
}

// It is the kernel of the plan that is fetched, and no other that its ref names
// by now. The cell is called what it was called.
func TestResumeSameKernel(t *testing.T) {
	first := newRig(t, map[string]script{"1": {stream: upTo(t, stream(t, "1-cloud"), `"begin"`, 2), hang: true}})
	k := &first.cells[0].Kernel
	k.Source, k.Suite, k.Ref, k.Flavour, k.Arch = kernel.SchemeDebian, "sid", "debian:1", "cloud", "amd64"
	planned, err := Plan(first.cells)
	if err != nil {
		t.Fatal(err)
	}
	if first.Out, err = results.Create(t.TempDir(), "run", results.Plan{Cells: planned}); err != nil {
		t.Fatal(err)
	}
	first.interrupt(t)
	second := resumed(t, first, map[string]script{"1": obeys})
	f := &fetches{fakes: second.fakes}
	second.Kernels, second.Booter = f, f
	c := second.run(t.Context(), t)[0]
	if want := (kernel.Candidate{Source: "debian", Suite: "sid", Version: "1", Flavour: "cloud", Arch: "amd64"}).Exact(); f.refs[0] != want {
		t.Errorf("fetched %s, want %s", f.refs[0], want)
	}
	if c.Outcome != results.CellOK || c.Kernel.Ref != "debian:1" {
		t.Errorf("the cell is %s, of %s", c.Outcome, c.Kernel.Ref)
	}
}

// A crash stays, and the probes behind it are run.
func TestResumeBehindACrash(t *testing.T) {
	first := newRig(t, map[string]script{"1": {
		stream: upTo(t, stream(t, "1-cloud"), `"begin"`, 2), execErr: errors.New("gone"), death: "Oops: ",
		then: []script{{stream: upTo(t, streamOf("1-cloud", probes[2:]), `"begin"`, 1), hang: true}},
	}})
	if c := first.interrupt(t)[0]; c.Outcome != results.CellMissing {
		t.Fatalf("when it was cut short, the cell is %s: %s", c.Outcome, c.Reason)
	}
	second := resumed(t, first, map[string]script{"1": obeys})
	c := second.run(t.Context(), t)[0]
	if got, want := outcomes(c), "a/one recorded, a/two crashed, b/one recorded"; got != want {
		t.Errorf("probes %s, want %s", got, want)
	}
	if c.Outcome != results.CellCrashed || c.Reason != "the kernel died during a/two: Oops: " {
		t.Errorf("the cell is %s: %q", c.Outcome, c.Reason)
	}
	if got, want := fmt.Sprint(second.fakes.argv), "[[/init run --probe b/one]]"; got != want {
		t.Errorf("ran %s, want %s", got, want)
	}
}

// A cell that would not be the same any more runs from its start.
func TestResumeAnotherCell(t *testing.T) {
	first := newRig(t, map[string]script{"1": {stream: upTo(t, stream(t, "1-cloud"), `"begin"`, 2), hang: true}})
	first.interrupt(t)
	second := resumed(t, first, map[string]script{"1": obeys})
	second.Agent = []byte("another")
	second.run(t.Context(), t)
	if got, want := fmt.Sprint(second.fakes.argv), "[[/init run --probe a/one --probe a/two --probe b/one]]"; got != want {
		t.Errorf("ran %s, want %s", got, want)
	}
}

// A plan comes back as it was written, and is not believed.
func TestPlan(t *testing.T) {
	r := newRig(t, map[string]script{"1": {}, "2": {}})
	r.cells[0].Variant.Args = []string{"nosmt"}
	r.cells[0].Kernel.Warnings = []string{"w"}
	planned, err := Plan(r.cells)
	if err != nil {
		t.Fatal(err)
	}
	run := &results.Run{Plan: results.Plan{Cells: planned}, Cells: make([]results.CellRows, len(planned))}
	cells, err := CellsOf(run)
	if err != nil {
		t.Fatal(err)
	}
	for i := range cells {
		if cells[i].Before != &run.Cells[i] {
			t.Errorf("cell %d had come to something else", i)
		}
		cells[i].Before = nil
		if diff := cmp.Diff(r.cells[i], cells[i]); diff != "" {
			t.Errorf("(-planned +read):\n%s", diff)
		}
	}
	for _, spec := range []string{
		``, `[]`, `{"rubbish": 1}`,
		strings.Replace(string(planned[1].Spec), `"256M"`, `"900G"`, 1),
		strings.Replace(string(planned[1].Spec), `"variant"`, `"repeat":3,"variant"`, 1),
	} {
		run.Plan.Cells[1].Spec = []byte(spec)
		if cells, err := CellsOf(run); err == nil {
			t.Errorf("%q is read as %+v", spec, cells[1])
		}
	}
}
