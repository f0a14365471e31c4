package lab

import (
	"errors"
	"sync/atomic"
	"testing"
)

// No piece of work begins a round before every other has ended the last one but
// one, whichever fails.
func TestAtOnce(t *testing.T) {
	cpus, err := CPUs()
	if err != nil {
		t.Fatal(err)
	}
	if len(cpus) < 2 {
		t.Skip("one CPU")
	}
	var done [2]atomic.Int64
	failure := errors.New("failure")
	step := func(own, other int) func(int) error {
		return func(round int) error {
			if n := done[other].Load(); n < int64(round-1) || n > int64(round+1) {
				t.Errorf("round %d of one while the other did %d", round, n)
			}
			done[own].Add(1)
			if own == 0 && round == 7 {
				return failure
			}
			return nil
		}
	}
	if err := AtOnce(cpus, 1000, step(0, 1), step(1, 0)); !errors.Is(err, failure) {
		t.Errorf("got error %v, want the failure", err)
	}
	for i := range done {
		if n := done[i].Load(); n != 1000 {
			t.Errorf("%d did %d rounds, want 1000", i, n)
		}
	}
	if err := AtOnce(cpus[:1], 1, step(0, 1), step(1, 0)); err == nil {
		t.Error("two things at once on one CPU")
	}
}
