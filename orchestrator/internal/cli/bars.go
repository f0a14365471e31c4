package cli

import (
	"fmt"
	"io"
	"sync"

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
	cells    map[string]*cellLine // one for all repetitions of a cell
	closed   bool
}

// cellLine is the line of one cell on a terminal.
type cellLine struct {
	bar *mpb.Bar
	mu  sync.Mutex
	now string
}

func (a *app) bars() *bars {
	b := &bars{out: a.stderr, cells: map[string]*cellLine{}}
	if isTerminal(a.stderr) {
		b.progress = mpb.New(mpb.WithOutput(a.stderr), mpb.WithWidth(24))
	}
	a.live = b
	return b
}

// line writes a line, above the bars where there are any.
func (b *bars) line(text string) {
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
	defer b.mu.Unlock()
	if b.closed {
		return
	}
	b.closed = true
	if b.progress == nil {
		return
	}
	for _, line := range b.cells {
		line.bar.Abort(true)
	}
	b.progress.Wait()
}

// Start implements kernel.Progress.
func (b *bars) Start(name string, total int64) kernel.Task {
	if b.progress == nil {
		return &download{bars: b, name: name}
	}
	bar := b.progress.AddBar(total,
		mpb.BarRemoveOnComplete(),
		mpb.PrependDecorators(decor.Name(name, decor.WCSyncSpaceR)),
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
	if d.bar != nil {
		d.bar.Abort(true)
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err == nil && d.got > 0 {
		d.bars.line(fmt.Sprintf("fetched %s (%.1f MiB)", d.name, float64(d.got)/(1<<20)))
	}
}

// State implements sched.Progress.
func (b *bars) State(_ int, cell results.Cell, state string) {
	name := cell.Kernel.Label
	if cell.Variant != matrix.DefaultVariant {
		name += "+" + cell.Variant
	}
	key := name + " " + cell.Kernel.Version
	if cell.Repeat > 0 {
		name += fmt.Sprintf(" run %d", cell.Repeat)
	}
	text := fmt.Sprintf("%-10s %s", name, state)
	if cell.Reason != "" {
		text += ": " + observe.Bounded(cell.Reason)
	}
	if b.progress == nil {
		if state != "waits" {
			b.line(text)
		}
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if state == "waits" && cell.Repeat > 1 {
		return // the one before is under way
	}
	line := b.cells[key]
	if line == nil && !b.closed {
		line = &cellLine{}
		line.bar = b.progress.New(1, mpb.NopStyle(), mpb.PrependDecorators(decor.Any(func(decor.Statistics) string {
			line.mu.Lock()
			defer line.mu.Unlock()
			return line.now
		})))
		b.cells[key] = line
	}
	if line != nil {
		line.mu.Lock()
		line.now = text
		line.mu.Unlock()
	}
}
