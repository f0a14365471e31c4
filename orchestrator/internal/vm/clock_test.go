package vm

import (
	"context"
	"errors"
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// clockTest allows TestClockJump to set the clock, which it does in a guest only: a
// test of ctmatrix's shell runs it there.
const clockTest = "CTMATRIX_TEST_CLOCK_OF"

// TestClockJump has the host's clock jump a day forth and two days back while limits
// run: none may end before its time or long after it.
func TestClockJump(t *testing.T) {
	name, err := os.Hostname()
	if err != nil || os.Getenv(clockTest) == "" || os.Getenv(clockTest) != name || name != "ctmatrix" {
		t.Skip("sets the clock: is run in a guest")
	}
	const limit = time.Second
	jump := func(by time.Duration) {
		now := unix.NsecToTimeval(time.Now().Add(by).UnixNano())
		if err := unix.Settimeofday(&now); err != nil {
			t.Fatal(err)
		}
	}
	monotonic := func() time.Duration {
		var ts unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
			t.Fatal(err)
		}
		return time.Duration(ts.Nano())
	}
	ours, theirs := net.Pipe()
	defer theirs.Close()
	q := newQMP(ours)
	defer q.close()
	for _, by := range []time.Duration{24 * time.Hour, -48 * time.Hour} {
		began, wall := monotonic(), time.Now().Round(0)
		ctx, cancel := within(t.Context(), limit, 10*limit, func() time.Duration { return 0 })
		defer cancel()
		jump(by)
		// Whoever waits for QEMU waits under the same limit.
		if err := q.run(ctx, "quit", nil, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v, want that it was late", err)
		}
		took := monotonic() - began
		if moved := time.Now().Round(0).Sub(wall) - by; moved.Abs() > time.Hour {
			t.Fatalf("the clock did not jump by %v", by)
		}
		var late *LateError
		if !errors.As(context.Cause(ctx), &late) || took < limit || took > 5*limit {
			t.Errorf("a jump by %v: %v after %v, want it after %v", by, context.Cause(ctx), took, limit)
		}
	}
}
