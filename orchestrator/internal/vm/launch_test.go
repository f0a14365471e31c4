package vm

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// yielded is how nice a thread is that was this nice and then yielded.
func yielded(nice int) (int, error) {
	type result struct {
		nice int
		err  error
	}
	done := make(chan result)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with its nice value
		err := unix.Setpriority(unix.PRIO_PROCESS, 0, nice)
		if err == nil {
			err = yieldThread()
		}
		now, getErr := unix.Getpriority(unix.PRIO_PROCESS, 0)
		if err == nil {
			err = getErr
		}
		done <- result{20 - now, err}
	}()
	r := <-done
	return r.nice, r.err
}

// Whoever started us under nice(1) is not to be undone, which only root could.
func TestYieldIsNeverLessNice(t *testing.T) {
	now, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	if err != nil {
		t.Fatal(err)
	}
	mine := 20 - now // where the test may begin, unless root runs it
	for _, nice := range []int{mine, max(mine, politely), max(mine, politely+1), 19} {
		if got, err := yielded(nice); err != nil || got != max(nice, politely) {
			t.Errorf("at nice %d: %d, %v; want %d", nice, got, err, max(nice, politely))
		}
	}
}
