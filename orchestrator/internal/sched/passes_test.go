package sched

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
)

// again makes a rig run each of its cells n times.
func (r *rig) again(t *testing.T, n int) {
	t.Helper()
	once := r.cells
	r.cells = nil
	var plan results.Plan
	for repeat := 1; repeat <= n; repeat++ {
		for _, spec := range once {
			spec.Repeat = repeat
			r.cells = append(r.cells, spec)
			c := Planned(spec)
			plan.Cells = append(plan.Cells, results.Planned{Kernel: c.Kernel, Variant: c.Variant, Repeat: c.Repeat})
		}
	}
	w, err := results.Create(t.TempDir(), "run", plan)
	if err != nil {
		t.Fatal(err)
	}
	r.Out = w
}

// Every kernel has its turn before any has its second, and one that cannot be
// fetched holds nobody up.
func TestPassesFollowEachOther(t *testing.T) {
	r := newRig(t, map[string]script{
		"6.1": {stream: stream(t, "6.1-cloud")}, "6.12": {stream: stream(t, "6.12-cloud")},
		"7.3": {fetchErr: errors.New("not on the mirror")},
	})
	r.again(t, 3)
	r.Jobs = 1
	cells := r.run(t.Context(), t)
	if len(r.fakes.images) != 6 {
		t.Fatalf("%d boots, want 6", len(r.fakes.images))
	}
	for pass := range 3 {
		a, b := r.fakes.images[2*pass].Kernel, r.fakes.images[2*pass+1].Kernel
		if a == b {
			t.Errorf("pass %d booted %s twice", pass+1, a)
		}
	}
	for i, c := range cells {
		want := results.CellOK
		if c.Kernel.Version == "7.3" {
			want = results.CellFailed
		}
		if c.Outcome != want || c.Repeat != 1+i/3 {
			t.Errorf("cell %d is %s, repetition %d", i, c.Outcome, c.Repeat)
		}
	}
}

func TestPassesGiveUpWithTheirContext(t *testing.T) {
	p := newPasses([]Cell{{Repeat: 1}, {Repeat: 2}})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p.wait(ctx, 2) // returns although the first pass has not begun
	p.turn(1)
	p.wait(t.Context(), 2)
	p.wait(t.Context(), 1) // has none before it
	if got := fmt.Sprint(p.left); got != "map[1:0 2:1]" {
		t.Errorf("left %s", got)
	}
}
