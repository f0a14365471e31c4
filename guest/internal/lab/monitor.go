package lab

import (
	"fmt"
	"math"
	"os"
	"strconv"
	"time"
)

// Go's monitor of its own threads (sysmon in runtime/proc.go) wakes every 20 µs of a
// busy process's time to see whether one of them is blocked by the kernel, which was
// a sixth of all that a guest did; and every minute, twice, where nothing is done at
// all. With slack it wakes when something else does.
const (
	busySlack = 10 * time.Millisecond // of the agent, which may need it
	idleSlack = time.Hour             // of its init, which only waits
)

// WatchRarely slows down the monitors of the agent and, in a guest, of its init.
func WatchRarely() error {
	ours, err := sameProgram("/proc/1/exe", "/proc/self/exe")
	if err != nil {
		return err
	}
	if ours {
		if err := slacken(1, idleSlack); err != nil {
			return err
		}
	}
	return slacken(os.Getpid(), busySlack)
}

func sameProgram(a, b string) (bool, error) {
	x, err := os.Stat(a)
	if err != nil {
		return false, err
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y), err
}

// slacken sets the slack of the monitor of a process, which is the first thread
// that Go makes.
func slacken(pid int, slack time.Duration) error {
	threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid)) // sorted by name, and not by number
	if err != nil {
		return err
	}
	monitor := math.MaxInt
	for _, t := range threads {
		if tid, err := strconv.Atoi(t.Name()); err == nil && tid > pid {
			monitor = min(monitor, tid)
		}
	}
	return os.WriteFile(fmt.Sprintf("/proc/%d/timerslack_ns", monitor), fmt.Append(nil, slack.Nanoseconds()), 0)
}
