package agent

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/creack/pty"
	"github.com/google/shlex"
	"golang.org/x/crypto/ssh"

	"github.com/ctmatrix/ctmatrix/guest/internal/first"
)

// The payloads of requests, as RFC 4254 lays them out.
type (
	execRequest   struct{ Command string }
	envRequest    struct{ Name, Value string }
	signalRequest struct{ Name string }
	windowSize    struct{ Columns, Rows, Width, Height uint32 } // the latter in pixels
	ptyRequest    struct {
		Term                         string
		Columns, Rows, Width, Height uint32
		Modes                        string
	}
	exitStatus struct{ Status uint32 }
	exitSignal struct {
		Name    string
		Core    bool
		Message string
		Lang    string
	}
)

// maxEnv bounds the variables that a client may set in a session.
const maxEnv = 64

// session is a channel on which one program may run.
type session struct {
	ch  ssh.Channel
	env []string

	started bool
	job     job
	tty     *terminal // nil unless the client asked for one
}

// serveSession serves a channel until the client closes it. A program that
// still runs then is killed with its process group.
func serveSession(ch ssh.Channel, reqs <-chan *ssh.Request) {
	ctx, cancel := context.WithCancel(context.Background())
	s := &session{ch: ch}
	var running sync.WaitGroup
	for req := range reqs {
		ok, then := s.handle(req)
		if req.WantReply {
			// An error means that the connection is gone; so is reqs then.
			_ = req.Reply(ok, nil)
		}
		if then != nil {
			running.Go(func() { then(ctx) })
		}
	}
	cancel()
	running.Wait()
	s.job.input.Wait()
	_ = ch.Close() // for a client that ran nothing
}

// handle decides upon a request. What it starts must not speak before the
// client has the answer, so that is left to the caller.
func (s *session) handle(req *ssh.Request) (ok bool, then func(context.Context)) {
	switch req.Type {
	case "env":
		var r envRequest
		if ssh.Unmarshal(req.Payload, &r) != nil || len(s.env) == maxEnv || !r.valid() {
			return false, nil
		}
		s.env = append(s.env, r.Name+"="+r.Value)
		return true, nil
	case "exec":
		var r execRequest
		if s.started || ssh.Unmarshal(req.Payload, &r) != nil {
			return false, nil
		}
		argv, err := shlex.Split(r.Command)
		if err != nil || len(argv) == 0 {
			return false, nil
		}
		s.started = true
		return true, func(ctx context.Context) { s.run(ctx, argv) }
	case "pty-req":
		var r ptyRequest
		if s.started || s.tty != nil || ssh.Unmarshal(req.Payload, &r) != nil || strings.ContainsRune(r.Term, 0) {
			return false, nil
		}
		s.tty = &terminal{name: r.Term, size: windowSize{r.Columns, r.Rows, r.Width, r.Height}.winsize()}
		return true, nil
	case "window-change":
		var r windowSize
		if s.tty == nil || ssh.Unmarshal(req.Payload, &r) != nil {
			return false, nil
		}
		s.tty.resize(r.winsize())
		return true, nil
	case "signal":
		var r signalRequest
		return ssh.Unmarshal(req.Payload, &r) == nil && s.job.signal(r.Name), nil
	case "shell":
		// A refusal alone would leave the user guessing.
		fmt.Fprint(s.ch.Stderr(), first.Prefix+"there is no shell in this guest; run a program by name\r\n")
	}
	return false, nil
}

func (r envRequest) valid() bool {
	return r.Name != "" && !strings.ContainsAny(r.Name, "=\x00") && !strings.Contains(r.Value, "\x00")
}

// winsize is the size as the kernel takes it.
func (w windowSize) winsize() pty.Winsize {
	fit := func(n uint32) uint16 { return uint16(min(n, math.MaxUint16)) }
	return pty.Winsize{Cols: fit(w.Columns), Rows: fit(w.Rows), X: fit(w.Width), Y: fit(w.Height)}
}

// run runs a program, tells the client how it ended, and closes the channel.
func (s *session) run(ctx context.Context, argv []string) {
	s.job.argv = argv
	s.job.env = slices.Concat(first.Environment, s.env)
	var end end
	if s.tty != nil {
		s.job.env = append(s.job.env, "TERM="+s.tty.name)
		end = s.job.runOn(ctx, s.tty, s.ch, s.ch)
	} else {
		end = s.job.run(ctx, s.ch, s.ch, s.ch.Stderr())
	}
	if end.note != "" {
		fmt.Fprintf(s.ch.Stderr(), "%s%s\n", first.Prefix, end.note)
	}
	// An error of any of these means that the client is gone.
	if end.signal != "" {
		_, _ = s.ch.SendRequest("exit-signal", false, ssh.Marshal(exitSignal{Name: end.signal}))
	} else {
		_, _ = s.ch.SendRequest("exit-status", false, ssh.Marshal(exitStatus{uint32(end.status)}))
	}
	_ = s.ch.Close()
}
