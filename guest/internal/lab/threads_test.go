package lab

import (
	"runtime"
	"slices"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// locked starts a goroutine on a thread of its own, which ends with it.
func locked() (tid string, end func()) {
	started, over := make(chan string), make(chan struct{})
	go func() {
		runtime.LockOSThread()
		started <- strconv.Itoa(unix.Gettid())
		<-over
	}()
	return <-started, func() { close(over) }
}

// A thread that stays is in every list, whichever before it in the list end while
// it is read.
func TestListThreads(t *testing.T) {
	fd, err := openDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	w := &Witness{threads: fd}
	for range 2000 {
		var ends []func()
		for range 4 {
			_, end := locked()
			ends = append(ends, end)
		}
		tid, end := locked()
		for _, end := range ends {
			end()
		}
		for range 4 {
			names, err := w.listThreads()
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Contains(names, tid) {
				t.Errorf("thread %s is not among %d", tid, len(names))
			}
		}
		end()
	}
}
