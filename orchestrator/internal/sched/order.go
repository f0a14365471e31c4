package sched

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/ctmatrix/ctmatrix/images/kernel"
)

// lookupsAtOnce bounds how many kernels that are here are looked at together,
// which takes milliseconds.
const lookupsAtOnce = 2

// inOrder is the order in which cells get their places, as their numbers. What
// is repeated comes after what is not yet; kernels that must be downloaded come
// behind those that are here; and what takes longest comes first, so that no
// long cell is left to run alone in the end.
func inOrder(cells []Cell, here func(kernel.Candidate) bool, estimates []time.Duration) []int {
	order := make([]int, len(cells))
	for i := range order {
		order[i] = i
	}
	away := func(i int) int {
		if here(cells[i].Kernel) {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Or(
			cmp.Compare(cells[a].Repeat, cells[b].Repeat),
			cmp.Compare(away(a), away(b)),
			cmp.Compare(estimates[b], estimates[a]),
		)
	})
	return order
}

// places are given to those who wait for one, the lowest rank first.
type places struct {
	mu      sync.Mutex
	free    int
	waiting map[int]chan struct{} // by rank; closed when it has its place
	coming  map[int]bool          // ranks that will soon wait, or say that they do not
}

func newPlaces(n int) *places {
	return &places{free: n, waiting: map[int]chan struct{}{}, coming: map[int]bool{}}
}

// expect keeps higher ranks waiting until this one has come or been let off.
func (p *places) expect(rank int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.coming[rank] = true
}

// letOff says that a rank which may have been expected needs no place.
func (p *places) letOff(rank int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.coming, rank)
	p.grant()
}

// take waits for a place, which must be given back.
func (p *places) take(ctx context.Context, rank int) error {
	if err := ctx.Err(); err != nil {
		p.letOff(rank)
		return err
	}
	p.mu.Lock()
	delete(p.coming, rank)
	mine := make(chan struct{})
	p.waiting[rank] = mine
	p.grant()
	p.mu.Unlock()
	select {
	case <-mine:
		return nil
	case <-ctx.Done():
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, waits := p.waiting[rank]; waits {
		delete(p.waiting, rank)
	} else {
		p.free++ // it came at the same time
	}
	p.grant()
	return ctx.Err()
}

// give gives a place back.
func (p *places) give() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free++
	p.grant()
}

// grant gives free places away. The caller holds the lock.
func (p *places) grant() {
	for p.free > 0 && len(p.waiting) > 0 {
		first := -1
		for rank := range p.waiting {
			if first < 0 || rank < first {
				first = rank
			}
		}
		for rank := range p.coming {
			if rank < first {
				return
			}
		}
		close(p.waiting[first])
		delete(p.waiting, first)
		p.free--
	}
}
