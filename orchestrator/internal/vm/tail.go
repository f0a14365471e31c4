package vm

import (
	"bytes"
	"slices"
	"strings"
	"sync"
	"time"
)

// tail watches a console: it keeps the last lines, remembers what the kernel
// complained of, and tells when a line was seen. It may be used concurrently.
type tail struct {
	mu      sync.Mutex
	lines   []string
	partial []byte
	alarms  []Alarm
	death   *Alarm        // the first fatal one
	died    chan struct{} // closed with it
	heard   time.Time     // of the last output; zero before any
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
	maxAlarms = 16
)

// An Alarm is a console line with which a kernel says that something is wrong
// with itself.
type Alarm struct {
	Line  string
	Fatal bool // it does not go on after this
	Image bool // what it was given as init is at fault, not the kernel
}

// alarms are the beginnings of such lines, after the time stamp. A line is what
// the first that it contains says.
var alarms = []struct {
	text         string
	fatal, image bool
}{
	{"Kernel panic - not syncing: Attempted to kill init", true, true},
	{"Kernel panic - not syncing: No working init found", true, true},
	{"Kernel panic - not syncing: Requested init ", true, true},
	{"Kernel panic - not syncing: VFS: Unable to mount root fs", true, true},
	{"Kernel panic - not syncing", true, false},
	// With oops=panic every oops ends in a panic; these come earlier and say more.
	{"Oops: ", true, false},
	{"BUG: kernel NULL pointer dereference", true, false},
	{"BUG: unable to handle", true, false},
	{"kernel BUG at ", true, false},
	{"general protection fault", true, false},
	{"watchdog: BUG: soft lockup", true, false},
	{"BUG: ", false, false}, // "scheduling while atomic" and the like
	{"WARNING: ", false, false},
	{"INFO: task ", false, false}, // hung
	{"rcu: INFO: ", false, false}, // stalls
	{"Call Trace:", false, false},
}

func newTail() *tail { return &tail{died: make(chan struct{})} }

// Write takes a piece of the console. It never fails.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(p) > 0 {
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
	t.judge(s)
	t.watches = slices.DeleteFunc(t.watches, func(w *watch) bool {
		if !strings.Contains(s, w.text) {
			return false
		}
		close(w.found)
		return true
	})
}

func (t *tail) judge(line string) {
	for _, known := range alarms {
		if !strings.Contains(line, known.text) {
			continue
		}
		a := Alarm{Line: line, Fatal: known.fatal, Image: known.image}
		if len(t.alarms) < maxAlarms {
			t.alarms = append(t.alarms, a)
		}
		if a.Fatal && t.death == nil {
			t.death = &a
			close(t.died)
		}
		return
	}
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

// fate returns the first fatal alarm, or nil.
func (t *tail) fate() *Alarm {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.death
}

func (t *tail) complaints() []Alarm {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.alarms)
}
