package lab

import (
	"fmt"
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
	// The coarse clock moves once a tick.
	for start := clock(unix.CLOCK_MONOTONIC_COARSE); n > 0; {
		// A sleep of any length ends at a tick or later; how many went by is
		// read, not assumed.
		ts := unix.NsecToTimespec(int64(time.Millisecond))
		if err := unix.Nanosleep(&ts, nil); err != nil && err != unix.EINTR {
			return fmt.Errorf("sleep for a tick: %w", err)
		}
		if now := clock(unix.CLOCK_MONOTONIC_COARSE); now != start {
			start = now
			n--
		}
	}
	return nil
}

// WaitUntil waits until guest time is at least at.
func WaitUntil(at time.Duration) error {
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
