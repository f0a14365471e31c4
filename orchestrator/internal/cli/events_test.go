package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
)

// ticking is a clock that goes on by half a second whenever it is asked.
func ticking() func() time.Time {
	at := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	return func() time.Time {
		at = at.Add(500 * time.Millisecond)
		return at
	}
}

// story is all that can happen in a run, told to bars.
func story(b *bars) {
	cell := func(label string) results.Cell {
		return results.Cell{Kernel: results.Kernel{Label: label, Version: label + "-1"}, Variant: "default"}
	}
	a, k, c := cell("6.1.192"), cell("6.12.118"), cell("7.3.4")
	c.Variant, c.Repeat = "smp", 2
	var planned []results.Planned
	for _, x := range []results.Cell{a, k, c} {
		planned = append(planned, results.Planned{Kernel: x.Kernel, Variant: x.Variant, Repeat: x.Repeat})
	}
	b.events.planned("runs/x", 2, 3, planned)
	for i, x := range []results.Cell{a, k} {
		b.State(i, x, "waits")
	}
	c.Outcome = results.CellOK
	b.State(2, c, "kept")
	b.Left(90 * time.Second)
	b.State(0, a, "fetches")
	task := b.Start("linux-image-6.1.192", 3<<20)
	task.Add(1 << 20)
	task.Add(2 << 20)
	task.Done(nil)
	b.State(0, a, "fetched")
	b.Start("linux-image-6.12.118", 0).Done(errors.New("the mirror answers 503"))
	for _, state := range []string{"boots", "runs"} {
		b.State(0, a, state)
	}
	b.Ended(0, a, results.Probe{Name: "loose/on", Outcome: observe.Recorded, Rows: 11})
	b.Ended(0, a, results.Probe{Name: "loose/off", Outcome: observe.Unsupported, Reason: "no \x1b[31mmodule"})
	b.State(0, a, "ends")
	a.Outcome, a.Steps = results.CellOK, []results.Step{{Name: "boot"}}
	a.Probes = []results.Probe{{Outcome: observe.Recorded}, {Outcome: observe.Recorded}, {Outcome: observe.Unsupported}}
	a.Cached = []results.Origin{{Probes: []string{"a/b"}}}
	b.State(0, a, "ok")
	b.line("warning: something")
	k.Outcome, k.Reason = results.CellFailed, "the mirror answers 503"
	b.State(1, k, "failed")
	b.Left(0)
}

// Names and members of events are a contract: see eventSchema.
func TestEvents(t *testing.T) {
	for name, alone := range map[string]bool{"beside plain output": false, "alone": true} {
		var out, plain bytes.Buffer
		e := newEvents(&out, ticking())
		e.alone = alone
		a := &app{stderr: &plain, events: e}
		b := a.bars()
		story(b)
		b.Close()
		e.run(errors.Join(exit{ExitChanged}))
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		golden := filepath.Join("testdata", "events.jsonl")
		if *update {
			if err := os.WriteFile(golden, out.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(string(want), out.String()); d != "" {
			t.Errorf("%s (-want +got)\n%s", name, d)
		}
		lines := "ctmatrix: 6.1.192    ok\nctmatrix: warning: something\nctmatrix: 6.12.118   failed: the mirror answers 503\n"
		if alone {
			lines = ""
		}
		if d := cmp.Diff(lines, plain.String()); d != "" {
			t.Errorf("%s: plain output (-want +got)\n%s", name, d)
		}
		for line := range strings.Lines(out.String()) {
			if !json.Valid([]byte(line)) || strings.Contains(line, "\x1b") {
				t.Errorf("%q", line)
			}
		}
	}
}

// Without events nothing is told, and nobody need ask whether they are wanted.
func TestNoEvents(t *testing.T) {
	a := &app{stderr: io.Discard}
	b := a.bars()
	story(b)
	b.Close()
	if a.events != nil {
		t.Error("events from nowhere")
	}
}

// stuck is a reader that takes nothing for a while.
type stuck struct {
	free chan struct{}
	bytes.Buffer
}

func (s *stuck) Write(p []byte) (int, error) {
	<-s.free
	return s.Buffer.Write(p)
}

// Who reads events slowly holds up nobody, and misses none.
func TestEventsWait(t *testing.T) {
	out := &stuck{free: make(chan struct{})}
	e := newEvents(out, time.Now)
	var all sync.WaitGroup
	const workers, each = 8, 200
	for range workers {
		all.Go(func() {
			for range each {
				e.message("on")
			}
		})
	}
	all.Wait() // though nothing is out yet
	close(out.free)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(out.String(), "\n"); n != workers*each {
		t.Errorf("%d events of %d", n, workers*each)
	}
}

// broken is a file on a disk that is full.
type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("no space left") }

func TestEventsThatCannotBeWritten(t *testing.T) {
	e := newEvents(broken{}, time.Now)
	for range 100 {
		e.message("on")
	}
	if err := e.Close(); err == nil || err.Error() != "write events: no space left" {
		t.Errorf("closed with %v", err)
	}
}

// A long run without a terminal says now and then that it goes on, and each cell
// has one line.
func TestPlainProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out lines
		a := &app{stderr: &out}
		b := a.bars()
		slow := results.Cell{Kernel: results.Kernel{Label: "6.1.192"}, Variant: "default", Outcome: results.CellOK, Steps: booted.Steps}
		for _, state := range []string{"waits", "fetches", "fetched", "boots", "runs"} {
			b.State(0, slow, state)
		}
		b.Left(2 * time.Minute)
		time.Sleep(95 * time.Second)
		b.State(0, slow, "ends")
		b.State(0, slow, "ok")
		time.Sleep(time.Hour) // the heart beats on until the bars are closed, and is silent
		b.Close()
		want := `ctmatrix: 0/1 cells · 1 run · about 1 min left
ctmatrix: 0/1 cells · 1 run · less than a minute left
ctmatrix: 6.1.192    ok
ctmatrix: 1/1 cells
`
		if d := cmp.Diff(want, out.String()); d != "" {
			t.Errorf("(-want +got)\n%s", d)
		}
	})
}

// lines is a buffer for several goroutines.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func TestUnattended(t *testing.T) {
	for value, want := range map[string]bool{"": false, "false": false, "FALSE": false, "0": false, "true": true, "1": true, "woodpecker": true} {
		if got := unattended(func(string) string { return value }); got != want {
			t.Errorf("CI=%s: %v", value, got)
		}
	}
}
