package vm

import (
	"bytes"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ctmatrix/ctmatrix/orchestrator/internal/splat"
)

// tail watches a console: it keeps the last lines, remembers what the kernel
// complained of, and tells when a line was seen. It may be used concurrently.
type tail struct {
	mu      sync.Mutex
	lines   []string
	partial []byte
	splats  splat.Scanner
	dead    bool          // died is closed
	died    chan struct{} // closed with the first line after which the kernel does not go on
	heard   time.Time     // of the last output; zero before any
	spoke   chan struct{} // closed with the first output
	watches []*watch
}

type watch struct {
	text  string
	found chan struct{}
}

// The bounds of what is kept. What is printed beyond is in the console's file.
const (
	tailLines = 100
	lineBytes = 1024
)

func newTail() *tail { return &tail{died: make(chan struct{}), spoke: make(chan struct{})} }

// Write takes a piece of the console. It never fails.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(p) > 0 {
		if t.heard.IsZero() {
			close(t.spoke)
		}
		t.heard = time.Now()
	}
	rest := p
	for {
		line, after, whole := bytes.Cut(rest, []byte("\n"))
		t.partial = append(t.partial, line[:min(len(line), lineBytes-len(t.partial))]...)
		if !whole {
			return len(p), nil
		}
		t.flush()
		rest = after
	}
}

// flush takes what was printed since the last newline for a line.
func (t *tail) flush() {
	s := strings.TrimRight(string(t.partial), "\r")
	t.partial = t.partial[:0]
	if len(t.lines) == tailLines {
		t.lines = append(t.lines[:0], t.lines[1:]...)
	}
	t.lines = append(t.lines, s)
	if found := t.splats.Line(s); found != nil && found.End.Fatal() && !t.dead {
		t.dead = true
		close(t.died)
	}
	t.watches = slices.DeleteFunc(t.watches, func(w *watch) bool {
		if !strings.Contains(s, w.text) {
			return false
		}
		close(w.found)
		return true
	})
}

// end takes what was printed after the last newline for a line.
func (t *tail) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.partial) > 0 {
		t.flush()
	}
}

// watch returns a channel that is closed once a line with text is seen or is
// among those kept. Forget must be called when nobody waits for it any more.
func (t *tail) watch(text string) (found <-chan struct{}, forget func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	w := &watch{text, make(chan struct{})}
	if slices.ContainsFunc(t.lines, func(l string) bool { return strings.Contains(l, text) }) {
		close(w.found)
		return w.found, func() {}
	}
	t.watches = append(t.watches, w)
	return w.found, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.watches = slices.DeleteFunc(t.watches, func(x *watch) bool { return x == w })
	}
}

// quiet is for how long nothing was printed, given since when somebody listens,
// and whether anything ever was.
func (t *tail) quiet(since time.Time) (idle time.Duration, spoke bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.heard.After(since) {
		since = t.heard
	}
	return time.Since(since), !t.heard.IsZero()
}

func (t *tail) last() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := slices.Clone(t.lines)
	if len(t.partial) > 0 {
		out = append(out, string(t.partial))
	}
	return out
}

// fate returns the first splat after which the kernel did not go on, or nil.
func (t *tail) fate() *splat.Splat {
	for _, s := range t.complaints() {
		if s.End.Fatal() {
			return &s
		}
	}
	return nil
}

func (t *tail) complaints() []splat.Splat {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.splats.Splats()
}
