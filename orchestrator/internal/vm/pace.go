package vm

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"
)

// LateError says that a machine did not do something in the time that it was given.
type LateError struct {
	Limit time.Duration // of the machine's own time: that in which the host let it run
	Took  time.Duration // of the host's, until it was given up
}

func (e *LateError) Error() string {
	limit, took := e.Limit.Round(time.Second/10), e.Took.Round(time.Second/10)
	if took > limit+limit/2 {
		return fmt.Sprintf("not within %v of its own time, %v on this busy host", limit, took)
	}
	return fmt.Sprintf("not within %v", limit)
}

// Unwrap makes it what every deadline is.
func (e *LateError) Unwrap() error { return context.DeadlineExceeded }

// Within returns a context that ends, with a *LateError for its cause, when the
// machine has had so much time of its own: that of the host's monotonic clock but for
// what it waited for a CPU. A host that is slower than the one on which limits were
// found gives it as much longer (see Slowness). Ten times the limit of the host's
// time are the most in any case. The caller cancels it.
func (v *VM) Within(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	return within(ctx, time.Duration(float64(limit)*v.Slowness()), patience*limit, v.screen.kept)
}

func within(ctx context.Context, limit, most time.Duration, kept func() time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	began, before := time.Now(), kept()
	done := make(chan struct{})
	go func() {
		defer close(done)
		timer := time.NewTimer(min(limit, most))
		defer timer.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-timer.C:
			}
			took := time.Since(began)
			own := took - min(max(kept()-before, 0), took)
			if own >= limit || took >= most {
				cancel(&LateError{Limit: limit, Took: took})
				return
			}
			timer.Reset(min(max(limit-own, leastLook), most-took))
		}
	}()
	return ctx, func() {
		cancel(context.Canceled)
		<-done
	}
}

// leastLook is the least time between two looks at what a machine has had.
const leastLook = 10 * time.Millisecond

// usualStart is how much CPU time QEMU takes until it can be spoken to, on the
// machine on which limits were found: 36 ms without a kernel to load, and twice that
// is nobody's fault.
const usualStart = 80 * time.Millisecond

// Slowness is how many times slower the host is than the one on which limits were
// found, by the CPU time that QEMU took to come up. It is 1 before that, on a host
// that is faster, and where the host does not count; and at most ten.
func (v *VM) Slowness() float64 {
	if v.startTook == nil {
		return 1
	}
	return min(max(1, float64(v.startTook.Load())/float64(usualStart)), patience)
}

// startTime is how long QEMU may take to be ready to be spoken to, of its own time.
const startTime = 30 * time.Second

// ErrNoAnswer says that QEMU was started and cannot be spoken to.
var ErrNoAnswer = errors.New("QEMU was started and does not answer")

// Up waits until QEMU answers. How long that took it is what later limits go by.
func (v *VM) Up(ctx context.Context) error {
	ctx, cancel := v.Within(ctx, startTime)
	defer cancel()
	if err := v.qmp.run(ctx, "query-status", nil, nil); err != nil {
		var late *LateError
		if errors.As(err, &late) {
			return &RigError{Err: fmt.Errorf("%w: %w", ErrNoAnswer, late), Console: v.Tail()}
		}
		return err
	}
	ran, _ := scheduled(v.cmd.Process.Pid)
	v.startTook.CompareAndSwap(0, int64(ran))
	return nil
}

// nmiTime is how long QEMU may take to do as it is told, of its own time.
const nmiTime = 5 * time.Second

// Interrupt sends the guest an NMI, of which nobody knows why. It is for one that
// hangs: its kernel, which was told to, says where it is, and dies.
func (v *VM) Interrupt(ctx context.Context) error {
	ctx, cancel := v.Within(ctx, nmiTime)
	defer cancel()
	return v.qmp.run(ctx, "inject-nmi", nil, nil)
}

// Reset reports whether the machine ended because its guest reset it, or a fault
// did of which the guest could not say anything any more. It is known when the
// machine has ended.
func (v *VM) Reset() bool {
	select {
	case <-v.screen.ended:
		return v.shutdown == "guest-reset"
	default:
		return false
	}
}

// until has reads and writes of a connection fail when ctx ends, for as long as the
// function that it returns is not called.
func until(ctx context.Context, conn net.Conn) (release func()) {
	// An error means that the connection is closed, and what is next fails itself.
	_ = conn.SetDeadline(time.Time{})
	fired := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		_ = conn.SetDeadline(time.Unix(1, 0)) // long ago
		close(fired)
	})
	return func() {
		if !stop() {
			<-fired
		}
	}
}

// causeOf is err, or where ctx has ended why it did.
func causeOf(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("%w: %w", err, context.Cause(ctx))
	}
	return err
}
