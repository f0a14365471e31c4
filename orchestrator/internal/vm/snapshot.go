package vm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// RAM is a file that holds the guest's memory: sparse, of MemoryMB.
type RAM struct {
	Path string
	// Private keeps what the guest writes from the file, so that many guests
	// can begin with what is in it.
	Private bool
}

func (r *RAM) args(mb int) []string {
	share := "on"
	if r.Private {
		share = "off"
	}
	return []string{"-object", fmt.Sprintf("memory-backend-file,id=ram,size=%dM,mem-path=%s,share=%s", mb, r.Path, share)}
}

// NewRAM gives the machine a RAM file in memory, which the caller reads when QEMU
// has ended, and closes. A file on a disk would do, but the host would write it
// out again and again while the guest boots. Only before Start.
func (v *VM) NewRAM() (*os.File, error) {
	fd, err := unix.MemfdCreate("ram", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make memory for the guest: %w", err)
	}
	ours := os.NewFile(uintptr(fd), "ram")
	if fd, err = unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0); err != nil {
		ours.Close()
		return nil, fmt.Errorf("make memory for the guest: %w", err)
	}
	v.RAM = &RAM{Path: fmt.Sprintf("/proc/self/fd/%d", v.inherit(os.NewFile(uintptr(fd), "ram")))}
	return ours, nil
}

// SharedMemory is a device with memory that is the inherited file FD, of Size
// bytes, at SharedAddress. It interrupts nobody: what one side writes, the other
// finds when it looks.
//
// It is virtio-pmem, of which the guest needs no driver to get at the memory.
// The other device for this, ivshmem, has it where the guest's firmware put it,
// and QEMU then refuses a saved guest: "Mismatched GPAs".
type SharedMemory struct{ FD, Size int }

// SharedAddress is where in the guest's physical memory a SharedMemory is: far
// behind its RAM.
const SharedAddress = 64 << 30

// mostAddress bounds RAM and other memory together.
const mostAddress = "128G"

func (m SharedMemory) args() []string {
	return []string{
		"-object", fmt.Sprintf("memory-backend-file,id=shared,size=%d,mem-path=/proc/self/fd/%d,share=on", m.Size, m.FD),
		"-device", fmt.Sprintf("virtio-pmem-pci,memdev=shared,memaddr=%#x", int64(SharedAddress)),
	}
}

// Share adds a SharedMemory of size bytes and returns it, zeroed. The caller
// unmaps it, when nobody reads it any more. Only before Start.
func (v *VM) Share(size int) ([]byte, error) {
	fd, err := unix.MemfdCreate("shared", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make memory to share with the guest: %w", err)
	}
	f := os.NewFile(uintptr(fd), "shared")
	mem, err := mapFile(f, size)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("make memory to share with the guest: %w", err)
	}
	v.Devices = append(v.Devices, SharedMemory{FD: v.inherit(f), Size: size})
	return mem, nil
}

func mapFile(f *os.File, size int) ([]byte, error) {
	if err := f.Truncate(int64(size)); err != nil {
		return nil, err
	}
	return unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
}

// HasSnapshots says whether a QEMU has what saving a guest needs.
func HasSnapshots(ctx context.Context, qemu string) (bool, error) {
	return knows(ctx, qemu, "-device", "virtio-pmem-pci,help")
}

// ErrNoState says that a machine was not started so that it can be saved or
// restored.
var ErrNoState = errors.New("the machine has no RAM file")

// ignoreShared leaves memory that is in a file where it is. Without it the
// state holds all of it.
var ignoreShared = map[string]any{
	"capabilities": []map[string]any{{"capability": "x-ignore-shared", "state": true}},
}

// Save stops the guest and writes the state of its devices to w. Together with
// the file of its RAM, whole once QEMU has ended, that is the guest. It cannot go
// on after it: Stop it.
func (v *VM) Save(ctx context.Context, w io.Writer) error {
	if v.RAM == nil || v.RAM.Private {
		return ErrNoState
	}
	ctx, cancel := v.Within(ctx, stateTime)
	defer cancel()
	// The guest is not stopped first: what was stopped when it was saved is
	// stopped when it is restored.
	conn, err := v.openState(ctx, "migrate")
	if err != nil {
		return err
	}
	defer conn.Close() // only read
	defer until(ctx, conn)()
	// QEMU closes its end when all is said.
	if _, err := io.Copy(w, conn); err != nil {
		return fmt.Errorf("read the machine's state: %w", causeOf(ctx, err))
	}
	return v.saved(ctx)
}

// savePoll is how often QEMU is asked whether a saved machine is complete, which
// it is within a millisecond of its last byte.
const savePoll = time.Millisecond

func (v *VM) saved(ctx context.Context) error {
	for {
		var m struct {
			Status string `json:"status"`
			Error  string `json:"error-desc"`
		}
		if err := v.qmp.run(ctx, "query-migrate", nil, &m); err != nil {
			return err
		}
		switch m.Status {
		case "completed":
			return nil
		case "failed", "cancelled":
			return fmt.Errorf("save the machine: %s %s", m.Status, m.Error)
		}
		time.Sleep(savePoll)
	}
}

// Restore gives a machine that was started with Incoming a state that Save
// wrote, and lets the guest go on. What is wrong with the state, QEMU says on its
// standard error, and ends: see Wait.
func (v *VM) Restore(ctx context.Context, state io.Reader) error {
	if v.RAM == nil || !v.Incoming {
		return ErrNoState
	}
	ctx, cancel := v.Within(ctx, stateTime)
	defer cancel()
	conn, err := v.openState(ctx, "migrate-incoming")
	if err != nil {
		return err
	}
	defer until(ctx, conn)()
	if _, err := io.Copy(conn, state); err != nil {
		conn.Close() // the first error is the one to tell
		return fmt.Errorf("write the machine's state: %w", causeOf(ctx, err))
	}
	return conn.Close()
}

// openState has QEMU send its state, or take one, over the connection that it
// returns.
func (v *VM) openState(ctx context.Context, command string) (net.Conn, error) {
	if err := v.qmp.run(ctx, "migrate-set-capabilities", ignoreShared, nil); err != nil {
		return nil, err
	}
	ours, theirs, err := Pair("the machine's state")
	if err != nil {
		return nil, err
	}
	defer theirs.Close() // QEMU has a copy of it
	const name = "state"
	err = v.qmp.give(ctx, name, theirs)
	if err == nil {
		err = v.qmp.run(ctx, command, map[string]any{"uri": "fd:" + name}, nil)
	}
	if err != nil {
		ours.Close() // nothing was said
		return nil, err
	}
	return ours, nil
}

// stateTime is how long a machine may take to be saved or be restored, of its own
// time: it ends hangs.
const stateTime = time.Minute
