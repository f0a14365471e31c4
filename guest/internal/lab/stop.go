package lab

import (
	"fmt"
	"os"
	"os/signal"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// longWait is the least wait that is worth stopping the agent for.
const longWait = time.Hour

// signalEvent is struct sigevent (include/uapi/asm-generic/siginfo.h) of a signal to
// the process.
type signalEvent struct {
	value  uint64
	signal int32
	notify int32 // SIGEV_SIGNAL is 0
	_      [48]byte
}

// stopUntil has the kernel stop all threads of the agent, and continue them when
// guest time is at. A sleeping agent is woken by Go's own monitor a hundred and twenty
// times an hour, which is a tenth of what five idle days take. It may be continued
// sooner by another's signal.
func stopUntil(at time.Duration) error {
	var id int32
	event := signalEvent{signal: int32(unix.SIGCONT)}
	if _, _, no := unix.Syscall(unix.SYS_TIMER_CREATE, unix.CLOCK_MONOTONIC,
		uintptr(unsafe.Pointer(&event)), uintptr(unsafe.Pointer(&id))); no != 0 {
		return fmt.Errorf("make a timer: %w", no)
	}
	defer unix.Syscall(unix.SYS_TIMER_DELETE, uintptr(id), 0, 0)
	// Again and again, since the first may come before the agent has stopped; and to
	// somebody, since what would be ignored is not sent again.
	told := make(chan os.Signal, 1)
	signal.Notify(told, unix.SIGCONT)
	defer signal.Stop(told)
	setting := struct{ interval, value unix.Timespec }{
		unix.NsecToTimespec(time.Second.Nanoseconds()), unix.NsecToTimespec(at.Nanoseconds()),
	}
	if _, _, no := unix.Syscall6(unix.SYS_TIMER_SETTIME, uintptr(id), unix.TIMER_ABSTIME,
		uintptr(unsafe.Pointer(&setting)), 0, 0, 0); no != 0 {
		return fmt.Errorf("set a timer: %w", no)
	}
	if err := unix.Kill(unix.Getpid(), unix.SIGSTOP); err != nil {
		return fmt.Errorf("stop: %w", err)
	}
	return nil
}
