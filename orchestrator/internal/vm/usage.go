package vm

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Usage is what a QEMU has taken of the host so far.
type Usage struct {
	CPU  time.Duration // of all its threads
	Wall time.Duration // since it was started
	// Resident is the most memory that it had in RAM, in bytes, with what it
	// shares. It is that of the last time that it was asked for while QEMU ran: what
	// the host says of a process that has ended counts what started it as well.
	Resident int64
}

// meter measures a QEMU.
type meter struct {
	began time.Time
	ended time.Time // once gone is closed

	mu   sync.Mutex
	last Usage // that was asked for while QEMU ran
}

// Usage may be called from Start on, also after QEMU has ended.
func (v *VM) Usage() Usage {
	v.meter.mu.Lock()
	defer v.meter.mu.Unlock()
	select {
	case <-v.gone:
		u := v.meter.last
		if state := v.cmd.ProcessState; state != nil {
			u.CPU, u.Wall = state.UserTime()+state.SystemTime(), v.meter.ended.Sub(v.meter.began)
		}
		return u
	default:
	}
	pid := v.cmd.Process.Pid
	ran, _ := scheduled(pid)
	u := Usage{CPU: ran, Wall: time.Since(v.meter.began), Resident: max(peak(pid), v.meter.last.Resident)}
	v.meter.last = u
	return u
}

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

// peak is the most memory that a process had in RAM (VmHWM of /proc/PID/status),
// or 0 where it is gone.
func peak(pid int) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	var kb int64
	for line := range bytes.Lines(b) {
		if value, ok := bytes.CutPrefix(line, []byte("VmHWM:")); ok {
			_, _ = fmt.Sscanf(string(value), "%d kB", &kb) // 0 where it is none
		}
	}
	return kb << 10
}
