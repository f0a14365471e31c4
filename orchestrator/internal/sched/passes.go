package sched

import (
	"context"
	"sync"
)

// passes hold the cells of each repetition back until those of the one before
// have all had their turn: a run that is cut short has asked every kernel as
// often as any other, but for one.
type passes struct {
	mu   sync.Mutex
	left map[int]int           // cells of a repetition that have not had their turn
	over map[int]chan struct{} // of a repetition, closed when none is left
}

func newPasses(cells []Cell) *passes {
	p := &passes{left: map[int]int{}, over: map[int]chan struct{}{}}
	for _, c := range cells {
		p.left[c.Repeat]++
		if p.over[c.Repeat] == nil {
			p.over[c.Repeat] = make(chan struct{})
		}
	}
	return p
}

// wait returns when the pass before has had its turn, or ctx ends.
func (p *passes) wait(ctx context.Context, repeat int) {
	before, ok := p.over[repeat-1]
	if !ok {
		return
	}
	select {
	case <-before:
	case <-ctx.Done():
	}
}

// turn says that one cell of a pass has had its turn: it has a place among the
// jobs, or will never need one.
func (p *passes) turn(repeat int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.left[repeat]--; p.left[repeat] == 0 {
		close(p.over[repeat])
	}
}
