package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/images/kernel"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/matrix"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
)

// bars shows what goes on: as bars on a terminal, as plain lines elsewhere. All
// that is written to standard error meanwhile goes through it. It may be used
// concurrently.
type bars struct {
	out      io.Writer
	progress *mpb.Progress // nil: plain lines
	mu       sync.Mutex
	total    total
	cells    map[int]*cellLine // those that run
	sum      *mpb.Bar          // shows total; nil before there is any
	closed   bool
	probes   int     // of each cell; 0 where not told
	events   *events // told the same; nil where nobody wants it
	heart    *heart  // tells plain output of the whole; nil before a cell runs
}

// cellLine is the line of one cell on a terminal.
type cellLine struct {
	bar *mpb.Bar
	mu  sync.Mutex
	now string
}

func (l *cellLine) set(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now = observe.Escape(text)
}

func (l *cellLine) get() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.now
}

func (a *app) bars() *bars {
	b := &bars{out: a.stderr, cells: map[int]*cellLine{}, events: a.events}
	if isTerminal(a.stderr) && !unattended(os.Getenv) && !b.mute() {
		b.progress = mpb.New(mpb.WithOutput(a.stderr), mpb.WithWidth(24))
	}
	a.live = b
	return b
}

// unattended reports whether output goes to the log of some automation, which
// may have a terminal for it: nobody watches bars there. Those that there are
// set CI.
func unattended(env func(string) string) bool {
	ci := strings.ToLower(env("CI"))
	return ci != "" && ci != "false" && ci != "0"
}

// mute reports whether standard error is the events' alone.
func (b *bars) mute() bool { return b.events != nil && b.events.alone }

// line writes a line, above the bars where there are any, with nothing in it that
// a terminal acts on.
func (b *bars) line(text string) {
	b.events.message(text)
	if !b.mute() {
		b.write(text)
	}
}

// write is line that is told to nobody else.
func (b *bars) write(text string) {
	text = observe.Escape(text)
	b.mu.Lock()
	defer b.mu.Unlock()
	// A standard error that is gone leaves nowhere to complain.
	if b.progress != nil && !b.closed {
		_, _ = fmt.Fprintf(b.progress, "ctmatrix: %s\n", text)
		return
	}
	_, _ = fmt.Fprintf(b.out, "ctmatrix: %s\n", text)
}

// print writes a line of a command's output, where there are bars on the same
// terminal above them.
func (b *bars) print(w io.Writer, text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.progress != nil && !b.closed && isTerminal(w) {
		w = b.progress
	}
	_, _ = fmt.Fprintln(w, text) // as in line
}

// Close takes the bars off the screen. Later calls do nothing.
func (b *bars) Close() {
	b.mu.Lock()
	was := b.closed
	b.closed = true
	heart := b.heart
	b.mu.Unlock()
	if heart != nil && !was {
		heart.stop()
	}
	if was || b.progress == nil {
		return
	}
	for _, line := range b.cells {
		line.bar.Abort(true)
	}
	if b.sum != nil {
		b.sum.Abort(true)
	}
	b.progress.Wait()
}

// Start implements kernel.Progress.
func (b *bars) Start(name string, total int64) kernel.Task {
	b.events.download(eventDownload, name, total, nil)
	if b.progress == nil {
		return &download{bars: b, name: name}
	}
	bar := b.progress.AddBar(total,
		mpb.BarRemoveOnComplete(),
		mpb.PrependDecorators(decor.Name(observe.Escape(name), decor.WCSyncSpaceR)),
		mpb.AppendDecorators(decor.CountersKibiByte("% .1f / % .1f")))
	return &download{bars: b, name: name, bar: bar}
}

// download is one kernel.Task.
type download struct {
	bars *bars
	name string
	bar  *mpb.Bar
	mu   sync.Mutex
	got  int64
}

func (d *download) Add(n int64) {
	if d.bar != nil {
		d.bar.IncrInt64(n)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.got += n
}

func (d *download) Done(err error) {
	d.mu.Lock()
	got := d.got
	d.mu.Unlock()
	d.bars.events.download(eventDownloaded, d.name, got, err)
	switch {
	case d.bar != nil:
		d.bar.Abort(true)
	case err == nil && got > 0 && !d.bars.mute() && !d.bars.runs():
		d.bars.write(fmt.Sprintf("fetched %s (%.1f MiB)", d.name, float64(got)/(1<<20)))
	}
}

// runs reports whether cells are told of: then their kernels' packages are not.
func (b *bars) runs() bool {
	b.total.mu.Lock()
	defer b.total.mu.Unlock()
	return b.total.cells > 0
}

// State implements sched.Progress. On a terminal only cells that run have a line,
// and what went wrong with others stays above. Elsewhere each cell that ran has
// one line, when it has ended.
func (b *bars) State(i int, cell results.Cell, state string) {
	now := time.Now()
	ended := b.total.state(i, cell, state)
	b.events.state(i, cell, state, ended)
	switch {
	case b.mute():
		return
	case b.progress != nil:
		b.show(i, nameOf(cell), state, ended)
	case !ended:
		b.beat()
	}
	wrong := ended && state != string(results.CellOK) && state != "kept"
	if wrong || b.progress == nil && ended && cell.Booted() && state != "kept" {
		text := fmt.Sprintf("%-10s %s", nameOf(cell), state)
		if cell.Reason != "" {
			text += ": " + observe.Bounded(cell.Reason)
		}
		b.write(text)
	}
	if b.progress == nil && ended && b.total.due(now) {
		b.write(b.total.text(now))
	}
}

// Left is told how long the run will go on.
func (b *bars) Left(d time.Duration) {
	b.total.left(d, time.Now())
	b.events.left(d)
}

// Ended is a sched.Scheduler's: a cell that runs says how far it has come.
func (b *bars) Ended(i int, cell results.Cell, p results.Probe) {
	b.events.probe(i, cell, p)
	b.mu.Lock()
	defer b.mu.Unlock()
	if line := b.cells[i]; line != nil && !b.closed && b.probes > 0 {
		line.set(fmt.Sprintf("%-10s runs · %d/%d probes", nameOf(cell), len(cell.Probes), b.probes))
	}
}

// nameOf names a cell as the table does.
func nameOf(cell results.Cell) string {
	name := cell.Kernel.Label
	if cell.Variant != matrix.DefaultVariant {
		name += "+" + cell.Variant
	}
	if cell.Repeat > 0 {
		name += fmt.Sprintf(" run %d", cell.Repeat)
	}
	return name
}

// show has a line for a cell while it runs, and one for all of them below.
func (b *bars) show(i int, name, state string, ended bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return
	}
	if b.sum == nil {
		b.sum = b.text(lastBar, func() string { return b.total.text(time.Now()) })
	}
	line := b.cells[i]
	switch {
	case (ended || state == "fetched") && line != nil:
		line.bar.Abort(true)
		delete(b.cells, i)
	case ended || state == "waits" || state == "fetched" || state == "ends" && line == nil:
	default:
		if line == nil {
			line = &cellLine{}
			line.bar = b.text(0, line.get)
			b.cells[i] = line
		}
		line.set(fmt.Sprintf("%-10s %s", name, state))
	}
}

// lastBar is below all others.
const lastBar = 1 << 20

// text adds a line that shows what get returns. The screen waits for it: it must
// not take the lock of the bars, which is held by those who wait for the screen.
func (b *bars) text(priority int, get func() string) *mpb.Bar {
	return b.progress.New(1, mpb.NopStyle(), mpb.BarPriority(priority),
		mpb.PrependDecorators(decor.Any(func(decor.Statistics) string { return get() })))
}
