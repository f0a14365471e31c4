package vm

import (
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// launch starts cmd on a host CPU, or on any if pin is negative. If that
// succeeds, done is called once cmd has ended, with how it did.
//
// cmd cannot outlive this process: the kernel kills it when its parent ends,
// however that ends. What the kernel takes for the parent is the thread that
// forked, so one thread does nothing but start cmd and wait for it. The affinity
// is that thread's too, and so is what it may do beyond any user: cmd has them from
// its first instruction on, and a thread that QEMU makes early cannot miss them. Its
// process group is its own, so that a Ctrl-C in the terminal reaches only us, and we
// end guests in order.
func launch(cmd *exec.Cmd, pin int, done func(error)) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with its affinity
		if err := errors.Join(pinThread(pin), yieldThread(), bareThread()); err != nil {
			started <- err
			return
		}
		if err := cmd.Start(); err != nil {
			started <- fmt.Errorf("start QEMU: %w", err)
			return
		}
		started <- nil
		done(cmd.Wait())
	}()
	return <-started
}

// politely is the nice value of QEMU: below everything that is not nice.
const politely = 10

// yieldThread puts the calling thread, and what it starts, behind the host's own
// work, us among it. A guest on a virtual clock never sleeps: while it waits for
// the host, QEMU's threads wake each other a hundred thousand times a second,
// and on a host with as many guests as CPUs they kept the host, for which they
// waited, from running for minutes. A thread that is as nice already stays as it
// is: only root may make it less so.
func yieldThread() error {
	// The system call, unlike C's function, returns 20 less the nice value.
	now, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	if err != nil {
		return fmt.Errorf("ask how nice we are: %w", err)
	}
	if 20-now >= politely {
		return nil
	}
	if err := unix.Setpriority(unix.PRIO_PROCESS, 0, politely); err != nil {
		return fmt.Errorf("be nice: %w", err)
	}
	return nil
}

// bareThread takes from what the calling thread starts all that root may do beyond
// its files: QEMU needs none of it, and the guest that breaks out of it has none. The
// thread itself keeps it. Whoever is not root has nothing to take.
func bareThread() error {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("forbid new privileges: %w", err)
	}
	for c := range uintptr(unix.CAP_LAST_CAP + 1) {
		// A capability that this kernel does not know is in no set.
		if in, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, c, 0, 0, 0); err != nil || in == 0 {
			continue
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil && !errors.Is(err, unix.EPERM) {
			return fmt.Errorf("drop capability %d: %w", c, err)
		}
	}
	return nil
}

func pinThread(cpu int) error {
	if cpu < 0 {
		return nil
	}
	var set unix.CPUSet
	set.Set(cpu)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("pin QEMU to CPU %d: %w", cpu, err)
	}
	return nil
}

// killTime is how long the kernel may take to end a process by SIGKILL.
const killTime = 10 * time.Second

// ErrUnkillable says that a QEMU is stuck in the host's kernel, as may happen
// with KVM. It is left behind, to be killed as soon as it gets out.
var ErrUnkillable = errors.New("QEMU does not end even by SIGKILL")

// kill kills cmd, which was launched, and waits until it ended.
func kill[T any](cmd *exec.Cmd, ended <-chan T) error {
	_ = cmd.Process.Kill() // fails only if it is gone
	timer := time.NewTimer(killTime)
	defer timer.Stop()
	select {
	case <-ended:
		return nil
	case <-timer.C:
		return fmt.Errorf("process %d: %w", cmd.Process.Pid, ErrUnkillable)
	}
}
