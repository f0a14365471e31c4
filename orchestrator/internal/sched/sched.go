// Package sched takes cells to results: it fetches kernels while others boot,
// boots guests as many at a time as it may, reads what their agents say, and
// writes it down as it arrives. A cell that fails leaves the others unharmed.
package sched

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-multierror"

	"github.com/ctmatrix/ctmatrix/images/kernel"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/matrix"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
)

// Cell is a kernel under a variant, before it runs.
type Cell struct {
	Kernel  kernel.Candidate `json:"kernel"`
	Variant matrix.Variant   `json:"variant"`
	Guest   matrix.Guest     `json:"guest"`            // the variant's machine
	Repeat  int              `json:"repeat,omitempty"` // which of several runs of the same, from 1; 0 where there is one

	// Before is what the cell had come to when its run was cut short; nil where
	// the run is a new one.
	Before *results.CellRows `json:"-"`
}

// task is a cell on its way through a run.
type task struct {
	Cell
	rank    int    // its place in the order of work
	away    bool   // its kernel must be downloaded
	turn    func() // called when it has a place among the jobs
	release func() // gives back the place in which it began
}

// Fetcher gets a kernel's files. A kernel.Catalog is one.
type Fetcher interface {
	Fetch(ctx context.Context, c kernel.Candidate) (*kernel.Kernel, error)
}

// Recorder keeps what cells come to. A results.Writer is one.
type Recorder = *results.Writer

// Progress is told of what goes on. It is called from several goroutines.
type Progress interface {
	// State says that the i-th cell now "waits", "fetches" its kernel or has
	// "fetched" it, "boots", "runs", "ends", when it has no guest any more, or
	// has ended in one of the words of results.CellOutcome, or had ended before
	// the run was gone on with: "kept".
	State(i int, cell results.Cell, state string)
}

// Scheduler runs cells. All fields must be set before Run, but for those that may
// be nil.
type Scheduler struct {
	Kernels  Fetcher
	Booter   Booter
	Out      Recorder
	Progress Progress
	Jobs     int      // guests at a time
	Agent    []byte   // the static agent
	Selected []string // names of the probes to run
	Shuffle  *uint64  // seed, nil for the suite's own order
	ImageDir string   // cache of image layers
	// Modules are those that the suite can need. It is asked when an image is made, and
	// may be nil: then there are none.
	Modules func() ([]string, error)
	// Held returns a kernel that is here, without having read its files: what is known
	// of its cell needs no more. It may be nil, and may return nil: then the kernel is
	// fetched.
	Held func(context.Context, kernel.Candidate) *kernel.Kernel
	// Whole is asked whether a kernel's files are what they were when it was stored,
	// before an image is made of them. It may be nil.
	Whole func(ctx context.Context, k *kernel.Kernel) error
	// FreshGuest gives each probe a guest of its own.
	FreshGuest bool
	// Capture has the packets of each probe written down. Its cells are neither
	// kept nor taken from Cells: their guests did more than was asked.
	Capture bool
	// Cells keeps what cells came to, so that what is known is not run again. It
	// may be nil.
	Cells *results.Cache
	// Anew runs what is known all the same, and keeps that instead.
	Anew bool
	// Stored says whether a kernel is here, so that getting it takes no time. It
	// may be nil: then all are.
	Stored func(kernel.Candidate) bool
	// History orders the work by how long it took before. It may be nil.
	History *History
	// Left is told how long the run will go on, whenever that is guessed anew; 0
	// where it cannot be. It may be nil.
	Left func(time.Duration)
	// Ended is told of each probe that has ended in a guest of the i-th cell, as it
	// does; not of those from the cache, nor of those that never ran. It is called
	// from several goroutines, and may be nil.
	Ended func(i int, cell results.Cell, p results.Probe)
	// Warn is told what the user should know although all went well. It may be
	// nil.
	Warn func(msg string)

	hash   sync.Once
	digest string // of the agent, behind hash

	lookups chan struct{} // kernels that are here
	fetches chan struct{} // downloads
	ahead   chan struct{} // cells whose kernel was downloaded, or is, and whose turn it is not
	jobs    *places
	outlook *outlook
}

// fetchesAtOnce bounds downloads, which share one line.
const fetchesAtOnce = 2

// Run runs every cell and returns when all have ended and nothing of theirs is
// left running. A repetition begins when all cells of the one before have had
// their turn. Its error joins what could not be written down, not how cells
// fared. When ctx ends, guests are stopped and cells that did not end are
// missing.
func (s *Scheduler) Run(ctx context.Context, cells []Cell) error {
	cells = slices.Clone(cells)
	s.lookups = make(chan struct{}, lookupsAtOnce)
	s.fetches = make(chan struct{}, fetchesAtOnce)
	s.ahead = make(chan struct{}, fetchesAtOnce+s.Jobs)
	s.jobs = newPlaces(s.Jobs)
	estimates, exact := make([]time.Duration, len(cells)), make([]time.Duration, len(cells))
	for i, spec := range cells {
		if s.History == nil || spec.Ended() {
			continue
		}
		d, same := s.History.estimate(spec, len(s.Selected))
		if estimates[i] = d; same {
			exact[i] = d // what other probes took orders cells, and foretells nothing
		}
	}
	s.outlook = newOutlook(exact, s.Jobs, s.Left)
	for i, spec := range cells {
		if spec.Ended() {
			s.outlook.end(i, time.Now())
			s.Progress.State(i, spec.Before.Cell, "kept")
		} else {
			s.Progress.State(i, Planned(spec), "waits")
		}
	}
	passes := newPasses(cells)
	var here, away []int
	ranks := make([]int, len(cells))
	for rank, i := range inOrder(cells, s.here, estimates) {
		ranks[i] = rank
		if s.here(cells[i].Kernel) {
			here = append(here, i)
		} else {
			away = append(away, i)
		}
	}
	var group multierror.Group
	start := func(order []int, away bool) func() {
		return func() {
			for _, i := range order {
				t := task{Cell: cells[i], rank: ranks[i], away: away}
				t.turn = sync.OnceFunc(func() { passes.turn(t.Repeat) })
				passes.wait(ctx, t.Repeat)
				t.release = s.begin(ctx, t)
				group.Go(func() error { return s.task(ctx, i, t) })
			}
		}
	}
	var both sync.WaitGroup
	both.Go(start(here, false))
	both.Go(start(away, true))
	both.Wait()
	err := joined(group.Wait())
	if s.History != nil {
		if err := s.History.save(); err != nil {
			s.warn(err.Error())
		}
	}
	return err
}

// begin waits until a task may begin. One whose kernel is here soon needs its
// place no more. Another holds it until it is its turn, so that downloads do not
// run ahead of the guests without bound.
func (s *Scheduler) begin(ctx context.Context, t task) (release func()) {
	places := s.lookups
	if t.away {
		places = s.ahead
	} else {
		s.jobs.expect(t.rank)
	}
	select {
	case places <- struct{}{}:
		return sync.OnceFunc(func() { <-places })
	case <-ctx.Done():
		return func() {}
	}
}

// task takes one cell to its end, unless it had ended before.
func (s *Scheduler) task(ctx context.Context, i int, t task) error {
	defer s.jobs.letOff(t.rank)
	defer t.release()
	defer t.turn()
	if t.Ended() {
		return nil
	}
	cell := Planned(t.Cell)
	err := s.run(ctx, i, &cell, t)
	if err != nil { // however it fared: nobody can read it
		cell.Outcome, cell.Reason = results.CellFailed, err.Error()
	}
	s.outlook.end(i, time.Now())
	s.Progress.State(i, cell, string(cell.Outcome))
	return err
}

// here says whether a kernel need not be downloaded.
func (s *Scheduler) here(c kernel.Candidate) bool { return s.Stored == nil || s.Stored(c) }

// joined is nil, or an error of one line for each of its causes.
func joined(err *multierror.Error) error {
	if err != nil {
		err.ErrorFormat = func(errs []error) string {
			lines := make([]string, len(errs))
			for i, e := range errs {
				lines[i] = e.Error()
			}
			return strings.Join(lines, "\n")
		}
	}
	return err.ErrorOrNil()
}

// Planned is a cell of which nothing but its kernel and variant is known.
func Planned(spec Cell) results.Cell {
	k := spec.Kernel
	return results.Cell{
		Kernel: results.Kernel{
			Ref: k.Ref, Label: k.Upstream, Release: k.Release, Version: k.Version, Series: k.Series,
			Flavour: k.Flavour, Arch: k.Arch, Source: k.Source, Verified: k.Verified,
		},
		Variant:  spec.Variant.Name,
		Repeat:   spec.Repeat,
		Outcome:  results.CellMissing,
		Warnings: k.Warnings,
	}
}

// describe fills in what is known once a kernel is there. It may be another
// build than the planned one, where that has gone from its mirror.
func describe(cell *results.Cell, spec Cell, k *kernel.Kernel) {
	spec.Kernel = k.Candidate
	planned := Planned(spec)
	planned.Kernel.Ref = cell.Kernel.Ref
	planned.Kernel.Digest = k.Digest
	cell.Kernel, cell.Warnings = planned.Kernel, planned.Warnings
}

func (s *Scheduler) warn(msg string) {
	if s.Warn != nil {
		s.Warn(msg)
	}
}
