// Package sched takes cells to results: it fetches kernels while others boot,
// boots guests as many at a time as it may, reads what their agents say, and
// writes it down as it arrives. A cell that fails leaves the others unharmed.
package sched

import (
	"context"
	"strings"
	"sync"

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

	turn func() // called when it has a place among the jobs
}

// Fetcher gets a kernel's files. A kernel.Catalog is one.
type Fetcher interface {
	Fetch(ctx context.Context, c kernel.Candidate) (*kernel.Kernel, error)
}

// Recorder keeps what cells come to. A results.Writer is one.
type Recorder = *results.Writer

// Progress is told of what goes on. It is called from several goroutines.
type Progress interface {
	// State says that the i-th cell now "waits", "boots", "runs", or has ended
	// in one of the words of results.CellOutcome, or had ended before the run was
	// gone on with: "kept".
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
	Modules  []string // that the suite can need
	Selected []string // names of the probes to run
	Shuffle  *uint64  // seed, nil for the suite's own order
	ImageDir string   // cache of image layers
	// FreshGuest gives each probe a guest of its own.
	FreshGuest bool
	// Cells keeps what cells came to, so that what is known is not run again. It
	// may be nil.
	Cells *results.Cache
	// Anew runs what is known all the same, and keeps that instead.
	Anew bool
	// Warn is told what the user should know although all went well. It may be
	// nil.
	Warn func(msg string)

	fetches chan struct{}
	jobs    chan struct{}
}

// fetchesAtOnce bounds downloads, which share one line.
const fetchesAtOnce = 2

// Run runs every cell and returns when all have ended and nothing of theirs is
// left running. A repetition begins when all cells of the one before have had
// their turn. Its error joins what could not be written down, not how cells
// fared. When ctx ends, guests are stopped and cells that did not end are
// missing.
func (s *Scheduler) Run(ctx context.Context, cells []Cell) error {
	s.fetches = make(chan struct{}, fetchesAtOnce)
	s.jobs = make(chan struct{}, s.Jobs)
	order := newPasses(cells)
	var group multierror.Group
	for i, spec := range cells {
		group.Go(func() error {
			spec.turn = sync.OnceFunc(func() { order.turn(spec.Repeat) })
			defer spec.turn()
			if spec.Ended() {
				s.Progress.State(i, spec.Before.Cell, "kept")
				return nil
			}
			cell := Planned(spec)
			s.Progress.State(i, cell, "waits")
			order.wait(ctx, spec.Repeat)
			err := s.run(ctx, i, &cell, spec)
			s.Progress.State(i, cell, string(cell.Outcome))
			return err
		})
	}
	return joined(group.Wait())
}

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

func (s *Scheduler) take(ctx context.Context) error {
	select {
	case s.jobs <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Scheduler) give() { <-s.jobs }
