package sched

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ctmatrix/ctmatrix/images/kernel"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
)

// again is a rig with the same cache as another, whose only kernel does as the
// script says, and what it warns of.
func again(t *testing.T, cache *results.Cache, s script) (*rig, *[]string) {
	t.Helper()
	r := newRig(t, map[string]script{"1": s})
	r.Cells = cache
	var warnings []string
	r.Warn = func(msg string) { warnings = append(warnings, msg) }
	return r, &warnings
}

var obeys = script{obeys: true}

// sameFiles are those that a cell from the cache has like any other.
func sameFiles(t *testing.T, measured, cached *rig) {
	t.Helper()
	for _, name := range []string{results.RowsFile, results.ConsoleFile, results.KernelLogFile} {
		want, err := os.ReadFile(filepath.Join(measured.Out.CellDir(0), name))
		if err != nil || len(want) == 0 {
			t.Fatalf("%s: %q, %v", name, want, err)
		}
		got, err := os.ReadFile(filepath.Join(cached.Out.CellDir(0), name))
		if diff := cmp.Diff(string(want), string(got)); err != nil || diff != "" {
			t.Errorf("%s: %v (-measured +cached)\n%s", name, err, diff)
		}
	}
}

// What is known is not run again, and the run directory is as whole as if it had
// been.
func TestCached(t *testing.T) {
	cache := results.NewCache(t.TempDir())
	first, _ := again(t, cache, obeys)
	want := first.run(t.Context(), t)[0]
	if !want.Booted() || want.Cached != nil {
		t.Errorf("the first came from the cache: %v", want.Cached)
	}
	second, warnings := again(t, cache, script{})
	got := second.run(t.Context(), t)[0]
	if len(second.fakes.boots) > 0 || got.Booted() || len(*warnings) > 0 {
		t.Errorf("booted %v, warned of %q", second.fakes.boots, *warnings)
	}
	sameFiles(t, first, second)
	if len(got.Cached) != 1 || got.Cached[0].Run != first.Out.Dir() || got.Cached[0].At.IsZero() || !slices.Equal(got.Cached[0].Probes, probes) {
		t.Errorf("the cell says it is from %+v", got.Cached)
	}
	var steps []string
	for _, s := range got.Steps {
		steps = append(steps, s.Name)
	}
	if want := []string{"fetch", "cache"}; !slices.Equal(steps, want) {
		t.Errorf("steps %q, want %q", steps, want)
	}
	got.Cached, got.Steps, want.Steps = nil, nil, nil
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the cell is another (-measured +cached):\n%s", diff)
	}
	if got, want := fmt.Sprint(second.states.words[0]), "[waits ok]"; got != want {
		t.Errorf("states %s, want %s", got, want)
	}
}

// What is known of a kernel that is held needs none of its files. What is not has them
// fetched before they are booted, and they must be those of the same kernel.
func TestHeld(t *testing.T) {
	cache := results.NewCache(t.TempDir())
	digest := "digest of 1"
	held := func(s script) (*rig, *fetches) {
		r, _ := again(t, cache, s)
		f := &fetches{fakes: r.fakes}
		r.Kernels, r.Booter = f, f
		r.Held = func(_ context.Context, c kernel.Candidate) *kernel.Kernel {
			return &kernel.Kernel{Candidate: c, Image: c.Version, ModulesDir: r.fakes.modules, Digest: digest}
		}
		return r, f
	}
	first, fetched := held(obeys)
	if got := first.run(t.Context(), t)[0]; !got.Booted() || len(fetched.refs) != 1 {
		t.Errorf("%s: %s; fetched %q", got.Outcome, got.Reason, fetched.refs)
	}
	second, fetched := held(script{fetchErr: errors.New("never asked")})
	if got := second.run(t.Context(), t)[0]; got.Outcome != results.CellOK || len(fetched.refs) != 0 {
		t.Errorf("%s: %s; fetched %q", got.Outcome, got.Reason, fetched.refs)
	}
	sameFiles(t, first, second)
	broken, _ := held(script{fetchErr: errors.New("it has gone")})
	broken.Anew = true
	if got := broken.run(t.Context(), t)[0]; got.Outcome != results.CellFailed || got.Reason != "it has gone" || got.Booted() {
		t.Errorf("%s: %s", got.Outcome, got.Reason)
	}
	gone, fetched := held(obeys)
	gone.Anew, gone.Held = true, func(context.Context, kernel.Candidate) *kernel.Kernel { return nil }
	if got := gone.run(t.Context(), t)[0]; !got.Booted() || len(fetched.refs) != 1 {
		t.Errorf("%s: %s; what was fetched is fetched again: %q", got.Outcome, got.Reason, fetched.refs)
	}
	digest = "digest of another"
	other, _ := held(obeys)
	if got := other.run(t.Context(), t)[0]; got.Outcome != results.CellFailed || !strings.Contains(got.Reason, "another kernel: run it anew") || got.Booted() {
		t.Errorf("%s: %s", got.Outcome, got.Reason)
	}
}

// Of a selection, only what nobody asked yet is run.
func TestCachedInPart(t *testing.T) {
	cache := results.NewCache(t.TempDir())
	for _, step := range []struct {
		selected []string
		runs     string
		origins  int
	}{
		{probes[:1], "[[/init run --probe a/one]]", 0},
		{probes, "[[/init run --probe a/two --probe b/one]]", 1},
		{probes[1:2], "[]", 1},
		{probes, "[]", 2},
	} {
		r, _ := again(t, cache, obeys)
		r.Selected = step.selected
		c := r.run(t.Context(), t)[0]
		if got := fmt.Sprint(r.fakes.argv); got != step.runs {
			t.Errorf("for %q it ran %s, want %s", step.selected, got, step.runs)
		}
		if c.Outcome != results.CellOK || len(c.Probes) != len(step.selected) || len(c.Rows) != len(step.selected) || len(c.Cached) != step.origins {
			t.Errorf("for %q the cell is %s with %s and %d rows, from %v", step.selected, c.Outcome, outcomes(c), len(c.Rows), c.Cached)
		}
	}
}

// Whoever says so measures all anew, and later runs get that.
func TestAnew(t *testing.T) {
	cache := results.NewCache(t.TempDir())
	first, _ := again(t, cache, obeys)
	first.run(t.Context(), t)
	other := script{stream: bytes.ReplaceAll(stream(t, "1-cloud"), []byte(`"value":"1"`), []byte(`"value":"7"`))}
	second, warnings := again(t, cache, other)
	second.Anew = true
	if c := second.run(t.Context(), t)[0]; c.Rows[1].Value != "7" || c.Cached != nil {
		t.Errorf("rows %v, from the cache %v", c.Rows, c.Cached)
	}
	if w := *warnings; len(w) != 1 || !strings.Contains(w[0], "1 rows are not as they were") || !strings.Contains(w[0], "a/two/s.n") {
		t.Errorf("warned of %q", w)
	}
	third, _ := again(t, cache, script{})
	if c := third.run(t.Context(), t)[0]; c.Rows[1].Value != "7" || c.Booted() {
		t.Errorf("then: rows %v, booted %v", c.Rows, c.Booted())
	}
}

// What is no answer is asked again, and so is what a cell that went wrong said.
func TestNotCached(t *testing.T) {
	whole := stream(t, "1-cloud")
	broken := bytes.Replace(whole, []byte(`"outcome":"recorded"`), []byte(`"outcome":"broken","reason":"r"`), 1)
	row := bytes.Index(broken, []byte(`{"row"`))
	broken = slices.Delete(broken, row, row+bytes.IndexByte(broken[row:], '\n')+1)
	broken = bytes.Replace(broken, []byte(`"rows":3`), []byte(`"rows":2`), 1)
	all := "[[/init run --probe a/one --probe a/two --probe b/one]]"
	for _, tt := range []struct {
		name   string
		first  script
		change func(r *rig)
		runs   string
	}{
		{"broken probe", script{stream: broken}, nil, "[[/init run --probe a/one]]"},
		{"crash", script{stream: upTo(t, whole, `"begin"`, 2), death: "Oops: "}, nil, all},
		{"garbage", script{stream: append(slices.Clone(upTo(t, whole, `"begin"`, 2)), "x\n"...)}, nil, all},
		{"host clock", obeys, func(r *rig) { r.cells[0].Guest.Clock = "host" }, all[:len(all)-2] + " --clock host]]"},
		{"no cache", obeys, func(r *rig) { r.Cells = nil }, all},
		{"another agent", obeys, func(r *rig) { r.Agent = append(r.Agent, fmt.Sprintf("%p", r)...) }, all},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cache := results.NewCache(t.TempDir())
			first, _ := again(t, cache, tt.first)
			second, _ := again(t, cache, obeys)
			for _, r := range []*rig{first, second} {
				if tt.change != nil {
					tt.change(r)
				}
			}
			first.run(t.Context(), t)
			c := second.run(t.Context(), t)[0]
			if got := fmt.Sprint(second.fakes.argv); got != tt.runs {
				t.Errorf("the second ran %s, want %s", got, tt.runs)
			}
			if c.Outcome != results.CellOK || len(c.Rows) != len(probes) {
				t.Errorf("the second is %s with %d rows", c.Outcome, len(c.Rows))
			}
		})
	}
}

// To repeat is to measure.
func TestRepetitionsAreNotCached(t *testing.T) {
	r, _ := again(t, results.NewCache(t.TempDir()), obeys)
	spec := r.cells[0]
	if !r.keeps(spec) {
		t.Error("a cell that runs once is not kept")
	}
	spec.Repeat = 1
	if r.keeps(spec) {
		t.Error("a repetition is kept")
	}
}

// A cache that cannot be believed, or not written to, costs time and nothing
// else.
func TestCacheInTrouble(t *testing.T) {
	dir := t.TempDir()
	first, _ := again(t, results.NewCache(dir), obeys)
	c := first.run(t.Context(), t)[0]
	if err := os.Truncate(filepath.Join(dir, c.ID), 100); err != nil {
		t.Fatal(err)
	}
	second, warnings := again(t, results.NewCache(dir), obeys)
	if c := second.run(t.Context(), t)[0]; c.Outcome != results.CellOK || !c.Booted() {
		t.Errorf("the cell is %s, booted %v", c.Outcome, c.Booted())
	}
	if w := *warnings; len(w) != 1 || !strings.Contains(w[0], "measured anew") || !strings.Contains(w[0], c.ID) {
		t.Errorf("warned of %q", w)
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	third, warnings := again(t, results.NewCache(filepath.Join(dir, "file")), obeys)
	if c := third.run(t.Context(), t)[0]; c.Outcome != results.CellOK {
		t.Errorf("the cell is %s: %s", c.Outcome, c.Reason)
	}
	if w := *warnings; len(w) == 0 || !strings.Contains(w[len(w)-1], "not kept for later runs") {
		t.Errorf("warned of %q", w)
	}
}
