package lab

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/ctmatrix/ctmatrix/guest/internal/kmsg"
	"github.com/ctmatrix/ctmatrix/guest/observe"
)

// Log follows the kernel's log through /dev/kmsg. It is used by one goroutine.
type Log struct {
	fd  int
	buf [kmsg.Most]byte
}

// OpenLog opens the log; the first Take returns what was there before.
func OpenLog() (*Log, error) {
	fd, err := unix.Open("/dev/kmsg", unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open kernel log: %w", err)
	}
	return &Log{fd: fd}, nil
}

// Close closes the log.
func (l *Log) Close() error { return unix.Close(l.fd) }

// Take returns the lines that came since the last Take.
func (l *Log) Take() ([]observe.Log, error) {
	var lines []observe.Log
	for {
		n, err := unix.Read(l.fd, l.buf[:])
		switch {
		case errors.Is(err, unix.EAGAIN):
			return lines, nil
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EPIPE):
			return lines, fmt.Errorf("read kernel log: lines were overwritten before they were read")
		case err != nil:
			return lines, fmt.Errorf("read kernel log: %w", err)
		}
		line, err := kmsg.Parse(l.buf[:n])
		if err != nil {
			return lines, err
		}
		lines = append(lines, line)
	}
}
