package remote_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/shlex"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/remote"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/remote/remotetest"
)

const limit = time.Minute // of every wait; one that takes so long hangs

// programs are what the guest of these tests has.
func programs(argv []string, stdin io.Reader, stdout, stderr io.Writer) int {
	switch argv[0] {
	case "echo":
		fmt.Fprintf(stdout, "%q", argv[1:])
	case "cat":
		_, _ = io.Copy(stdout, stdin)
	case "false":
		fmt.Fprint(stderr, "no")
		return 3
	case "hang":
		fmt.Fprint(stdout, "hangs")
		_, _ = io.Copy(io.Discard, stdin)
	case "vanish":
		return -1
	}
	return 0
}

func makeKeys(t *testing.T) *remote.Keys {
	t.Helper()
	keys, err := remote.NewKeys()
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// pair is a connection to oneself. A net.Pipe would not do: with it, two who both
// begin to speak wait for each other.
func pair(t *testing.T) (net.Conn, net.Conn) {
	t.Helper()
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	b, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return a, b
}

// guest serves the programs with the keys of a boot and returns the host's end.
func guest(t *testing.T, boot observe.Boot) net.Conn {
	t.Helper()
	ours, theirs := pair(t)
	done := make(chan error, 1)
	go func() { done <- remotetest.Serve(theirs, boot, programs) }()
	t.Cleanup(func() {
		ours.Close()
		<-done // its error is the client's, told from the other side
	})
	return ours
}

func dial(t *testing.T) (context.Context, *remote.Client) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	t.Cleanup(cancel)
	keys := makeKeys(t)
	c, err := remote.Dial(ctx, guest(t, keys.Boot()), keys)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return ctx, c
}

func TestRun(t *testing.T) {
	ctx, c := dial(t)
	for _, test := range []struct {
		argv           []string
		stdin          string
		stdout, stderr string
		exit           int
	}{
		{[]string{"echo", "a b", "", "it's", "#x", `\`}, "", `["a b" "" "it's" "#x" "\\"]`, "", 0},
		{[]string{"cat"}, strings.Repeat("0123456789", 100000), strings.Repeat("0123456789", 100000), "", 0},
		{[]string{"false"}, "", "", "no", 3},
		{[]string{"true"}, "", "", "", 0},
	} {
		t.Run(test.argv[0], func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			err := c.Run(ctx, test.argv, strings.NewReader(test.stdin), &stdout, &stderr)
			var exit *remote.ExitError
			if errors.As(err, &exit) != (test.exit != 0) || exit != nil && exit.Status != test.exit || exit == nil && err != nil {
				t.Errorf("%v, want status %d", err, test.exit)
			}
			if stdout.String() != test.stdout || stderr.String() != test.stderr {
				t.Errorf("%d bytes on stdout, %q on stderr", stdout.Len(), stderr.String())
			}
		})
	}
}

// A command that ended has ended, even if its caller's input has not.
func TestRunDoesNotWaitForInput(t *testing.T) {
	ctx, c := dial(t)
	input, never := io.Pipe()
	defer never.Close()
	if err := c.Run(ctx, []string{"true"}, input, nil, nil); err != nil {
		t.Error(err)
	}
}

func TestRunAtTheSameTime(t *testing.T) {
	ctx, c := dial(t)
	errs := make(chan error)
	const n = 20
	for i := range n {
		go func() {
			var out bytes.Buffer
			err := c.Run(ctx, []string{"echo", fmt.Sprint(i)}, nil, &out, nil)
			if want := fmt.Sprintf("[%q]", fmt.Sprint(i)); err == nil && out.String() != want {
				err = fmt.Errorf("%s, want %s", out.String(), want)
			}
			errs <- err
		}()
	}
	for range n {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

func TestLost(t *testing.T) {
	ctx, c := dial(t)
	if err := c.Run(ctx, []string{"vanish"}, nil, nil, nil); !errors.Is(err, remote.ErrLost) {
		t.Errorf("a guest that vanished: %v", err)
	}
	_ = c.Wait() // the connection goes after the command
	if err := c.Run(ctx, []string{"true"}, nil, nil, nil); !errors.Is(err, remote.ErrLost) {
		t.Errorf("asked again: %v", err)
	}
}

// cancelling calls cancel when it is written to.
type cancelling func()

func (c cancelling) Write(p []byte) (int, error) { c(); return len(p), nil }

func TestRunCancelled(t *testing.T) {
	_, c := dial(t)
	input, never := io.Pipe()
	defer never.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if err := c.Run(ctx, []string{"hang"}, input, cancelling(cancel), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want that the context ended", err)
	}
}

func TestDialRefusesAnotherGuest(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	mine, other := makeKeys(t), makeKeys(t)
	wrongHost, wrongClient := mine.Boot(), mine.Boot()
	wrongHost.HostKey = other.Boot().HostKey
	wrongClient.ClientKey = other.Boot().ClientKey
	if _, err := remote.Dial(ctx, guest(t, wrongHost), mine); !errors.Is(err, remote.ErrHostKey) {
		t.Errorf("another host key: %v", err)
	}
	if _, err := remote.Dial(ctx, guest(t, wrongClient), mine); err == nil || errors.Is(err, remote.ErrHostKey) || ctx.Err() != nil {
		t.Errorf("a guest that does not know us: %v", err)
	}
}

func TestDialCancelled(t *testing.T) {
	ours, theirs := net.Pipe()
	defer theirs.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		// Once it speaks, it waits for an answer that never comes.
		_, _ = theirs.Read(make([]byte, 4))
		cancel()
	}()
	if _, err := remote.Dial(ctx, ours, makeKeys(t)); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want that the context ended", err)
	}
	if _, err := ours.Write([]byte("x")); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("the connection was left open: %v", err)
	}
	keys := makeKeys(t)
	if _, err := remote.Dial(ctx, guest(t, keys.Boot()), keys); !errors.Is(err, context.Canceled) {
		t.Errorf("ended before: %v", err)
	}
}

func TestKeysAreFresh(t *testing.T) {
	a, b := makeKeys(t).Boot(), makeKeys(t).Boot()
	if a.HostKey == b.HostKey || a.ClientKey == b.ClientKey {
		t.Error("two boots have the same keys")
	}
}

func TestQuoteRefuses(t *testing.T) {
	for _, argv := range [][]string{nil, {}, {""}, {"a", "b\x00"}, {"a", "\xff"}} {
		if got, err := remote.Quote(argv); !errors.Is(err, remote.ErrArgument) {
			t.Errorf("%q is quoted %s, %v", argv, got, err)
		}
	}
}

func FuzzQuote(f *testing.F) {
	f.Add("echo", "two words")
	f.Add("it's", "")
	f.Add(`a\b`, "\"#$\r\n\t`")
	f.Add("\xff", "\x00")
	f.Fuzz(func(t *testing.T, a, b string) {
		argv := []string{a, b, a}
		line, err := remote.Quote(argv)
		if err != nil {
			if !errors.Is(err, remote.ErrArgument) {
				t.Fatal(err)
			}
			return
		}
		got, err := shlex.Split(line)
		if err != nil || !slices.Equal(got, argv) {
			t.Fatalf("%q quoted is %s, which reads as %q, %v", argv, line, got, err)
		}
	})
}
