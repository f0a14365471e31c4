package vm

import (
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// scheduled is what the host has done with a process: for how long its threads ran,
// all together, and for how long the one that waited longest was ready to run without
// a CPU. They are the first two numbers of /proc/PID/task/TID/schedstat, in
// nanoseconds (Documentation/scheduler/sched-stats.rst). A host that does not count
// them, or a process that is gone, has none.
func scheduled(pid int) (ran, waited time.Duration) {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid)) // fails only on a bad pattern
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			continue // the thread has ended
		}
		var r, w int64
		if _, err := fmt.Sscan(string(b), &r, &w); err == nil {
			ran, waited = ran+time.Duration(r), max(waited, time.Duration(w))
		}
	}
	return ran, waited
}

// keptWaiting is for how long the host has kept a process from running.
func keptWaiting(pid int) time.Duration {
	_, waited := scheduled(pid)
	return waited
}
