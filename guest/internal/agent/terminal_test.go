package agent

import (
	"bufio"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"
)

// onTerminal starts a command on a terminal and returns what is typed there and
// what it shows.
func onTerminal(t *testing.T, session *ssh.Session, command string) (io.Writer, *bufio.Reader) {
	t.Helper()
	if err := session.RequestPty("vt100", 11, 22, nil); err != nil {
		t.Fatal(err)
	}
	in, err := session.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := session.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := session.Start(command); err != nil {
		t.Fatal(err)
	}
	return in, bufio.NewReader(out)
}

// await reads lines up to one that ends in want: what is typed stands before it.
func await(t *testing.T, out *bufio.Reader, want string) {
	t.Helper()
	for {
		line, err := out.ReadString('\n')
		if strings.HasSuffix(strings.TrimRight(line, "\r\n"), want) {
			return
		}
		if err != nil {
			t.Fatalf("%v before %q", err, want)
		}
	}
}

func typed(t *testing.T, in io.Writer, text string) {
	t.Helper()
	if _, err := io.WriteString(in, text); err != nil {
		t.Fatal(err)
	}
}

func TestTerminal(t *testing.T) {
	session := startServer(t).session(t)
	in, out := onTerminal(t, session, `sh -c 'test -t 0 && test -t 1 && test -t 2 && echo "term $TERM"; stty size; while read word; do stty size; done; echo end; exit 5'`)
	await(t, out, "term vt100")
	await(t, out, "11 22")
	if err := session.WindowChange(33, 44); err != nil {
		t.Fatal(err)
	}
	typed(t, in, "one\n")
	await(t, out, "33 44")
	typed(t, in, "\x04") // the end of what is typed
	await(t, out, "end")
	var exit *ssh.ExitError
	if err := session.Wait(); !errors.As(err, &exit) || exit.ExitStatus() != 5 {
		t.Errorf("%v, want exit status 5", err)
	}
}

// Ctrl-C is a signal to what is in front, and to nobody else.
func TestTerminalInterrupts(t *testing.T) {
	session := startServer(t).session(t)
	in, out := onTerminal(t, session, `sh -c 'trap : INT; sh -c "echo up; exec sleep 1000"; echo "ended $?"'`)
	await(t, out, "up")
	typed(t, in, "\x03")
	await(t, out, "ended 130")
	if err := session.Wait(); err != nil {
		t.Error(err)
	}
}

// What is left in the background holds nobody up, and all that was said before
// arrives.
func TestTerminalLeavesBackground(t *testing.T) {
	session := startServer(t).session(t)
	if err := session.RequestPty("dumb", 24, 80, nil); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	out, err := session.Output(`sh -c 'trap "" HUP; sleep 30 & i=0; while [ $i -lt 500 ]; do echo line $i; i=$((i+1)); done'`)
	if err != nil || !strings.HasSuffix(string(out), "line 499\r\n") || strings.Count(string(out), "\n") != 500 {
		t.Errorf("%d bytes, the last %q, %v", len(out), out[max(0, len(out)-20):], err)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("waited %v for what was left in the background", took)
	}
}

// A client that goes takes what runs on its terminal along.
func TestTerminalClientGoes(t *testing.T) {
	session := startServer(t).session(t)
	name := t.TempDir() + "/fifo"
	if err := unix.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	// Only the processes have it open to write: its end is theirs.
	onTerminal(t, session, `sh -c 'exec 3> "`+name+`"; sleep 1000 & echo up >&3; sleep 1000'`)
	endsAll(t, session, name)
}

func TestTerminalRefused(t *testing.T) {
	session := startServer(t).session(t)
	if err := session.RequestPty("dumb\x00", 24, 80, nil); err == nil {
		t.Error("a name with a zero byte was taken")
	}
	if err := session.RequestPty("dumb", 1<<20, 80, nil); err != nil {
		t.Fatal(err)
	}
	if err := session.RequestPty("dumb", 24, 80, nil); err == nil {
		t.Error("a second terminal was taken")
	}
	if out, err := session.Output("stty size"); err != nil || string(out) != "65535 80\r\n" {
		t.Errorf("%q, %v", out, err)
	}
}
