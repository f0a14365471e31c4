// Package vm runs a virtual machine in QEMU the way os/exec runs a command. The
// machine has a kernel, an initramfs, a console and one serial port to talk
// over: no disk, no network, no firmware menu, nothing of the host's.
package vm

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
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

// AnyCPU is the Pin of a VM that runs wherever the host puts it.
const AnyCPU = -1

// VM is a virtual machine that is started once. The exported fields are set
// before Start and not changed after; its methods may then be used concurrently.
type VM struct {
	QEMU         string // name or path of the program; "" is DefaultQEMU
	Machine      string // "" is "q35"
	Accel        Accel  // "" is TCG
	Clock        Clock  // "" is Virtual under TCG with one CPU, else Host
	CPUs         int    // 0 is DefaultSeed
	MemoryMB     int    // units of 2^20 bytes; 0 is 256
	Kernel       string // path of its image
	Initrd       string
	Append       []string // kernel arguments beyond BaseArgs
	Bare         bool     // the kernel is given no arguments but Append
	Devices      []Device
	Pin          int       // host CPU that QEMU runs on, or AnyCPU
	RAM          *RAM      // nil keeps the guest's memory in QEMU
	Incoming     bool      // the guest begins with Restore, not with a kernel
	Seed         uint32    // of what QEMU draws under a virtual clock; 0 is DefaultSeed
	Console      io.Writer // takes what the guest prints; may be nil
	ConsoleLimit int64     // bytes that Console takes; 0 is DefaultConsoleLimit

	screen    *Screen
	cmd       *exec.Cmd
	stderr    limited
	errText   bytes.Buffer
	monitor   *monitor
	qmp       *qmp
	startTook *atomic.Int64 // nanoseconds of CPU until QEMU answered; 0 before
	shutdown  string        // why the machine ended, in QEMU's words, once that is known
	meter     *meter
	gone      chan struct{} // closed when the process is
	err       error         // how QEMU ended, once gone is closed
	files     []*os.File
}

// The defaults.
const (
	DefaultQEMU     = "qemu-system-x86_64"
	defaultMachine  = "q35" // microvm is a little faster and wedges under load
	defaultMemoryMB = 256
	DefaultSeed     = 1
)

// withDefaults returns a copy of the fields that make the command line.
func (v *VM) withDefaults() *VM {
	d := &VM{
		QEMU: v.QEMU, Machine: v.Machine, Accel: v.Accel, Clock: v.Clock, CPUs: v.CPUs, MemoryMB: v.MemoryMB,
		Kernel: v.Kernel, Initrd: v.Initrd, Append: v.Append, Bare: v.Bare, Devices: v.Devices,
		RAM: v.RAM, Incoming: v.Incoming, Seed: v.Seed,
	}
	orDefault(&d.QEMU, DefaultQEMU)
	orDefault(&d.Machine, defaultMachine)
	orDefault(&d.Accel, TCG)
	orDefault(&d.CPUs, 1)
	orDefault(&d.MemoryMB, defaultMemoryMB)
	orDefault(&d.Seed, DefaultSeed)
	clock := Host
	if d.Accel == TCG && d.CPUs == 1 {
		clock = Virtual
	}
	orDefault(&d.Clock, clock)
	return d
}

func orDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// check refuses what QEMU would refuse, or take for something else, in words of
// its own.
func (v *VM) check() error {
	d := v.withDefaults()
	switch {
	case d.Kernel == "" && !d.Incoming:
		return fmt.Errorf("start a guest: no kernel is named")
	case d.Clock == Virtual && d.Accel != TCG:
		return fmt.Errorf("start a guest: a virtual clock needs accel tcg, not %s", d.Accel)
	case d.Clock == Virtual && d.CPUs != 1:
		return fmt.Errorf("start a guest: a virtual clock needs one CPU, not %d", d.CPUs)
	}
	return nil
}

// inherit gives QEMU a file and returns its number there. Inherited files are
// numbered from 3, in order.
func (v *VM) inherit(f *os.File) int {
	v.files = append(v.files, f)
	return 2 + len(v.files)
}

// Pair makes a connection whose other end can be handed to a process. Both ends
// are the caller's to close. Unlike those of a net.Pipe they take some bytes that
// nobody reads yet, which SSH needs.
func Pair(name string) (ours net.Conn, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make a socket pair for %s: %w", name, err)
	}
	mine, theirs := os.NewFile(uintptr(fds[0]), name), os.NewFile(uintptr(fds[1]), name)
	defer mine.Close() // which the connection has a copy of
	if ours, err = net.FileConn(mine); err != nil {
		theirs.Close()
		return nil, nil, fmt.Errorf("use the socket of %s: %w", name, err)
	}
	return ours, theirs, nil
}

// socket makes a connection to QEMU and returns our end of it and the number of
// the other.
func (v *VM) socket(name string) (net.Conn, int, error) {
	ours, theirs, err := Pair(name)
	if err != nil {
		return nil, 0, err
	}
	return ours, v.inherit(theirs), nil
}

// Port adds the serial port called name and returns the host's end of it, which
// is the caller's to close. Only before Start.
//
// What is written before the guest has opened its end is lost: QEMU throws it
// away. Wait for a line on the console that says that the guest listens.
func (v *VM) Port(name string) (net.Conn, error) {
	conn, fd, err := v.socket(name)
	if err != nil {
		return nil, err
	}
	v.Devices = append(v.Devices, SerialPort{Name: name, FD: fd})
	return conn, nil
}

// Ramdisk makes what write writes the initramfs. It is kept in memory and never
// on disk: nothing is left of it, however the program ends. Only before Start.
func (v *VM) Ramdisk(write func(io.Writer) error) (err error) {
	v.Initrd, err = v.memoryFile("initramfs", write)
	return err
}

// Unwrapped makes what write writes the kernel, kept like a Ramdisk, in place of the
// image that it is made of. An error of write is returned as it is wrapped, and then
// the kernel is what it was. Only before Start.
func (v *VM) Unwrapped(write func(io.Writer) error) error {
	if err := checkImage(v.Kernel); err != nil {
		return err
	}
	path, err := v.memoryFile("kernel", write)
	if err == nil {
		v.Kernel = path
	}
	return err
}

// memoryFile is the path, to QEMU, of a file in memory.
func (v *VM) memoryFile(name string, write func(io.Writer) error) (string, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return "", fmt.Errorf("make room for the %s: %w", name, err)
	}
	f := os.NewFile(uintptr(fd), name)
	if err := write(f); err != nil {
		f.Close() // of no use
		return "", fmt.Errorf("write the %s: %w", name, err)
	}
	return fmt.Sprintf("/proc/self/fd/%d", v.inherit(f)), nil
}

// errTextLimit bounds what is kept of QEMU's own complaints.
const errTextLimit = 4 << 10

// Start starts QEMU and returns. Whoever started a VM must Wait for it or Stop
// it; when ctx ends it is stopped. QEMU does not outlive this process, however
// that ends.
func (v *VM) Start(ctx context.Context) error {
	defer v.closeFiles()
	if err := v.check(); err != nil {
		return err
	}
	path, err := Path(v.withDefaults().QEMU)
	if err != nil {
		return err
	}
	// One that QEMU inherits was checked as an image.
	if !v.Incoming && !strings.HasPrefix(v.Kernel, "/proc/self/fd/") {
		if err := checkImage(v.Kernel); err != nil {
			return err
		}
	}
	conn, fd, err := v.socket("the monitor")
	if err != nil {
		return err
	}
	console, out, err := newPipe()
	if err != nil {
		conn.Close()
		return err
	}
	defer out.Close()
	v.prepare(path, conn, fd, out)
	limit := v.ConsoleLimit
	orDefault(&limit, DefaultConsoleLimit)
	drained := make(chan error, 1)
	go func() { drained <- drain(console, v.screen, v.Console, limit); console.Close() }()
	err = launch(v.cmd, v.Pin, func(err error) { v.err, v.meter.ended = err, time.Now(); close(v.gone) })
	if err != nil {
		out.Close() // which ends the reader of the console
		<-drained
		conn.Close()
		return &RigError{Err: err}
	}
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() { _ = v.end(); close(ended) })
	go v.finish(console, drained, stop, ended)
	return nil
}

// prepare makes the command, whose monitor is conn and, there, fd.
func (v *VM) prepare(path string, conn net.Conn, fd int, out *os.File) {
	v.monitor, v.qmp = &monitor{fd}, newQMP(conn)
	v.screen = NewScreen()
	v.screen.state = v.state
	v.screen.kept = func() time.Duration { _, waited := scheduled(v.cmd.Process.Pid); return waited }
	v.stderr = limited{w: &v.errText, left: errTextLimit}
	v.startTook = new(atomic.Int64)
	v.gone, v.meter = make(chan struct{}), &meter{began: time.Now()}
	v.cmd = exec.Command(path, v.Args()...)
	v.cmd.Stdout, v.cmd.Stderr = out, &v.stderr
	v.cmd.ExtraFiles = v.files
	// Nobody but QEMU has its standard error, but should somebody: a little
	// text is not worth waiting for.
	v.cmd.WaitDelay = time.Second
}

// finish sees QEMU to its end, and everything that was started with it.
func (v *VM) finish(console *os.File, drained <-chan error, stop func() bool, ended <-chan struct{}) {
	<-v.gone
	_ = console.SetReadDeadline(time.Now().Add(drainTime)) // fails only if it is read already
	if err := <-drained; v.err == nil {
		v.err = err
	}
	v.shutdown = v.qmp.drainEvents()
	v.qmp.close()
	if !stop() {
		<-ended
	}
	v.screen.End(v.exitError())
}

func (v *VM) closeFiles() {
	for _, f := range v.files {
		f.Close() // QEMU has them, or nobody needs them
	}
	v.files = nil
}
