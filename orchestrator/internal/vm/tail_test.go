package vm

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ctmatrix/ctmatrix/orchestrator/internal/splat"
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

func TestTailDeath(t *testing.T) {
	for line, fatal := range map[string]bool{
		"[    1.5] Kernel panic - not syncing: Fatal exception in interrupt":         true,
		"[    1.5] Kernel panic - not syncing: Attempted to kill init! exitcode=0x2": true,
		"[    1.5][    T1] Oops: 0000 [#1] PREEMPT SMP":                              true,
		"[    1.5] BUG: scheduling while atomic: swapper/0/1/0x00000002":             false,
		"DEBUG: Oops: nothing": false,
	} {
		c := newTail()
		fmt.Fprintln(c, line)
		if closed(c.died) != fatal || (c.fate() != nil) != fatal {
			t.Errorf("%q: died is %v, want %v", line, closed(c.died), fatal)
		}
	}
}

func TestTailDiesOnce(t *testing.T) {
	c := newTail()
	fmt.Fprint(c, "[    1.5] Oops: 0000\n[    1.6] Kernel panic - not syncing: Fatal exception\n", strings.Repeat("Call Trace:\n", 3*splat.MostSplats))
	if got := c.fate(); got == nil || got.Line != "Oops: 0000" {
		t.Errorf("died of %v, want the first cause", got)
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
		if a, b := whole.complaints(), cut.complaints(); !reflect.DeepEqual(a, b) {
			t.Fatalf("splats in one piece %v, in two %v", a, b)
		}
		whole.end()
		if len(whole.lines) > tailLines {
			t.Fatalf("%d lines are kept", len(whole.lines))
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
