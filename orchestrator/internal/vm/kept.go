package vm

import (
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// keptWaiting is for how long a process's threads, all together, have been ready
// to run without a CPU: the second number of /proc/PID/task/TID/schedstat, in
// nanoseconds (Documentation/scheduler/sched-stats.rst). A host that does not count
// it, or a process that is gone, has none.
func keptWaiting(pid int) time.Duration {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid)) // fails only on a bad pattern
	var sum time.Duration
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			continue // the thread has ended
		}
		var ran, waited int64
		if _, err := fmt.Sscan(string(b), &ran, &waited); err == nil {
			sum += time.Duration(waited)
		}
	}
	return sum
}
