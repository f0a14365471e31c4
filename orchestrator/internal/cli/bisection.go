package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/images/kernel"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/bisect"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/render"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/sched"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/table"
)

// changelogs has the changelogs of packages. A kernel.Catalog is one.
type changelogs interface {
	Changelog(ctx context.Context, c kernel.Candidate) ([]byte, error)
}

// bisection is a search that asks real kernels. It keeps what they answer in a
// run directory, which grows with it.
type bisection struct {
	app        *app
	bars       *bars
	json       bool // in place of text: no steps on standard output
	changelogs changelogs
	scheduler  *sched.Scheduler
	out        *results.Writer
	cells      []sched.Cell // parallel to the search's kernels
	head       observe.Head // of the row's probe
	report     *bisect.Report
}

// carryOut searches, and writes what comes of it. Its error is the exit status.
func (b *bisection) carryOut(ctx context.Context, started time.Time) error {
	if err := b.say(func(w io.Writer) error { return render.BisectHead(w, b.report, b.app.layout()) }); err != nil {
		return err
	}
	if err := b.search(ctx); err != nil {
		return err
	}
	b.excerpts(ctx)
	b.bars.Close()
	if b.report.Cut {
		b.app.warn("interrupted: what had been found by then is kept")
	} else if err := b.out.Finish(time.Now()); err != nil {
		return err
	}
	summary := render.Summary{Elapsed: time.Since(started), Dir: b.out.Dir()}
	var err error
	if b.json {
		err = render.BisectJSON(b.app.stdout, b.report, summary)
	} else {
		err = render.BisectText(b.app.stdout, b.report, summary, b.app.layout())
	}
	if err != nil {
		return err
	}
	return statusOf(bisectStatus(b.report.Outcome()))
}

// search asks kernels until the search has ended, or ctx has.
func (b *bisection) search(ctx context.Context) error {
	for next := b.report.Search.Next(); len(next) > 0; next = b.report.Search.Next() {
		r := &round{bisection: b, kernels: next, ended: make([]bool, len(next)), first: len(b.report.Search.Asked())}
		if err := r.ask(ctx); err != nil {
			return err
		}
		if ctx.Err() != nil {
			b.report.Cut = true
			return nil
		}
	}
	return nil
}

// round is kernels that are asked at the same time.
type round struct {
	*bisection
	kernels []int
	first   int // how many were asked before
	out     *results.Writer
	stop    context.CancelCauseFunc
	stopped func() bool // the round was cut short

	mu    sync.Mutex
	ended []bool
	told  int // how many of them have answered the search, in order
	err   error
}

func (r *round) ask(ctx context.Context) error {
	ctx, r.stop = context.WithCancelCause(ctx)
	defer r.stop(nil)
	r.stopped = func() bool { return ctx.Err() != nil }
	var cells []sched.Cell
	var planned []results.Planned
	for _, i := range r.kernels {
		cells = append(cells, r.cells[i])
		cell := sched.Planned(r.cells[i])
		planned = append(planned, results.Planned{Kernel: cell.Kernel, Variant: cell.Variant})
	}
	var err error
	if r.out, err = r.bisection.out.Extend(planned); err != nil {
		return err
	}
	r.scheduler.Out, r.scheduler.Progress = r.out, r
	if err := r.scheduler.Run(ctx, cells); err != nil {
		return err
	}
	return r.err
}

// State implements sched.Progress. Answers go to the search as they come, but in
// the order of the kernels, so that the same bisection prints the same steps.
func (r *round) State(i int, cell results.Cell, state string) {
	r.bars.State(r.first+i, cell, state)
	if state != string(cell.Outcome) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended[i] = true
	for r.told < len(r.ended) && r.ended[r.told] && r.err == nil {
		if r.err = r.tell(r.told); r.err != nil {
			r.stop(r.err)
		}
		r.told++
	}
}

// tell gives the search the answer of the i-th kernel of the round, and says it.
func (r *round) tell(i int) error {
	run, err := results.Find("", r.out.CellDir(i))
	if err != nil {
		return err
	}
	cell := run.Cells[0]
	if cell.Outcome == results.CellMissing && r.stopped() {
		return nil // it was not asked
	}
	v := valueIn(cell, r.report.Row, r.head.Name)
	if v.Status == table.Absent && !r.known() {
		return unknownRow(cell, r.report.Row, r.head.Name)
	}
	search := r.report.Search
	search.Answer(r.kernels[i], v)
	n := len(search.Asked())
	return r.say(func(w io.Writer) error { return render.BisectStep(w, r.report, n, r.app.layout()) })
}

// known reports whether a kernel has recorded the row.
func (r *round) known() bool {
	search := r.report.Search
	return slices.ContainsFunc(search.Asked(), func(i int) bool { return search.Value(i).Status == table.Recorded })
}

// valueIn is what a cell has for a row, or for a probe as a whole.
func valueIn(cell results.CellRows, row, probe string) table.Value {
	t := table.New([]results.CellRows{cell}, nil)
	v := table.Value{Status: table.Missing, Text: cell.Reason}
	for _, p := range t.Probes {
		if p.Name == probe {
			v = p.Outcomes[0]
		}
	}
	if v.Status == table.Missing && cell.Reason != "" {
		v.Text = cell.Reason
	}
	if row == probe || v.Status != table.Recorded {
		return v
	}
	for _, r := range t.Rows {
		if r.Name == row {
			return r.Values[0]
		}
	}
	return table.Value{Status: table.Absent, Text: "recorded without the row"}
}

// unknownRow says which rows a probe has instead.
func unknownRow(cell results.CellRows, row, probe string) error {
	var names []string
	for _, r := range cell.Rows {
		if r.Probe() == probe {
			names = append(names, r.Name)
		}
	}
	return usage{fmt.Errorf("--row %s: %s does not record it; nearest: %s", row, probe, strings.Join(bisect.Nearest(row, names), ", "))}
}

// excerpts reads the changelogs of the packages behind boundaries. One that is
// missing is told, and fails nothing.
func (b *bisection) excerpts(ctx context.Context) {
	topics := bisect.Topics(b.report.Row, b.head)
	for _, boundary := range b.report.Search.Boundaries() {
		var x bisect.Excerpt
		if boundary.Inside && len(boundary.Unasked) == 0 {
			text, err := b.changelogs.Changelog(ctx, b.cells[boundary.Newer].Kernel)
			switch {
			case errors.Is(err, context.Canceled):
				x.Missing = "interrupted"
			case err != nil:
				x.Missing = err.Error()
			default:
				x = bisect.Changes(text, b.cells[boundary.Older].Kernel.Version, topics)
			}
		}
		b.report.Excerpts = append(b.report.Excerpts, x)
	}
}

// say writes text to standard output as it comes about, above the bars where these
// are on the same terminal.
func (b *bisection) say(write func(io.Writer) error) error {
	if b.json {
		return nil
	}
	var buf bytes.Buffer
	if err := write(&buf); err != nil {
		return err
	}
	b.bars.mu.Lock()
	defer b.bars.mu.Unlock()
	w := b.app.stdout
	if b.bars.progress != nil && !b.bars.closed && isTerminal(w) {
		w = b.bars.progress
	}
	_, err := w.Write(buf.Bytes())
	return err
}
