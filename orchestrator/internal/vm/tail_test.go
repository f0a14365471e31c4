package vm

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestTailKeepsTheLastLines(t *testing.T) {
	c := newTail()
	var want []string
	for i := range 3 * tailLines {
		line := fmt.Sprintf("line %d", i)
		fmt.Fprintf(c, "%s\r\n", line)
		want = append(want, line)
	}
	fmt.Fprint(c, "no newline yet")
	want = append(want[2*tailLines:], "no newline yet")
	if got := c.last(); !slices.Equal(got, want) {
		t.Errorf("kept %q, want %q", got, want)
	}
}

func closed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

func TestTailWatch(t *testing.T) {
	c := newTail()
	fmt.Fprint(c, "before\nnow")
	before, _ := c.watch("before")
	later, forget := c.watch("later")
	never, forgetNever := c.watch("never")
	if !closed(before) {
		t.Error("a line that is kept is not seen")
	}
	fmt.Fprint(c, " or la")
	if closed(later) {
		t.Error("half a word is seen as a whole one")
	}
	fmt.Fprint(c, "ter")
	forgetNever()
	if closed(later) {
		t.Error("a line is seen before it ends")
	}
	c.end()
	if !closed(later) || closed(never) {
		t.Error("the last line is not seen when the console ends, or another is")
	}
	forget()
	if len(c.watches) != 0 {
		t.Errorf("%d watches are left", len(c.watches))
	}
}

func TestTailAlarms(t *testing.T) {
	for _, test := range []struct {
		line string
		want *Alarm // but for the line
	}{
		{"[    1.5] Kernel panic - not syncing: Fatal exception in interrupt", &Alarm{Fatal: true}},
		{"[    1.5] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000200", &Alarm{Fatal: true, Image: true}},
		{"[    1.5] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)", &Alarm{Fatal: true, Image: true}},
		{"[    1.5] BUG: kernel NULL pointer dereference, address: 0000000000000000", &Alarm{Fatal: true}},
		{"[    1.5] Oops: 0000 [#1] PREEMPT SMP", &Alarm{Fatal: true}},
		{"[    1.5] kernel BUG at lib/list_debug.c:26!", &Alarm{Fatal: true}},
		{"[    1.5] BUG: scheduling while atomic: swapper/0/1/0x00000002", &Alarm{}},
		{"[    1.5] WARNING: CPU: 0 PID: 1 at net/core/dev.c:100", &Alarm{}},
		{"[    1.5] nf_conntrack: nf_conntrack: table full, dropping packet", nil},
		{"DEBUG: nothing", &Alarm{}}, // a guest's own words may look like one; it is not fatal
	} {
		c := newTail()
		fmt.Fprintln(c, test.line)
		var want []Alarm
		if test.want != nil {
			test.want.Line = test.line
			want = append(want, *test.want)
		}
		if got := c.complaints(); !slices.Equal(got, want) {
			t.Errorf("%q raises %v, want %v", test.line, got, want)
		}
		fatal := test.want != nil && test.want.Fatal
		if closed(c.died) != fatal || (c.fate() != nil) != fatal {
			t.Errorf("%q: died is %v, want %v", test.line, closed(c.died), fatal)
		}
	}
}

func TestTailDiesOnce(t *testing.T) {
	c := newTail()
	fmt.Fprint(c, "Oops: 0000\nKernel panic - not syncing: Fatal exception\n", strings.Repeat("Call Trace:\n", 3*maxAlarms))
	if got := c.fate(); got == nil || got.Line != "Oops: 0000" {
		t.Errorf("died of %v, want the first cause", got)
	}
	if n := len(c.complaints()); n != maxAlarms {
		t.Errorf("%d alarms are kept, want %d", n, maxAlarms)
	}
}

func TestTailQuiet(t *testing.T) {
	c := newTail()
	hour := time.Now().Add(-time.Hour)
	if idle, spoke := c.quiet(hour); spoke || idle < time.Hour {
		t.Errorf("before any output: silent for %v, spoke %v", idle, spoke)
	}
	fmt.Fprint(c, ".")
	if idle, spoke := c.quiet(hour); !spoke || idle >= time.Hour {
		t.Errorf("after output: silent for %v, spoke %v", idle, spoke)
	}
}

// FuzzTail cuts a console in two pieces anywhere: what is kept must not depend
// on where, and must be bounded.
func FuzzTail(f *testing.F) {
	f.Add([]byte("one\r\ntwo\nthree"), 4)
	f.Add([]byte("Oops: \nKernel panic - not syncing: x\n"), 9)
	f.Add(bytes.Repeat([]byte("x"), 3*lineBytes), lineBytes)
	f.Add(bytes.Repeat([]byte("\n"), 2*tailLines), 1)
	f.Fuzz(func(t *testing.T, console []byte, at int) {
		at = max(0, min(at, len(console)))
		whole, cut := newTail(), newTail()
		whole.Write(console)
		cut.Write(console[:at])
		cut.Write(console[at:])
		if a, b := whole.last(), cut.last(); !slices.Equal(a, b) {
			t.Fatalf("in one piece %q, in two %q", a, b)
		}
		if a, b := whole.complaints(), cut.complaints(); !slices.Equal(a, b) {
			t.Fatalf("alarms in one piece %v, in two %v", a, b)
		}
		whole.end()
		if len(whole.lines) > tailLines || len(whole.alarms) > maxAlarms {
			t.Fatalf("%d lines and %d alarms are kept", len(whole.lines), len(whole.alarms))
		}
		for _, l := range whole.lines {
			if len(l) > lineBytes || strings.Contains(l, "\n") {
				t.Fatalf("a line of %d bytes is kept", len(l))
			}
		}
	})
}

func TestDrain(t *testing.T) {
	console := strings.Repeat("0123456789\n", 10)
	for _, test := range []struct {
		limit int64
		want  string
	}{
		{1000, console},
		{int64(len(console)) + 1, console},
		{15, console[:15] + "\n[cut here]\n"},
	} {
		var out bytes.Buffer
		c := newTail()
		if err := drain(strings.NewReader(console), c, &out, test.limit); err != nil {
			t.Fatal(err)
		}
		if out.String() != test.want || len(c.last()) != 10 {
			t.Errorf("limit %d: wrote %q and kept %d lines", test.limit, out.String(), len(c.last()))
		}
	}
	if err := drain(strings.NewReader(console), newTail(), nil, 1); err != nil {
		t.Errorf("nobody listens: %v", err)
	}
}

var errDisk = errors.New("disk full")

type badWriter struct{ calls int }

func (w *badWriter) Write([]byte) (int, error) { w.calls++; return 0, errDisk }

// A console that cannot be written must be read on, or the guest would wait.
func TestDrainReadsOn(t *testing.T) {
	c, w := newTail(), &badWriter{}
	r := strings.NewReader(strings.Repeat("line\n", 50000))
	if err := drain(r, c, w, 1<<20); !errors.Is(err, errDisk) {
		t.Errorf("error %v, want %v", err, errDisk)
	}
	if r.Len() != 0 || w.calls != 1 || len(c.last()) != tailLines {
		t.Errorf("%d bytes unread, %d writes, %d lines kept", r.Len(), w.calls, len(c.last()))
	}
}
