package lab

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/ctmatrix/ctmatrix/guest/observe"
)

// Log follows the kernel's log through /dev/kmsg, whose format is
// Documentation/ABI/testing/dev-kmsg.
type Log struct {
	fd int
}

// OpenLog opens the log; the first Take returns what was there before.
func OpenLog() (*Log, error) {
	fd, err := unix.Open("/dev/kmsg", unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open kernel log: %w", err)
	}
	return &Log{fd}, nil
}

// Close closes the log.
func (l *Log) Close() error { return unix.Close(l.fd) }

// Take returns the lines that came since the last Take.
func (l *Log) Take() ([]observe.Log, error) {
	var lines []observe.Log
	buf := make([]byte, 8192) // CONSOLE_EXT_LOG_MAX, the most one read returns
	for {
		n, err := unix.Read(l.fd, buf)
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
		line, err := parseLog(buf[:n])
		if err != nil {
			return lines, err
		}
		lines = append(lines, line)
	}
}

// parseLog reads "prefix,sequence,microseconds,flags[,…];text\n KEY=value…".
func parseLog(b []byte) (observe.Log, error) {
	head, text, ok := bytes.Cut(b, []byte(";"))
	fields := bytes.Split(head, []byte(","))
	if !ok || len(fields) < 4 {
		return observe.Log{}, fmt.Errorf("kernel log record without a header: %q", b)
	}
	prefix, err := strconv.ParseUint(string(fields[0]), 10, 32)
	if err != nil {
		return observe.Log{}, fmt.Errorf("kernel log record with priority %q", fields[0])
	}
	at, err := strconv.ParseInt(string(fields[2]), 10, 64)
	if err != nil {
		return observe.Log{}, fmt.Errorf("kernel log record with time %q", fields[2])
	}
	text, _, _ = bytes.Cut(text, []byte("\n"))
	return observe.Log{Level: int(prefix & 7), AtUS: at, Text: string(text)}, nil
}
