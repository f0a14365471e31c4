package e2e

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
)

// program is ctmatrix as a process of its own.
func program(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, args...)
	cmd.Env = append(os.Environ(), asProgram+"=1", "TERM=xterm")
	return cmd
}

// statusOf is how a program ended.
func statusOf(t *testing.T, err error) int {
	t.Helper()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if exit == nil {
		return 0
	}
	return exit.ExitCode()
}

// TestRealShellCommand runs a command in one guest: what is asked with nft,
// conntrack and ip, both ways of output, input, a status, and copies in and out. The
// guest also serves as the host whose clock jumps, which no test may do to this one.
func TestRealShellCommand(t *testing.T) {
	real(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "rules.nft"), []byte("table inet x {\n\tset s {\n\t\ttype ipv4_addr\n\t}\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	build := exec.CommandContext(t.Context(), "go", "test", "-c", "-o", filepath.Join(dir, "limits"), "../internal/vm")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if b, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
	out := filepath.Join(t.TempDir(), "list")
	script := `nft -f /mnt/r/rules.nft && nft list ruleset && nft list ruleset > /root/list
conntrack -L
iptables-legacy -t raw -A PREROUTING -j CT --notrack && iptables-legacy -t raw -S
ip -br link
CTMATRIX_TEST_CLOCK_OF=$(uname -n) /mnt/r/limits -test.v -test.run '^TestClockJump$'
cat
echo complaint >&2
exit 7`
	cmd := program(t, "shell", "debian:6.1", "--mount", dir+":/mnt/r", "--get", "/root/list:"+out, "--", "sh", "-c", script)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader("what was typed\n"), &stdout, &stderr
	status := statusOf(t, cmd.Run())
	for _, want := range []string{"table inet x {", "type ipv4_addr", "-A PREROUTING -j CT --notrack", "LOOPBACK,UP", "--- PASS: TestClockJump", "what was typed"} {
		if !strings.Contains(stdout.String(), want) {
			t.Errorf("standard output lacks %q", want)
		}
	}
	for _, want := range []string{"0 flow entries have been shown", "complaint"} {
		if !strings.Contains(stderr.String(), want) || strings.Contains(stdout.String(), want) {
			t.Errorf("standard error lacks %q, or standard output has it", want)
		}
	}
	if list, err := os.ReadFile(out); err != nil || !strings.Contains(string(list), "type ipv4_addr") {
		t.Errorf("copied out: %q, %v", list, err)
	}
	if status != 7 || t.Failed() {
		t.Errorf("exit status %d, want 7\n%s\n%s", status, &stdout, &stderr)
	}
}

// user sits in front of a terminal.
type user struct {
	t    *testing.T
	keys *os.File

	mu   sync.Mutex
	seen bytes.Buffer
	read int // how much of it await has looked at
}

func (u *user) Write(p []byte) (int, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.seen.Write(p)
}

func (u *user) types(text string) {
	u.t.Helper()
	if _, err := io.WriteString(u.keys, text); err != nil {
		u.t.Fatal(err)
	}
}

// sees waits until the screen shows a text after all that was awaited before.
func (u *user) sees(text string) {
	u.t.Helper()
	for deadline := time.Now().Add(3 * time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		u.mu.Lock()
		at := strings.Index(u.seen.String()[u.read:], text)
		if at >= 0 {
			u.read += at + len(text)
		}
		u.mu.Unlock()
		if at >= 0 {
			return
		}
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.t.Fatalf("%q did not appear; the screen had\n%s", text, u.seen.String())
}

// TestRealShellTerminal sits in front of a kernel: a window that changes its size,
// Ctrl-C, Ctrl-Z and fg, a probe's box, and a terminal that is as it was in the
// end.
func TestRealShellTerminal(t *testing.T) {
	real(t)
	keys, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer keys.Close()
	defer tty.Close()
	size := func(rows, columns uint16) {
		if err := pty.Setsize(keys, &pty.Winsize{Rows: rows, Cols: columns}); err != nil {
			t.Fatal(err)
		}
	}
	attrs := func() string {
		stty := exec.CommandContext(t.Context(), "stty", "-a")
		stty.Stdin = tty
		out, err := stty.Output()
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(out), "\n") // the first line has the size
		return rest
	}
	size(24, 80)
	before := attrs()
	cmd := program(t, "shell", "debian:7.3", "--probe", "table-full/syn@child")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	u := &user{t: t, keys: keys}
	go func() { _, _ = io.Copy(u, keys) }() // ends with the terminal
	const prompt = "table-full/syn@child"
	u.sees("modules loaded")
	u.sees("~ #")
	// What is typed is shown too: so what is waited for is not what was typed.
	u.types("echo size $(stty size); echo box $(ip -br link show near | wc -l) $(sysctl -n net.netfilter.nf_conntrack_max)\r")
	u.sees("size 24 80")
	u.sees("box 1 7")
	u.sees(prompt)
	size(33, 99)
	u.types("echo size $(stty size)\r")
	u.sees("size 33 99")
	u.sees(prompt)
	// A key counts for the program only once that is in front, which it says.
	const program = `sh -c 'echo in front$((1+1)); exec sleep 1000'`
	u.types(program + "\r")
	u.sees("in front2")
	u.types("\x03")
	u.sees(prompt)
	u.types("echo status $?; " + program + "\r")
	u.sees("status 130")
	u.sees("in front2")
	u.types("\x1a")
	u.sees("Stopped")
	u.sees(prompt)
	u.types("fg\r")
	u.sees("exec sleep 1000")
	u.types("\x03")
	u.sees(prompt)
	u.types("printf '\\033[?1049h\\033[?25l'; exit $((4+1))\r")
	if status := statusOf(t, cmd.Wait()); status != 5 {
		t.Errorf("exit status %d, want 5", status)
	}
	u.sees("\x1b[?1049l\x1b[?25h")
	if after := attrs(); after != before {
		t.Errorf("the terminal was\n%s and is\n%s", before, after)
	}
}
