package agent

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// fakePort is a port whose host is the test. What it says comes in the pieces
// in which it was said; "" is the news that no host is connected.
type fakePort struct {
	pieces chan string

	mu      sync.Mutex
	back    chan struct{} // closed while a host is connected
	written strings.Builder
}

func newFakePort() *fakePort {
	f := &fakePort{pieces: make(chan string), back: make(chan struct{})}
	close(f.back)
	return f
}

func (f *fakePort) Read(p []byte) (int, error) {
	piece, ok := <-f.pieces
	switch {
	case !ok:
		return 0, io.ErrUnexpectedEOF
	case piece == "":
		return 0, io.EOF
	}
	return copy(p, piece), nil
}

func (f *fakePort) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	select {
	case <-f.back:
		return f.written.Write(p)
	default:
		return 0, errAway
	}
}

func (f *fakePort) Await(ctx context.Context) error {
	f.mu.Lock()
	back := f.back
	f.mu.Unlock()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-back:
		return nil
	}
}

func (f *fakePort) leave() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.back = make(chan struct{})
}

func (f *fakePort) connect() {
	f.mu.Lock()
	defer f.mu.Unlock()
	close(f.back)
}

// startLine runs a line over a fake port until the test ends.
func startLine(t *testing.T) (*fakePort, *line) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	f := newFakePort()
	l := newLine(ctx, f)
	done := make(chan error, 1)
	go func() { done <- l.run() }()
	t.Cleanup(func() {
		close(f.pieces)
		if err := <-done; !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("line ended with %v", err)
		}
		cancel()
	})
	return f, l
}

// expect reads exactly what the client is to have said.
func expect(t *testing.T, c net.Conn, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != want {
		t.Fatalf("read %q, %v; want %q", got, err, want)
	}
}

func expectEnd(t *testing.T, c net.Conn) {
	t.Helper()
	if rest, err := io.ReadAll(c); err != nil || len(rest) > 0 {
		t.Fatalf("read %q, %v; want the end", rest, err)
	}
	if _, err := c.Write([]byte("late")); !errors.Is(err, io.ErrClosedPipe) {
		t.Fatalf("write after the end: %v", err)
	}
}

func TestLineFindsBanner(t *testing.T) {
	f, l := startLine(t)
	go func() {
		for _, p := range []string{"rubbish", "SSH-1.5-old\nSSH-", "SS", "H-2.", "0-Go\r\n", "more"} {
			f.pieces <- p
		}
	}()
	expect(t, <-l.conns, "SSH-2.0-Go\r\nmore")
}

func TestLineNextClientTakesOver(t *testing.T) {
	f, l := startLine(t)
	go func() {
		f.pieces <- "SSH-2.0-one"
		f.pieces <- "data"
		f.pieces <- "rubbishSSH-2.0-two"
	}()
	one := <-l.conns
	expect(t, one, "SSH-2.0-onedata")
	two := <-l.conns
	expectEnd(t, one)
	expect(t, two, "SSH-2.0-two")
	if _, err := two.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if f.written.String() != "hello" {
		t.Errorf("written: %q", f.written.String())
	}
}

func TestLineHostLeaves(t *testing.T) {
	f, l := startLine(t)
	go func() {
		f.pieces <- "SSH-2.0-one"
		f.pieces <- "data"
		f.pieces <- ""
		f.pieces <- "encrypted data of nobody"
		f.pieces <- "SSH-2.0-two"
	}()
	one := <-l.conns
	expect(t, one, "SSH-2.0-onedata")
	expectEnd(t, one)
	expect(t, <-l.conns, "SSH-2.0-two")
}

// The news that the last host left comes after the next one's banner.
func TestLineLateNews(t *testing.T) {
	f, l := startLine(t)
	go func() { f.pieces <- "SSH-2.0-one" }()
	one := <-l.conns
	expect(t, one, "SSH-2.0-one")
	f.leave()
	f.pieces <- ""
	written := make(chan error)
	go func() {
		_, err := one.Write([]byte("hello"))
		written <- err
	}()
	f.connect()
	if err := <-written; err != nil {
		t.Fatalf("write through late news: %v", err)
	}
	f.pieces <- "data"
	expect(t, one, "data")
}

func TestLineServerCloses(t *testing.T) {
	f, l := startLine(t)
	go func() { f.pieces <- "SSH-2.0-one" }()
	one := <-l.conns
	if err := one.Close(); err != nil {
		t.Fatal(err)
	}
	f.pieces <- "data for nobody SSH-"
	go func() { f.pieces <- "2.0-two" }()
	expect(t, <-l.conns, "SSH-2.0-two")
}

func FuzzPartial(f *testing.F) {
	f.Add([]byte("rubbish SSH-2."))
	f.Add([]byte("SSSSH-2.0"))
	f.Add([]byte(""))
	f.Fuzz(func(t *testing.T, data []byte) {
		n := partial(data)
		if n >= len(banner) || !strings.HasSuffix(string(data), string(banner[:n])) {
			t.Fatalf("%d bytes of %q", n, data)
		}
		for longer := n + 1; longer < len(banner); longer++ {
			if strings.HasSuffix(string(data), string(banner[:longer])) {
				t.Fatalf("%d bytes of %q, but %d would do", n, data, longer)
			}
		}
	})
}
