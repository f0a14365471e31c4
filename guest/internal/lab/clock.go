package lab

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Now is guest time since boot.
func Now() time.Duration { return clock(unix.CLOCK_MONOTONIC) }

// clock reads a clock that every kernel has.
func clock(id int32) time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(id, &ts); err != nil {
		panic(fmt.Sprintf("lab: read clock %d: %v", id, err))
	}
	return time.Duration(ts.Nano())
}

// PassTicks lets n ticks of the kernel's timer pass.
func PassTicks(n int) error {
	// The coarse clock stands at the moment of the last tick, and moves with the
	// next; ticks are a hair shorter or longer than they are said to be, and come
	// some time after the moment that the clock then stands at.
	began := clock(unix.CLOCK_MONOTONIC_COARSE)
	all := time.Duration(n) * tick()
	at := began + all + time.Duration(tickLag.Load())
	for early := false; clock(unix.CLOCK_MONOTONIC_COARSE)-began < all-tick()/2; early = true {
		if early {
			at = Now() + tick()/16
			tickLag.Store(int64(min(at-began-all, tick())))
		}
		if err := WaitUntil(at); err != nil {
			return fmt.Errorf("wait for a tick: %w", err)
		}
	}
	return nil
}

// tickLag is how long after the moment that it stands at the coarse clock was found to
// move, in nanoseconds.
var tickLag atomic.Int64

// tick is the time between two ticks of the kernel's timer.
var tick = sync.OnceValue(func() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGetres(unix.CLOCK_MONOTONIC_COARSE, &ts); err != nil {
		panic(fmt.Sprintf("lab: read the resolution of the coarse clock: %v", err))
	}
	return time.Duration(ts.Nano())
})

// WaitUntil waits until guest time is at least at.
func WaitUntil(at time.Duration) error {
	if at-Now() > longWait {
		if err := stopUntil(at); err != nil {
			return fmt.Errorf("sleep until %v: %w", at, err)
		}
	}
	ts := unix.NsecToTimespec(at.Nanoseconds())
	for {
		switch err := unix.ClockNanosleep(unix.CLOCK_MONOTONIC, unix.TIMER_ABSTIME, &ts, nil); err {
		case nil:
			return nil
		case unix.EINTR:
		default:
			return fmt.Errorf("sleep until %v: %w", at, err)
		}
	}
}

// Wait lets kernel time pass: at least d.
func Wait(d time.Duration) error { return WaitUntil(Now() + d) }
