package vm

import (
	"bytes"
	"strings"
	"sync"
)

// tail watches a console: it keeps the last lines, remembers the one with which
// the kernel announced its end, and tells when a line was seen. It may be used
// concurrently.
type tail struct {
	mu      sync.Mutex
	lines   []string
	partial []byte
	died    string
	spoke   chan struct{}
	heard   bool
	watches []watch
}

type watch struct {
	text  string
	found chan struct{}
}

// The bounds of what is kept. What is printed beyond is in console.log.
const (
	tailLines = 100
	lineBytes = 1024
)

func newTail() *tail { return &tail{spoke: make(chan struct{})} }

// deaths are what a kernel prints when it will not go on. With oops=panic every
// oops ends in the first of them; the others come earlier and say more.
var deaths = []string{
	"Kernel panic - not syncing",
	"Oops: ",
	"BUG: kernel NULL pointer dereference",
	"BUG: unable to handle",
	"kernel BUG at ",
	"general protection fault",
	"watchdog: BUG: soft lockup",
}

// Write takes a piece of the console. It never fails.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.heard && len(p) > 0 {
		t.heard = true
		close(t.spoke)
	}
	rest := p
	for {
		line, after, whole := bytes.Cut(rest, []byte("\n"))
		t.partial = append(t.partial, line[:min(len(line), lineBytes-min(len(t.partial), lineBytes))]...)
		if !whole {
			return len(p), nil
		}
		t.line(strings.TrimRight(string(t.partial), "\r"))
		t.partial = t.partial[:0]
		rest = after
	}
}

func (t *tail) line(s string) {
	if len(t.lines) == tailLines {
		t.lines = append(t.lines[:0], t.lines[1:]...)
	}
	t.lines = append(t.lines, s)
	if t.died == "" {
		for _, d := range deaths {
			if strings.Contains(s, d) {
				t.died = s
				break
			}
		}
	}
	left := t.watches[:0]
	for _, w := range t.watches {
		if strings.Contains(s, w.text) {
			close(w.found)
			continue
		}
		left = append(left, w)
	}
	t.watches = left
}

// end takes what was printed after the last newline for a line.
func (t *tail) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.partial) > 0 {
		t.line(string(t.partial))
		t.partial = nil
	}
}

// watch returns a channel that is closed once a line with text is or was seen,
// and one that is closed once anything was.
func (t *tail) watch(text string) (found, spoke <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	ch := make(chan struct{})
	for _, l := range t.lines {
		if strings.Contains(l, text) {
			close(ch)
			return ch, t.spoke
		}
	}
	t.watches = append(t.watches, watch{text, ch})
	return ch, t.spoke
}

func (t *tail) last() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := append([]string(nil), t.lines...)
	if len(t.partial) > 0 {
		out = append(out, string(t.partial))
	}
	return out
}

func (t *tail) death() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.died
}
