// Package vm runs a virtual machine in QEMU the way os/exec runs a command. The
// machine has a kernel, an initramfs, a console and one serial port to talk
// over: no disk, no network, no firmware menu, nothing of the host's.
package vm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Accel is what executes guest code.
type Accel string

// The accelerators.
const (
	TCG Accel = "tcg" // emulation in software: works everywhere
	KVM Accel = "kvm"
)

// Clock is what guest time follows.
type Clock string

// The clocks.
const (
	// Virtual time counts guest instructions and jumps to the next timer while
	// the guest idles. Load on the host cannot change it. TCG and one CPU only.
	Virtual Clock = "virtual"
	// Host time is the host's.
	Host Clock = "host"
)

// VM is a virtual machine that is started once. The exported fields are set
// before Start and not changed after.
type VM struct {
	QEMU     string // name or path of the program
	Machine  string // "q35"
	Accel    Accel
	Clock    Clock
	CPUs     int
	MemoryMB int // units of 2^20 bytes
	Kernel   string
	Initrd   string
	Append   []string // kernel arguments beyond BaseArgs
	Devices  []Device
	Pin      int       // host CPU that QEMU runs on; -1 for any
	Console  io.Writer // takes what the guest prints; may be nil

	tail   *tail
	cmd    *exec.Cmd
	stderr bytes.Buffer
	exited chan struct{}
	err    error // how QEMU ended, once exited is closed
	files  []*os.File
}

// ErrNoQEMU says that the program is not there, and how to get it.
var ErrNoQEMU = errors.New("QEMU is not installed: install the package qemu-system-x86 (Debian, Ubuntu) or name another program with --qemu")

// Path finds a QEMU by name or path.
func Path(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, ErrNoQEMU)
	}
	return path, nil
}

// Port adds the serial port called name and returns the host's end of it. Only
// before Start.
func (v *VM) Port(name string) (net.Conn, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("make a socket pair for port %s: %w", name, err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), name), os.NewFile(uintptr(fds[1]), name)
	defer ours.Close()
	conn, err := net.FileConn(ours)
	if err != nil {
		theirs.Close()
		return nil, fmt.Errorf("use the socket of port %s: %w", name, err)
	}
	// Inherited files are numbered from 3, in order.
	v.Devices = append(v.Devices, SerialPort{Name: name, FD: 3 + len(v.files)})
	v.files = append(v.files, theirs)
	return conn, nil
}

// Start starts QEMU and returns. Whoever started a VM must Wait for it or Stop
// it. QEMU does not outlive this process, however that ends.
func (v *VM) Start() error {
	defer v.closeFiles()
	path, err := Path(v.QEMU)
	if err != nil {
		return err
	}
	v.tail = newTail()
	v.cmd = exec.Command(path, v.Args()...)
	v.cmd.Stdout = v.tail
	if v.Console != nil {
		v.cmd.Stdout = io.MultiWriter(v.tail, v.Console)
	}
	v.cmd.Stderr = &v.stderr
	v.cmd.ExtraFiles = v.files
	v.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	// Pipes that a killed QEMU's own children might hold must not keep Wait.
	v.cmd.WaitDelay = time.Second
	v.exited = make(chan struct{})
	started := make(chan error, 1)
	go v.run(started)
	return <-started
}

// run starts QEMU and waits for it on one thread: the kernel sends the signal
// of Pdeathsig when the thread that forked ends, and QEMU inherits the thread's
// affinity.
func (v *VM) run(started chan<- error) {
	runtime.LockOSThread() // never unlocked: the thread ends with its affinity
	defer close(v.exited)
	if v.Pin >= 0 {
		var set unix.CPUSet
		set.Set(v.Pin)
		if err := unix.SchedSetaffinity(0, &set); err != nil {
			started <- fmt.Errorf("pin QEMU to CPU %d: %w", v.Pin, err)
			return
		}
	}
	if err := v.cmd.Start(); err != nil {
		started <- fmt.Errorf("start QEMU: %w", err)
		return
	}
	started <- nil
	v.err = v.cmd.Wait()
	v.tail.end()
}

func (v *VM) closeFiles() {
	for _, f := range v.files {
		f.Close()
	}
	v.files = nil
}

// Wait waits until QEMU has exited or ctx ends. A guest that powered off is no
// error.
func (v *VM) Wait(ctx context.Context) error {
	select {
	case <-v.exited:
		return v.exit()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// exit is how QEMU ended.
func (v *VM) exit() error {
	if v.err == nil {
		return nil
	}
	if text := strings.TrimSpace(v.stderr.String()); text != "" {
		return fmt.Errorf("QEMU: %w: %s", v.err, text)
	}
	return fmt.Errorf("QEMU: %w", v.err)
}

// politeness is how long QEMU may take to follow a SIGTERM.
const politeness = 2 * time.Second

// Stop ends QEMU, by SIGTERM and then by SIGKILL, and returns when it is gone.
func (v *VM) Stop() {
	_ = v.cmd.Process.Signal(syscall.SIGTERM) // fails only if it is gone
	timer := time.NewTimer(politeness)
	defer timer.Stop()
	select {
	case <-v.exited:
	case <-timer.C:
		_ = v.cmd.Process.Kill()
		<-v.exited
	}
}

// Tail returns the last lines of the console.
func (v *VM) Tail() []string { return v.tail.last() }

// Death returns the line with which the kernel announced its end, or "".
func (v *VM) Death() string { return v.tail.death() }

// ErrSilent says that nothing came from the guest at all.
var ErrSilent = errors.New("the guest printed nothing")

// ErrExited says that QEMU ended before what was waited for.
var ErrExited = errors.New("the guest ended")

// WaitLine waits until the console shows a line that contains text. The guest
// has to print something, anything, within silence: a machine that wedged
// before its kernel came up is told from a slow one.
func (v *VM) WaitLine(ctx context.Context, text string, silence time.Duration) error {
	found, spoke := v.tail.watch(text)
	timer := time.NewTimer(silence)
	defer timer.Stop()
	for {
		select {
		case <-found:
			return nil
		case <-spoke:
			timer.Stop()
			spoke = nil
		case <-timer.C:
			return fmt.Errorf("%w in %v", ErrSilent, silence)
		case <-v.exited:
			select {
			case <-found:
				return nil
			default:
			}
			if err := v.exit(); err != nil {
				return fmt.Errorf("%w: %w", ErrExited, err)
			}
			return ErrExited
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Ramdisk makes what write writes the initramfs. It is kept in memory and never
// on disk: nothing is left of it, however the program ends. Only before Start.
func (v *VM) Ramdisk(write func(io.Writer) error) error {
	fd, err := unix.MemfdCreate("initramfs", unix.MFD_CLOEXEC)
	if err != nil {
		return fmt.Errorf("make room for the initramfs: %w", err)
	}
	f := os.NewFile(uintptr(fd), "initramfs")
	if err := write(f); err != nil {
		f.Close()
		return fmt.Errorf("write the initramfs: %w", err)
	}
	v.Initrd = fmt.Sprintf("/proc/self/fd/%d", 3+len(v.files))
	v.files = append(v.files, f)
	return nil
}
