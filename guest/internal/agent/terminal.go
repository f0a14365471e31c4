package agent

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// terminal is the pseudo-terminal of a job whose client has asked for one.
type terminal struct {
	name string // TERM

	mu     sync.Mutex
	size   pty.Winsize
	master *os.File // nil while no job has it
}

// resize sets the size, of which the foreground job is told by SIGWINCH.
func (t *terminal) resize(size pty.Winsize) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.size = size
	if t.master != nil {
		_ = setSize(t.master, size) // fails only if the job has ended
	}
}

// openPair makes a pair whose master has deadlines. That of the package has none:
// it takes the descriptor out of the file, which makes reading it block for good.
func openPair() (master, slave *os.File, err error) {
	blocking, slave, err := pty.Open()
	if err != nil {
		return nil, nil, err
	}
	defer blocking.Close() // the other descriptor stays
	fd, err := unix.FcntlInt(blocking.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		_ = unix.Close(fd) // or there is none
		_ = slave.Close()
		return nil, nil, err
	}
	return os.NewFile(uintptr(fd), blocking.Name()), slave, nil
}

// setSize leaves the file with its deadlines.
func setSize(master *os.File, size pty.Winsize) error {
	conn, err := master.SyscallConn()
	if err != nil {
		return err
	}
	controlled := conn.Control(func(fd uintptr) {
		err = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{
			Row: size.Rows, Col: size.Cols, Xpixel: size.X, Ypixel: size.Y,
		})
	})
	return errors.Join(controlled, err)
}

// open makes the pair and gives it its size.
func (t *terminal) open() (master, slave *os.File, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if master, slave, err = openPair(); err != nil {
		return nil, nil, err
	}
	t.master = master
	// Erasing a character takes all its bytes away.
	attrs, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS)
	if err == nil {
		attrs.Iflag |= unix.IUTF8
		err = unix.IoctlSetTermios(int(slave.Fd()), unix.TCSETS, attrs)
	}
	if err == nil {
		err = setSize(master, t.size)
	}
	if err != nil {
		t.master = nil
		closeAll([]*os.File{master, slave})
	}
	return master, slave, err
}

func (t *terminal) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	_ = t.master.Close() // hangs up on whoever still has the other end
	t.master = nil
}

// runOn runs the job on a terminal, as the leader of a session, until the leader
// has ended: what it left behind in the background is hung up on. If ctx is done
// before, the leader's process group is killed.
func (j *job) runOn(ctx context.Context, t *terminal, stdin io.Reader, stdout io.Writer) end {
	master, slave, err := t.open()
	if err != nil {
		return end{status: cannotRun, note: err.Error()}
	}
	defer t.close()
	cmd := exec.Command(j.argv[0], j.argv[1:]...)
	cmd.Env, cmd.Dir = j.env, "/"
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	err = j.start(cmd)
	_ = slave.Close() // the program has it
	if err != nil {
		return end{status: cannotRun, note: err.Error()}
	}
	var output sync.WaitGroup
	output.Go(func() { _, _ = io.Copy(stdout, master) })
	j.input.Go(func() { _, _ = io.Copy(master, stdin) })
	stop := context.AfterFunc(ctx, func() { j.kill(unix.SIGKILL) })
	err = j.wait(cmd)
	stop()
	// What the leader wrote last is there to be read, and more may come for as
	// long as something else has the terminal.
	_ = master.SetReadDeadline(time.Unix(1, 0))
	output.Wait()
	drain(master, stdout)
	return ended(cmd.ProcessState, err)
}

// maxDrained is more than a terminal holds.
const maxDrained = 256 << 10

// drain passes on what can be read without waiting. The kernel hands what was
// written to the other end on in the background; poll(2) waits for that
// (n_tty_poll flushes the work).
func drain(master *os.File, w io.Writer) {
	conn, err := master.SyscallConn()
	if err != nil {
		return // closed
	}
	_ = conn.Control(func(fd uintptr) {
		buf := make([]byte, 4096)
		for done := 0; done < maxDrained; {
			fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
			if n, err := unix.Poll(fds, 0); err == unix.EINTR {
				continue
			} else if n <= 0 || fds[0].Revents&unix.POLLIN == 0 {
				return
			}
			n, err := unix.Read(int(fd), buf)
			if n <= 0 || err != nil {
				return
			}
			if _, err := w.Write(buf[:n]); err != nil {
				return
			}
			done += n
		}
	})
}
