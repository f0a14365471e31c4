package vm

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Tests that no QEMU is left behind, whatever happens.

// up starts a guest that prints one line and then hangs.
func up(ctx context.Context, t *testing.T, prepare func(*VM)) *VM {
	t.Helper()
	v := start(ctx, t, prepare, printing("up\n"), hang)
	if err := v.WaitLine(ctx, "up", testLimit); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestRealStop(t *testing.T) {
	ctx := testQEMU(t)
	v := up(ctx, t, nil)
	v.Stop()
	v.Stop()
	if err := v.Wait(ctx); err != nil {
		t.Errorf("ended in order: %v", err)
	}
	if err := v.cmd.Process.Signal(syscall.Signal(0)); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("QEMU after Stop: %v", err)
	}
	if _, err := v.Status(ctx); err == nil {
		t.Error("a QEMU that is gone says how it is")
	}
}

// A QEMU that does not react is killed.
func TestRealStopOfStuck(t *testing.T) {
	ctx := testQEMU(t)
	v := up(ctx, t, nil)
	if err := v.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	v.Stop()
	var exit *exec.ExitError
	if err := v.Wait(ctx); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Errorf("%v, want that it was killed", err)
	}
}

func TestRealContextEnds(t *testing.T) {
	ctx := testQEMU(t)
	running, cancel := context.WithCancel(ctx)
	v := up(running, t, nil)
	cancel()
	if err := v.Wait(ctx); err != nil {
		t.Errorf("ended in order: %v", err)
	}
	// One that has ended before it starts is no different.
	dir := t.TempDir()
	writeMachine(t, dir, hang)
	v = openMachine(dir)
	if err := v.Start(running); err != nil {
		t.Fatal(err)
	}
	if err := v.Wait(ctx); err != nil {
		t.Errorf("ended in order: %v", err)
	}
}

func TestRealPin(t *testing.T) {
	ctx := testQEMU(t)
	var allowed unix.CPUSet
	if err := unix.SchedGetaffinity(0, &allowed); err != nil {
		t.Fatal(err)
	}
	last := 0
	for cpu := range len(allowed) * 64 {
		if allowed.IsSet(cpu) {
			last = cpu
		}
	}
	v := up(ctx, t, func(v *VM) { v.Pin = last })
	got := taskStatus(t, v.cmd.Process.Pid, "Cpus_allowed_list")
	if len(got) < 2 {
		t.Fatalf("QEMU has %d threads", len(got))
	}
	for _, cpus := range got {
		if cpus != strconv.Itoa(last) {
			t.Errorf("threads run on CPUs %v, want %d only", got, last)
		}
	}
	// Our own threads must not be caught in it.
	for range 10 {
		done := make(chan error)
		var now unix.CPUSet
		go func() { done <- unix.SchedGetaffinity(0, &now) }()
		if err := <-done; err != nil || now != allowed {
			t.Fatalf("this process runs on %v, %v; was allowed %v", now, err, allowed)
		}
	}
	nowhere := t.TempDir()
	writeMachine(t, nowhere, hang)
	if err := openMachine(nowhere).pinnedTo(1 << 9).Start(ctx); !errors.Is(err, unix.EINVAL) {
		t.Errorf("pinned to a CPU that is not there: %v", err)
	}
}

func (v *VM) pinnedTo(cpu int) *VM {
	v.Pin = cpu
	return v
}

// orphanDir names, for the process that is to be killed, the machine to start.
const orphanDir = "CTMATRIX_TEST_ORPHAN"

// TestOrphanHelper is not a test: it is the process that TestRealOrphan kills.
func TestOrphanHelper(t *testing.T) {
	dir := os.Getenv(orphanDir)
	if dir == "" {
		t.Skip("is run by another test")
	}
	v := openMachine(dir)
	if err := v.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := v.WaitLine(t.Context(), "up", testLimit); err != nil {
		t.Fatal(err)
	}
	fmt.Printf("pid %d\n", v.cmd.Process.Pid)
	_, _ = io.Copy(io.Discard, os.Stdin) // until killed
}

// A QEMU does not outlive the process that started it, even one that had no
// chance to do anything about it.
func TestRealOrphan(t *testing.T) {
	ctx := testQEMU(t)
	dir := t.TempDir()
	writeMachine(t, dir, printing("up\n"), hang)
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestOrphanHelper$", "-test.v")
	cmd.Env = append(os.Environ(), orphanDir+"="+dir)
	stdin, err := cmd.StdinPipe() // open as long as this process lives
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := 0
	for lines := bufio.NewScanner(out); pid == 0 && lines.Scan(); {
		_, _ = fmt.Sscanf(lines.Text(), "pid %d", &pid) // other lines are the testing package's
	}
	if pid == 0 {
		t.Fatalf("no guest was started: %v", cmd.Wait())
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatalf("QEMU before its parent is killed: %v", err)
	}
	defer unix.Close(fd)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // was killed
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(fds, int(testLimit/time.Millisecond))
		if err == unix.EINTR {
			continue
		}
		if n != 1 || err != nil {
			_ = syscall.Kill(pid, syscall.SIGKILL)
			t.Fatalf("QEMU outlives its parent (%d, %v)", n, err)
		}
		return
	}
}
