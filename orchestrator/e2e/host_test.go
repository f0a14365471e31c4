package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ctmatrix/ctmatrix/orchestrator/internal/cli"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
)

// Faults of the host: what becomes of a run that is interrupted, killed, joined by
// another, or runs out of disk.

// running is ctmatrix in a process of its own.
type running struct {
	t       *testing.T
	cmd     *exec.Cmd
	printed bytes.Buffer
	ended   chan error
}

// limit is far beyond what any of these takes.
const limit = 3 * time.Minute

// begin starts ctmatrix, by way of other commands if wrap names any.
func begin(t *testing.T, wrap []string, args ...string) *running {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	argv := append(append(wrap, self), args...)
	p := &running{t: t, cmd: exec.CommandContext(ctx, argv[0], argv[1:]...), ended: make(chan error, 1)}
	p.cmd.Env = append(os.Environ(), asProgram+"=1")
	p.cmd.Stdout, p.cmd.Stderr, p.cmd.WaitDelay = &p.printed, &p.printed, 10*time.Second
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.ended <- p.cmd.Wait() }()
	return p
}

// status waits for the end and returns the exit status, or that of the signal.
func (p *running) status() int {
	p.t.Helper()
	err := <-p.ended
	p.ended <- err
	p.t.Logf("%v\n%s", err, &p.printed)
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case !errors.As(err, &exit):
		p.t.Fatal(err)
	case exit.Sys().(syscall.WaitStatus).Signaled():
		return 128 + int(exit.Sys().(syscall.WaitStatus).Signal())
	}
	return exit.ExitCode()
}

// over reports whether it has ended.
func (p *running) over() bool {
	select {
	case err := <-p.ended:
		p.ended <- err
		return true
	default:
		return false
	}
}

// guests are handles of the processes that it has started by now. The caller
// closes them.
func (p *running) guests() []int {
	p.t.Helper()
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	var fds []int
	for _, list := range lists {
		pids, _ := os.ReadFile(list) // a thread that has ended has none
		for _, pid := range strings.Fields(string(pids)) {
			n, err := strconv.Atoi(pid)
			if err != nil {
				p.t.Fatal(err)
			}
			if fd, err := unix.PidfdOpen(n, 0); err == nil { // else it is gone
				fds = append(fds, fd)
			}
		}
	}
	return fds
}

// gone waits until processes have ended, as they must at once.
func gone(t *testing.T, fds []int) {
	t.Helper()
	for _, fd := range fds {
		for {
			n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 10_000)
			if errors.Is(err, unix.EINTR) {
				continue
			}
			if n != 1 || err != nil {
				t.Errorf("a guest outlives the program: %d, %v", n, err)
				_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0) // as well as can be
			}
			break
		}
		unix.Close(fd)
	}
}

// resumed goes on with the latest run until it ends, and holds its rows to what
// the cache or a run of its own says.
func resumed(t *testing.T, out string, args []string) {
	t.Helper()
	whole := only(t, out, "--resume")
	want := only(t, t.TempDir(), args...)
	if diff := cmp.Diff(want.Rows, whole.Rows); diff != "" || whole.Outcome != results.CellOK {
		t.Errorf("%s: rows (-want +resumed):\n%s", whole.Outcome, diff)
	}
}

var loose = []string{"--kernel", "debian:6.1", "--probe", "loose/*"}

// TestRealInterruptedTwice has guests that do not react, so that a run cannot end
// in order: a second Ctrl-C ends it all the same, and takes them with it.
func TestRealInterruptedTwice(t *testing.T) {
	real(t)
	out := t.TempDir()
	p := begin(t, nil, append([]string{"run", "--no-cache", "--out", out}, loose...)...)
	for !hasRows(out, "") && !p.over() {
		time.Sleep(5 * time.Millisecond)
	}
	guests := p.guests()
	for _, fd := range guests {
		if err := unix.PidfdSendSignal(fd, unix.SIGSTOP, nil, 0); err != nil {
			t.Fatal(err)
		}
	}
	// Signals that come before the last was looked at are one.
	for !p.over() {
		if err := p.cmd.Process.Signal(os.Interrupt); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	if got := p.status(); got != 130 || len(guests) == 0 {
		t.Errorf("exit status %d, %d guests", got, len(guests))
	}
	gone(t, guests)
	resumed(t, out, loose)
}

// TestRealKilledAnywhere kills a run by SIGKILL again and again, whatever it is
// doing, and goes on with it.
func TestRealKilledAnywhere(t *testing.T) {
	real(t)
	out := t.TempDir()
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)
	for n := range 5 {
		args := append([]string{"run", "--no-cache", "--out", out}, loose...)
		if _, err := os.Stat(filepath.Join(out, results.LatestLink)); err == nil {
			args = []string{"run", "--resume", "--out", out}
		}
		events := filepath.Join(t.TempDir(), "events")
		p := begin(t, nil, append(args, "--json-events", events)...)
		// Any moment will do, as long as it is not always the same on a slow host.
		last := random.IntN(14)
		for told := 0; told < last && !p.over(); {
			time.Sleep(time.Duration(random.IntN(20)) * time.Millisecond)
			text, _ := os.ReadFile(events) // not there yet
			told = bytes.Count(text, []byte("\n"))
		}
		guests := p.guests()
		_ = p.cmd.Process.Kill() // it may have ended
		t.Logf("%d: after %d events, exit status %d, %d guests", n, last, p.status(), len(guests))
		gone(t, guests)
	}
	resumed(t, out, loose)
	halves, err := filepath.Glob(filepath.Join(out, "*", "*", ".*"))
	if err != nil || len(halves) > 0 {
		t.Errorf("left half written: %q, %v", halves, err)
	}
}

// TestRealTogether has two runs at once write below one directory and share one
// store, in which the guest that both need is not saved yet.
func TestRealTogether(t *testing.T) {
	real(t)
	out := t.TempDir()
	args := append([]string{"run", "--no-cache", "--out", out, "--seed", fmt.Sprint(1 + rand.Uint32N(1<<31))}, loose...)
	both := []*running{begin(t, nil, args...), begin(t, nil, args...)}
	for _, p := range both {
		if got := p.status(); got != cli.ExitSame {
			t.Errorf("exit status %d", got)
		}
	}
	plans, err := filepath.Glob(filepath.Join(out, "2*", results.PlanFile))
	if err != nil || len(plans) != 2 {
		t.Fatalf("%q, %v: want two runs", plans, err)
	}
	var rows []results.CellRows
	boots := 0
	for _, plan := range plans {
		r, err := results.Open(filepath.Dir(plan))
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range r.Cells[0].Steps {
			if s.Name == "boot" {
				boots++
			}
		}
		rows = append(rows, r.Cells[0])
	}
	if diff := cmp.Diff(rows[0].Rows, rows[1].Rows); diff != "" || len(rows[0].Rows) == 0 || boots != 1 {
		t.Errorf("%d rows, booted %d times; the other's rows:\n%s", len(rows[0].Rows), boots, diff)
	}
	latest(t, out)
}

// TestRealDiskFull runs two kernels into a directory with less room than their
// results take, and goes on once there is more.
func TestRealDiskFull(t *testing.T) {
	real(t)
	out, cache := t.TempDir(), []string{"--kernel", "debian:6.1", "--kernel", "debian:5.10", "--probe", "loose/*"}
	script := `mount -t tmpfs -o size=48k none "$1" || exit 99
out=$1; shift
"$@"; echo "exit status $?"
mount -o remount,size=8m "$out" && "$1" run --resume --out "$out"; echo "then $?"
"$1" report --out "$out"`
	p := begin(t, []string{"unshare", "-rm", "sh", "-c", script, "sh", out}, append([]string{"run", "--no-cache", "--out", out}, cache...)...)
	if got := p.status(); got != 0 {
		t.Errorf("exit status %d", got)
	}
	for _, want := range []string{
		"failed: write " + out, ": no space left on device\n", "exit status 2\n",
		"ctmatrix: not all results could be written: once they can, `ctmatrix run --resume " + out,
		"then 0\n", "Nothing differs: 88 rows, the same on all 2 kernels.",
	} {
		if !strings.Contains(p.printed.String(), want) {
			t.Errorf("%q is not said", want)
		}
	}
}

// TestRealReadOnlyStore has a store that may only be read. A guest that is saved
// in it cannot be restored, which is told with what to do, and that is done.
func TestRealReadOnlyStore(t *testing.T) {
	real(t)
	args := append([]string{"run", "--no-cache", "--out", t.TempDir()}, loose...)
	if got := begin(t, nil, args...).status(); got != cli.ExitSame {
		t.Fatalf("exit status %d with a store that may be written", got)
	}
	script := `cache=${CTMATRIX_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/ctmatrix}
mount --bind "$cache" "$cache" && mount -o remount,ro,bind "$cache" || exit 99
"$@"; echo "exit status $?"
"$@" --cold; echo "then $?"`
	p := begin(t, []string{"unshare", "-rm", "sh", "-c", script, "sh"}, args...)
	if got := p.status(); got != 0 {
		t.Errorf("exit status %d", got)
	}
	for _, want := range []string{
		"read-only file system, which QEMU wants to write: set CTMATRIX_CACHE to a directory that can be written, or boot every guest with --cold\n",
		"exit status 2\n", " ok\n", "then 0\n",
	} {
		if !strings.Contains(p.printed.String(), want) {
			t.Errorf("%q is not said", want)
		}
	}
}
