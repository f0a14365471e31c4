package shell

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/remote"
)

// Stage is a probe that is set up in a guest, and waits.
type Stage struct {
	stdin io.WriteCloser
	read  chan ending
}

// ending is how a staged probe ended.
type ending struct {
	end observe.End
	err error
}

// Enter has a command run in the network namespace of the probe's box.
func (s *Stage) Enter(argv []string) []string {
	if s == nil {
		return argv
	}
	return append([]string{"nsenter", "--net=" + observe.BoxNamespace, "--"}, argv...)
}

// SetUp sets a probe up and returns when it stands. Whoever gets a Stage must
// take it Down, or end the guest.
func SetUp(ctx context.Context, guest Runner, probe string) (*Stage, error) {
	in, stdin := io.Pipe()
	out, records := io.Pipe()
	s := &Stage{stdin: stdin, read: make(chan ending, 1)}
	said := &bounded{left: maxComplaint}
	ran := make(chan error, 1)
	go func() {
		argv := []string{observe.AgentPath, observe.Stage, probe}
		err := said.with(guest.Do(ctx, remote.Request{Argv: argv, Stdin: in, Stdout: records, Stderr: said}))
		in.CloseWithError(io.ErrClosedPipe)
		ran <- err
		records.Close() // what is missing then, the reader says
	}()
	begun := make(chan struct{})
	go func() {
		end, err := follow(observe.NewReader(out, observe.Limits{Bytes: 1 << 20}), sync.OnceFunc(func() { close(begun) }))
		out.CloseWithError(errors.Join(io.ErrClosedPipe, err))
		if rerr := <-ran; rerr != nil {
			err = rerr // the same told closer to its cause
		}
		s.read <- ending{end, err}
	}()
	select {
	case <-begun:
		return s, nil
	case e := <-s.read:
		return nil, fmt.Errorf("set up %s: %w", probe, e.err)
	}
}

// follow reads a stream of one probe to its end.
func follow(r *observe.Reader, begun func()) (observe.End, error) {
	var end observe.End
	for {
		rec, err := r.Next()
		switch {
		case errors.Is(err, io.EOF):
			return end, nil
		case err != nil:
			return end, err
		case rec.Begin != nil:
			begun()
		case rec.End != nil:
			end = *rec.End
		}
	}
}

// Down takes the probe down and returns how it ended: what was left behind
// besides it makes it broken, and is undone.
func (s *Stage) Down() (observe.End, error) {
	_ = s.stdin.Close() // never fails
	e := <-s.read
	return e.end, e.err
}
