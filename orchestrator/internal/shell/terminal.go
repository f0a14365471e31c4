package shell

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/ctmatrix/ctmatrix/orchestrator/internal/remote"
)

// Terminal is the user's, as long as a guest has it. It is used once.
type Terminal struct {
	in, out *os.File
	filter  *filter
	was     *term.State
	resized chan remote.Size
	winch   chan os.Signal
	done    chan struct{}
	watch   sync.WaitGroup
	restore sync.Once
}

// IsTerminal reports whether both are: then a command gets one, too.
func IsTerminal(in io.Reader, out io.Writer) bool {
	i, ok1 := in.(*os.File)
	o, ok2 := out.(*os.File)
	return ok1 && ok2 && term.IsTerminal(int(i.Fd())) && term.IsTerminal(int(o.Fd()))
}

// TakeTerminal makes the terminal pass on every key. Restore must be called on
// every way out, and may be called again.
func TakeTerminal(in, out *os.File) (*Terminal, error) {
	t := &Terminal{
		in: in, out: out, filter: newFilter(out), resized: make(chan remote.Size, 1),
		winch: make(chan os.Signal, 1), done: make(chan struct{}),
	}
	var err error
	if t.was, err = term.MakeRaw(int(in.Fd())); err != nil {
		return nil, fmt.Errorf("take the terminal: %w", err)
	}
	signal.Notify(t.winch, unix.SIGWINCH)
	t.watch.Go(t.follow)
	return t, nil
}

// Remote is the terminal that the guest is to have.
func (t *Terminal) Remote() (*remote.Terminal, error) {
	size, err := t.size()
	if err != nil {
		return nil, err
	}
	return &remote.Terminal{Name: os.Getenv("TERM"), Size: size, Resized: t.resized}, nil
}

// Write shows what the guest says.
func (t *Terminal) Write(p []byte) (int, error) { return t.filter.Write(p) }

func (t *Terminal) size() (remote.Size, error) {
	columns, rows, err := term.GetSize(int(t.out.Fd()))
	if err != nil {
		return remote.Size{}, fmt.Errorf("ask for the terminal's size: %w", err)
	}
	return remote.Size{Columns: columns, Rows: rows}, nil
}

// follow passes sizes on: of several that nobody has taken yet, the last.
func (t *Terminal) follow() {
	for {
		select {
		case <-t.done:
			return
		case <-t.winch:
		}
		size, err := t.size()
		if err != nil {
			continue // the terminal is going
		}
		select {
		case <-t.resized:
		default:
		}
		t.resized <- size
	}
}

// Restore gives the terminal back as it was, whatever the guest did to it: modes
// that it left on are turned off, and what was typed or answered and not read yet
// is thrown away, lest a shell takes a guest's question's answer for a command.
func (t *Terminal) Restore() error {
	var err error
	t.restore.Do(func() {
		signal.Stop(t.winch)
		close(t.done)
		t.watch.Wait()
		if text := t.filter.undo(); text != "" {
			_, err = io.WriteString(t.out, text)
		}
		_ = unix.IoctlSetInt(int(t.in.Fd()), unix.TCFLSH, unix.TCIFLUSH) // what cannot be thrown away stays
		err = errors.Join(err, term.Restore(int(t.in.Fd()), t.was))
	})
	return err
}
