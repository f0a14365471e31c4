package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/ctmatrix/ctmatrix/guest/internal/first"
)

// findPort returns the device of the virtio port called name, "vport1p1", or ""
// while there is none. Sys is the file system of /sys.
func findPort(sys fs.FS, name string) (string, error) {
	const class = "class/virtio-ports"
	ports, err := fs.ReadDir(sys, class)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("list virtio ports: %w", err)
	}
	for _, p := range ports { // sorted
		// A port gets its name, and this file, some time after it appears.
		data, err := fs.ReadFile(sys, path.Join(class, p.Name(), "name"))
		if err == nil && strings.TrimSpace(string(data)) == name {
			return p.Name(), nil
		}
	}
	return "", nil
}

// waitPort returns the device of a port once it is there. The kernel tells of
// every new device and every name that a port is given, so each such message is
// a reason to look again; what it says does not matter.
func waitPort(name string, console io.Writer) (string, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_KOBJECT_UEVENT)
	if err != nil {
		return "", os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: 1}); err != nil {
		return "", os.NewSyscallError("bind", err)
	}
	buf := make([]byte, 4096)
	for waiting := false; ; waiting = true {
		port, err := findPort(os.DirFS("/sys"), name)
		if port != "" || err != nil {
			return port, err
		}
		if !waiting {
			fmt.Fprintf(console, "%swaiting for virtio port %s\n", first.Prefix, name)
		}
		_, _, err = unix.Recvfrom(fd, buf, 0)
		// Messages that were lost were reasons to look, too.
		if err != nil && err != unix.EINTR && err != unix.ENOBUFS {
			return "", os.NewSyscallError("recvfrom", err)
		}
	}
}

// device is a virtio port, a stream.
//
// It does without Go's poller: that waits for edges, and the driver does not
// signal one to a writer when the host has taken what was written. poll(2) asks
// anew each time. The descriptor does not block: a blocking write spins in the
// kernel until the host has taken the data, and lingers there when the host
// goes away, to end up in the next connection.
type device struct {
	fd int

	mu     sync.Mutex
	awaits int // calls of Await
}

func openDevice(name string) (*device, error) {
	fd, err := unix.Open(name, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	d := &device{fd: fd}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETOWN, unix.Getpid()); err != nil {
		return nil, os.NewSyscallError("fcntl F_SETOWN", err)
	}
	return d, nil
}

// Read returns what the host has sent, waiting for it, and io.EOF while no host
// is connected.
func (d *device) Read(p []byte) (int, error) {
	for {
		n, err := unix.Read(d.fd, p)
		switch {
		case n > 0:
			return n, nil
		case err == nil:
			return 0, io.EOF
		case err == unix.EAGAIN:
			if err := d.poll(unix.POLLIN); err != nil {
				return 0, err
			}
		case err != unix.EINTR:
			return 0, os.NewSyscallError("read", err)
		}
	}
}

// Write writes all of p, unless the host goes away.
func (d *device) Write(p []byte) (int, error) {
	for done := 0; ; {
		n, err := unix.Write(d.fd, p[done:])
		if n > 0 {
			done += n
		}
		switch {
		case done == len(p):
			return done, nil
		case err == unix.EAGAIN:
			if err := d.poll(unix.POLLOUT); err != nil {
				return done, err
			}
		case err != nil && err != unix.EINTR:
			return done, os.NewSyscallError("write", err)
		}
	}
}

// poll waits until the port is ready for events. A host that is not there makes
// it ready to read the end, and is an error for a writer.
func (d *device) poll(events int16) error {
	for {
		fds := []unix.PollFd{{Fd: int32(d.fd), Events: events}}
		_, err := unix.Poll(fds, -1)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return os.NewSyscallError("poll", err)
		case fds[0].Revents&unix.POLLHUP != 0 && events == unix.POLLOUT:
			return errAway
		}
		return nil
	}
}

// Await waits until the host may have connected. poll(2) does not wait for that:
// it says at once that nobody is there. The driver sends a signal to who asked
// for it.
func (d *device) Await(ctx context.Context) error {
	wake := make(chan os.Signal, 1)
	signal.Notify(wake, unix.SIGIO)
	defer signal.Stop(wake)
	if err := d.async(1); err != nil {
		return err
	}
	defer d.async(-1) // a signal too many is harmless
	// It may have connected before the signal was asked for.
	fds := []unix.PollFd{{Fd: int32(d.fd), Events: unix.POLLIN}}
	if n, err := unix.Poll(fds, 0); err == nil && (n == 0 || fds[0].Revents&unix.POLLHUP == 0) {
		return nil
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-wake:
		return nil
	}
}

// async asks for signals while there are calls of Await: with each packet that
// comes in, they would be a waste.
func (d *device) async(more int) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.awaits += more
	flags := unix.O_RDWR | unix.O_NONBLOCK
	if d.awaits > 0 {
		flags |= unix.O_ASYNC
	}
	_, err := unix.FcntlInt(uintptr(d.fd), unix.F_SETFL, flags)
	return os.NewSyscallError("fcntl F_SETFL", err)
}

func (d *device) Close() error { return unix.Close(d.fd) }
