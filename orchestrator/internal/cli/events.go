package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/render"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
)

// eventSchema is the version of what --json-events writes. Within a version,
// events and members are added and never change their meaning.
const eventSchema = 1

// The events of a run, by name. Each is a JSON object on a line of its own; `at`
// is in UTC and `elapsed_s` since the first.
const (
	eventPlanned    = "planned"    // once: the run directory, its cells and how many probes
	eventDownload   = "download"   // a package or an index begins to come
	eventDownloaded = "downloaded" // and has come, or an error
	eventState      = "state"      // a cell goes on, in the words of sched.Progress: waits, fetches, fetched, boots, runs, ends
	eventProbe      = "probe"      // a probe has ended in a guest; not told of those from the cache
	eventCell       = "cell"       // a cell has ended, or had before the run was gone on with
	eventLeft       = "left"       // how long the run is guessed to go on
	eventMessage    = "message"    // a warning, or what --verbose says
	eventRun        = "run"        // last: all is told, with the exit status
)

// eventHead begins every event.
type eventHead struct {
	Event   string    `json:"event"`
	At      time.Time `json:"at"`
	Elapsed float64   `json:"elapsed_s"`
}

// eventOf names a cell: by its number in the plan, and as the table does.
type eventOf struct {
	Cell    int    `json:"cell"`
	Kernel  string `json:"kernel"` // label
	Version string `json:"version"`
	Variant string `json:"variant"`
	Repeat  int    `json:"repeat,omitempty"`
}

func ofCell(i int, c results.Cell) eventOf {
	return eventOf{i, c.Kernel.Label, c.Kernel.VersionName(), c.Variant, c.Repeat}
}

type plannedEvent struct {
	eventHead
	Schema int       `json:"schema"`
	Dir    string    `json:"dir"`
	Jobs   int       `json:"jobs"`
	Probes int       `json:"probes"`
	Cells  []eventOf `json:"cells"`
}

type downloadEvent struct {
	eventHead
	File  string `json:"file"`
	Bytes int64  `json:"bytes"` // that are to come, 0 where not known; then those that came
	Error string `json:"error,omitempty"`
}

type stateEvent struct {
	eventHead
	eventOf
	State string `json:"state"`
}

type probeEvent struct {
	eventHead
	eventOf
	Probe   string          `json:"probe"`
	Outcome observe.Outcome `json:"outcome"`
	Reason  string          `json:"reason,omitempty"`
	Rows    int             `json:"rows"`
}

type cellEvent struct {
	eventHead
	eventOf
	Outcome results.CellOutcome     `json:"outcome"`
	Reason  string                  `json:"reason,omitempty"`
	Probes  map[observe.Outcome]int `json:"probes"` // how many ended how
	Cached  int                     `json:"cached"` // probes from the cache
	Booted  bool                    `json:"booted"` // whether a guest was started
	Kept    bool                    `json:"kept,omitempty"`
}

type leftEvent struct {
	eventHead
	Seconds float64 `json:"seconds"` // 0 where nobody knows
}

type messageEvent struct {
	eventHead
	Text string `json:"text"`
}

type runEvent struct {
	eventHead
	Status int    `json:"status"` // the exit status
	Error  string `json:"error,omitempty"`
}

// events writes what goes on for a program. What is slow to read it holds up
// nobody: events wait in memory. All methods may be called concurrently, and of a
// nil *events they do nothing.
type events struct {
	out   io.Writer
	alone bool // they are all that is written to standard error
	now   func() time.Time
	began time.Time

	mu     sync.Mutex
	more   *sync.Cond
	queue  [][]byte
	closed bool
	done   chan error
}

// newEvents begins to write. It must be closed.
func newEvents(out io.Writer, now func() time.Time) *events {
	e := &events{out: out, now: now, began: now(), done: make(chan error, 1)}
	e.more = sync.NewCond(&e.mu)
	go func() { e.done <- e.write() }()
	return e
}

// write takes events from the queue until all are out. After an error the rest is
// dropped.
func (e *events) write() error {
	var failed error
	for {
		e.mu.Lock()
		for len(e.queue) == 0 && !e.closed {
			e.more.Wait()
		}
		lines := e.queue
		e.queue = nil
		e.mu.Unlock()
		if len(lines) == 0 {
			return failed
		}
		for _, l := range lines {
			if failed == nil {
				_, failed = e.out.Write(l)
			}
		}
	}
}

// tell queues an event, which make gives its head. The order of events is that of
// their times.
func (e *events) tell(name string, make func(eventHead) any) {
	if e == nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.now()
	line, err := json.Marshal(make(eventHead{name, now.UTC().Truncate(time.Millisecond), now.Sub(e.began).Round(time.Millisecond).Seconds()}))
	if err != nil {
		panic(err) // strings, numbers and lists of them can be encoded
	}
	e.queue = append(e.queue, append(render.Harmless(line), '\n'))
	e.more.Signal()
}

// Close waits until all is written.
func (e *events) Close() error {
	e.mu.Lock()
	e.closed = true
	e.more.Signal()
	e.mu.Unlock()
	if err := <-e.done; err != nil {
		return fmt.Errorf("write events: %w", err)
	}
	return nil
}

func (e *events) planned(dir string, jobs, probes int, cells []results.Planned) {
	e.tell(eventPlanned, func(h eventHead) any {
		p := plannedEvent{h, eventSchema, dir, jobs, probes, []eventOf{}}
		for i, c := range cells {
			p.Cells = append(p.Cells, eventOf{i, c.Kernel.Label, c.Kernel.VersionName(), c.Variant, c.Repeat})
		}
		return p
	})
}

func (e *events) download(name, file string, bytes int64, err error) {
	e.tell(name, func(h eventHead) any {
		d := downloadEvent{eventHead: h, File: file, Bytes: bytes}
		if err != nil {
			d.Error = err.Error()
		}
		return d
	})
}

// state tells of a state, which ends the cell or not.
func (e *events) state(i int, c results.Cell, state string, ended bool) {
	if !ended {
		e.tell(eventState, func(h eventHead) any { return stateEvent{h, ofCell(i, c), state} })
		return
	}
	e.tell(eventCell, func(h eventHead) any {
		out := cellEvent{
			eventHead: h, eventOf: ofCell(i, c), Outcome: c.Outcome, Reason: c.Reason, Probes: map[observe.Outcome]int{},
			Cached: len(c.FromCache()), Booted: c.Booted(), Kept: state == "kept",
		}
		for _, p := range c.Probes {
			out.Probes[p.Outcome]++
		}
		return out
	})
}

// probe is a sched.Scheduler's Ended.
func (e *events) probe(i int, c results.Cell, p results.Probe) {
	e.tell(eventProbe, func(h eventHead) any {
		return probeEvent{h, ofCell(i, c), p.Name, p.Outcome, p.Reason, p.Rows}
	})
}

func (e *events) left(d time.Duration) {
	e.tell(eventLeft, func(h eventHead) any { return leftEvent{h, d.Round(time.Second).Seconds()} })
}

func (e *events) message(text string) {
	e.tell(eventMessage, func(h eventHead) any { return messageEvent{h, text} })
}

// run tells how the command ends.
func (e *events) run(err error) {
	e.tell(eventRun, func(h eventHead) any {
		out := runEvent{eventHead: h, Status: exitStatus(err)}
		if err != nil && !errors.As(err, &exit{}) {
			out.Error = err.Error()
		}
		return out
	})
}

// eventsFlag is that of commands that run the matrix.
func (a *app) eventsFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&a.eventsTo, "json-events", "",
		"also write what goes on as JSON, an object a line, to a file; to standard error if -, and nothing else there")
}

// witnessed does what events are to be written of, if they are, and tells how it
// ended.
func (a *app) witnessed(do func() error) (err error) {
	if a.eventsTo == "" {
		return do()
	}
	out := a.stderr
	if a.eventsTo != "-" {
		f, err := os.Create(a.eventsTo)
		if err != nil {
			return usage{fmt.Errorf("--json-events: %w", err)}
		}
		defer f.Close() // all was written, or an error said so
		out = f
	}
	a.events = newEvents(out, time.Now)
	a.events.alone = a.eventsTo == "-"
	a.live.events = a.events
	err = do()
	a.events.run(err)
	if lost := a.events.Close(); lost != nil {
		return errors.Join(err, lost)
	}
	if a.events.alone && err != nil {
		return exit{exitStatus(err)} // the words are in the last event
	}
	return err
}
