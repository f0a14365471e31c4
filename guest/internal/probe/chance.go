package probe

import (
	"fmt"

	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/internal/wire"
	"github.com/ctmatrix/ctmatrix/guest/observe"
)

// AtOnce does each piece of work once a round, all at the same moment, each on a
// CPU of its own, waits until what they sent is through, and returns what came out
// of the near and of the far link. Where the guest has too few CPUs the question
// cannot be asked.
func (p *P) AtOnce(rounds int, work ...func(round int) error) (near, far []wire.Seen) {
	cpus, err := lab.CPUs()
	p.Must(err)
	if len(cpus) < len(work) {
		p.Unsupported("takes %d CPUs, as cpus: %[1]d and clock: host give", len(work))
	}
	p.rec.Step("%d times at once on %d CPUs, which is not captured", rounds, len(work))
	p.rec.Unwatched(func() { err = lab.AtOnce(cpus, rounds, work...) })
	p.Must(err)
	p.Must(lab.OnEach(cpus, func() error {
		a, b, err := p.Box.BothWays()
		near, far = append(near, a...), append(far, b...)
		return err
	}))
	return near, far
}

// Chance records how often something happened that takes luck.
func (p *P) Chance(subject, attr string, n, of int) {
	p.record(subject, attr, observe.Chance, fmt.Sprintf("%d of %d", n, of))
}
