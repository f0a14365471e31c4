package vm

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// DefaultConsoleLimit is how much of a console is written to VM.Console: some
// hundred times what a boot and a long suite print.
const DefaultConsoleLimit = 16 << 20

// pipeSize is the room between QEMU and us. A serial port whose reader lags
// tries again later, and when that happens is the host's doing: the guest would
// see its bytes go out at other times. So the pipe holds more than a guest
// prints before we get to read it. It is the most that a user may ask for.
const pipeSize = 1 << 20

// newPipe makes the pipe of a console.
func newPipe() (r, w *os.File, err error) {
	if r, w, err = os.Pipe(); err != nil {
		return nil, nil, fmt.Errorf("make a pipe for the console: %w", err)
	}
	// A host that does not grant it gives 64 KiB, which is nearly always enough.
	_, _ = unix.FcntlInt(w.Fd(), unix.F_SETPIPE_SZ, pipeSize)
	return r, w, nil
}

// drainTime is how long the rest of a console may take to be read once QEMU,
// the only writer, is gone.
const drainTime = 5 * time.Second

// drain reads a console to its end. It reads on whatever becomes of out, so that
// the guest is never kept waiting, and returns what out or the pipe failed with.
func drain(r io.Reader, seen, out io.Writer, limit int64) error {
	l := &limited{w: out, left: limit}
	_, err := io.Copy(io.MultiWriter(seen, l), r)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = fmt.Errorf("read the console: somebody else holds it open: %w", err)
	}
	return errors.Join(err, l.err)
}

// limited passes on the first bytes and then one line that says so. Its Write
// never fails: what failed is kept in err, and nothing more is passed on.
type limited struct {
	w    io.Writer // nil passes nothing on
	left int64
	err  error
}

func (l *limited) Write(p []byte) (int, error) {
	if l.w == nil || l.left <= 0 || l.err != nil {
		return len(p), nil
	}
	part := p[:min(int64(len(p)), l.left)]
	l.left -= int64(len(part))
	if l.left == 0 {
		part = append(part[:len(part):len(part)], "\n[cut here]\n"...)
	}
	if _, err := l.w.Write(part); err != nil {
		l.err = fmt.Errorf("write the console: %w", err)
	}
	return len(p), nil
}
