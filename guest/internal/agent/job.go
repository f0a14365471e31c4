package agent

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// job is a program that runs for a client, in a process group of its own; on a
// terminal in a session of its own.
type job struct {
	argv, env []string

	mu  sync.Mutex
	pid int // of the leader, 0 while there is none

	input sync.WaitGroup // what passes the client's input on
}

// end is how a job ended: a status, or a signal by its name without SIG.
type end struct {
	status int
	signal string
	note   string // for the client, where the agent itself has something to say
}

// The status of a job that cannot be started, as shells have it.
const cannotRun = 127

// run runs the job to its end: until the program has ended and nobody has its
// output open any more. If ctx is done before, the process group is killed and
// what it says no longer read. Who reads stdin goes on until that ends, which
// j.input waits for.
//
// The pipes are made here, not by os/exec: that would either wait for output
// for ever, even of a killed group's stray children, or for a time, and time is
// what a guest must not go by.
func (j *job) run(ctx context.Context, stdin io.Reader, stdout, stderr io.Writer) end {
	var files [6]*os.File // three pipes, each reader and writer
	for i := 0; i < len(files); i += 2 {
		r, w, err := os.Pipe()
		if err != nil {
			closeAll(files[:i])
			return end{status: cannotRun, note: err.Error()}
		}
		files[i], files[i+1] = r, w
	}
	inR, inW, outR, outW, errR, errW := files[0], files[1], files[2], files[3], files[4], files[5]
	cmd := exec.Command(j.argv[0], j.argv[1:]...)
	cmd.Env = j.env
	cmd.Dir = "/"
	cmd.Stdin, cmd.Stdout, cmd.Stderr = inR, outW, errW
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := j.start(cmd); err != nil {
		closeAll(files[:])
		return end{status: cannotRun, note: err.Error()}
	}
	closeAll([]*os.File{inR, outW, errW}) // the program has them

	var outputs sync.WaitGroup
	outputs.Go(func() { _, _ = io.Copy(stdout, outR) })
	outputs.Go(func() { _, _ = io.Copy(stderr, errR) })
	j.input.Go(func() {
		_, _ = io.Copy(inW, stdin)
		_ = inW.Close()
	})
	stop := context.AfterFunc(ctx, func() {
		j.kill(unix.SIGKILL)
		closeAll([]*os.File{outR, errR})
	})
	err := j.wait(cmd)
	_ = inW.Close() // a write to a program that is gone would wait for its strays
	outputs.Wait()
	if stop() {
		closeAll([]*os.File{outR, errR})
	}
	return ended(cmd.ProcessState, err)
}

// closeAll closes pipes, which cannot fail in a way that matters.
func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close()
	}
}

func (j *job) start(cmd *exec.Cmd) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := cmd.Start(); err != nil {
		return err
	}
	j.pid = cmd.Process.Pid
	return nil
}

// wait forgets the process group when its leader is gone.
func (j *job) wait(cmd *exec.Cmd) error {
	err := cmd.Wait()
	j.mu.Lock()
	defer j.mu.Unlock()
	j.pid = 0
	return err
}

// kill sends the process group a signal and reports whether there was one.
func (j *job) kill(s syscall.Signal) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.pid != 0 && unix.Kill(-j.pid, s) == nil
}

// signal sends a signal by its name in SSH, which has no SIG.
func (j *job) signal(name string) bool {
	s := unix.SignalNum("SIG" + name)
	return s != 0 && j.kill(s)
}

func ended(state *os.ProcessState, err error) end {
	if state == nil {
		return end{status: cannotRun, note: err.Error()}
	}
	if s, ok := state.Sys().(syscall.WaitStatus); ok && s.Signaled() {
		return end{signal: strings.TrimPrefix(unix.SignalName(s.Signal()), "SIG")}
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return end{status: state.ExitCode(), note: err.Error()}
	}
	return end{status: state.ExitCode()}
}
