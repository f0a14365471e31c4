package sched

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ctmatrix/ctmatrix/images/kernel"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
)

func TestInOrder(t *testing.T) {
	var cells []Cell
	for _, repeat := range []int{2, 1} {
		for _, v := range []string{"short", "long", "far", "farther", "short too"} {
			cells = append(cells, Cell{Kernel: kernel.Candidate{Version: v}, Repeat: repeat})
		}
	}
	here := func(c kernel.Candidate) bool { return c.Version[0] != 'f' }
	times := map[string]time.Duration{"short": 1, "short too": 1, "long": 2, "far": 5, "farther": 6}
	var estimates []time.Duration
	for _, c := range cells {
		estimates = append(estimates, times[c.Kernel.Version])
	}
	var got []string
	for _, i := range inOrder(cells, here, estimates) {
		got = append(got, fmt.Sprint(cells[i].Kernel.Version, " ", cells[i].Repeat))
	}
	want := []string{
		"long 1", "short 1", "short too 1", "farther 1", "far 1",
		"long 2", "short 2", "short too 2", "farther 2", "far 2",
	}
	if !slices.Equal(got, want) {
		t.Errorf("order %q\n want %q", got, want)
	}
}

// Cells have their turn by how long they took before, longest first, in whatever
// order they were named.
func TestLongestFirst(t *testing.T) {
	scripts := map[string]script{}
	h := OpenHistory(t.TempDir())
	r := newRig(t, map[string]script{"1": obeys, "2": obeys, "3": obeys, "4": obeys, "5": obeys})
	for i, seconds := range []time.Duration{3, 5, 1, 4, 2} {
		h.add(r.cells[i], len(probes), seconds*time.Second)
	}
	if err := h.save(); err != nil {
		t.Fatal(err)
	}
	for v := range r.fakes.scripts {
		scripts[v] = obeys
	}
	r.History, r.Jobs = h, 1
	r.run(t.Context(), t)
	var got []string
	for _, image := range r.fakes.images {
		got = append(got, image.Kernel)
	}
	if want := []string{"2", "4", "1", "5", "3"}; !slices.Equal(got, want) {
		t.Errorf("ran %q, want %q", got, want)
	}
}

// fetches counts kernels that are fetched and whose guests have not been booted.
type fetches struct {
	*fakes
	mu    sync.Mutex
	ready int
	most  int
	refs  []string // that were fetched
}

func (f *fetches) Fetch(ctx context.Context, c kernel.Candidate) (*kernel.Kernel, error) {
	f.mu.Lock()
	f.ready++
	f.most = max(f.most, f.ready)
	f.refs = append(f.refs, c.Ref)
	f.mu.Unlock()
	return f.fakes.Fetch(ctx, c)
}

func (f *fetches) Boot(ctx context.Context, image Image) (Guest, error) {
	f.mu.Lock()
	f.ready--
	f.mu.Unlock()
	return f.fakes.Boot(ctx, image)
}

// Downloads run ahead of the guests, and no further than a few.
func TestDownloadsAreBounded(t *testing.T) {
	scripts := map[string]script{}
	for i := range 20 {
		scripts[fmt.Sprintf("1.%02d", i)] = obeys
	}
	r := newRig(t, scripts)
	f := &fetches{fakes: r.fakes}
	r.Kernels, r.Booter, r.Jobs = f, f, 2
	r.Stored = func(c kernel.Candidate) bool { return c.Version >= "1.18" }
	for _, c := range r.run(t.Context(), t) {
		if c.Outcome != results.CellOK {
			t.Errorf("%s is %s: %s", c.Dir, c.Outcome, c.Reason)
		}
	}
	// Those that are here, those ahead, and those that have their turn but no
	// guest yet.
	if most := lookupsAtOnce + fetchesAtOnce + r.Jobs + r.Jobs; f.most > most {
		t.Errorf("%d kernels waited for guests, more than %d", f.most, most)
	}
	for i, want := range map[int]string{0: "[waits fetches fetched boots runs ends ok]", 19: "[waits boots runs ends ok]"} {
		if got := fmt.Sprint(r.states.words[i]); got != want {
			t.Errorf("cell %d: states %s, want %s", i, got, want)
		}
	}
	if len(f.refs) != 20 {
		t.Errorf("fetched %d of 20", len(f.refs))
	}
}

func TestPlaces(t *testing.T) {
	p := newPlaces(1)
	ctx := t.Context()
	if err := p.take(ctx, 9); err != nil {
		t.Fatal(err)
	}
	p.expect(1)
	p.expect(2)
	got := make(chan int)
	for _, rank := range []int{5, 3, 2} {
		go func() {
			if p.take(ctx, rank) == nil {
				got <- rank
			}
		}()
	}
	for p.queued() < 3 {
		time.Sleep(time.Millisecond)
	}
	p.give()
	select {
	case rank := <-got:
		t.Fatalf("%d has a place although 1 is coming", rank)
	default:
	}
	p.letOff(1)
	for _, want := range []int{2, 3, 5} {
		if rank := <-got; rank != want {
			t.Errorf("%d has its place before %d", rank, want)
		}
		p.give()
	}

	// Who gives up holds nobody up.
	if err := p.take(ctx, 0); err != nil {
		t.Fatal(err)
	}
	gone, cancel := context.WithCancel(ctx)
	p.expect(1)
	cancel()
	if err := p.take(gone, 1); err == nil {
		t.Error("a place for one who is gone")
	}
	p.give()
	if err := p.take(ctx, 2); err != nil {
		t.Error(err)
	}
}

func (p *places) queued() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.waiting)
}
