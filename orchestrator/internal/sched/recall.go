package sched

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/vm"
)

// cellDir is where cells are kept in a cache.
func cellDir(cache string) string { return filepath.Join(cache, "cells") }

// OpenCells returns the cells that a cache keeps.
func OpenCells(cache string) *results.Cache { return results.NewCache(cellDir(cache)) }

// CollectCells removes the cells of a cache that nobody used since a time, but not
// if dry. It returns how many those are and their size in bytes.
func CollectCells(ctx context.Context, cache string, unusedSince time.Time, dry bool) (removed int, freed int64, err error) {
	return OpenCells(cache).Collect(ctx, unusedSince, dry)
}

// keeps says whether the rows of a cell are kept and may stand for those of
// another of its identity. A clock that runs on while the guest waits makes rows
// that the identity does not tell; and what is repeated is to be seen again.
func (s *Scheduler) keeps(spec Cell) bool {
	return s.Cells != nil && !s.Capture && spec.Repeat == 0 && spec.Guest.Clock == string(vm.Virtual)
}

// recall takes what is known of the cell from before: what it had come to when
// the run was cut short, and of the rest what the cache has. It returns the
// console, which goes on where that of the former ended.
func (s *Scheduler) recall(i int, c *collector, spec Cell, id results.Identity) (io.WriteCloser, error) {
	kept := c.keep(spec.Before)
	var known *results.Known
	if s.keeps(spec) && !s.Anew {
		known = s.known(c, id)
	}
	if kept {
		return s.Out.MoreConsole(i)
	}
	console, err := s.Out.Console(i)
	if err != nil || known == nil {
		return console, err
	}
	if _, err := console.Write(known.Console); err != nil {
		return nil, errors.Join(fmt.Errorf("write the console: %w", err), console.Close())
	}
	return console, nil
}

// known takes what the cache has of the probes that have not ended, and returns
// it.
func (s *Scheduler) known(c *collector, id results.Identity) *results.Known {
	defer step(c.cell, "cache", time.Now())
	known, err := s.Cells.Get(id)
	if err != nil {
		s.warn(fmt.Sprintf("%s is measured anew: the cache is damaged: %v", c.cell.Kernel.Label, err))
	}
	if known == nil {
		return nil
	}
	of := known.Of(c.notEnded(c.selected))
	if len(of.Cell.Probes) == 0 {
		return nil
	}
	if c.cell.Modules == nil {
		c.cell.Modules, c.cell.Guest.Args = of.Cell.Modules, of.Cell.Guest.Args
	}
	c.cell.Cached = append(c.cell.Cached, of.Cell.Cached...)
	c.cell.Probes, c.rows = append(c.cell.Probes, of.Cell.Probes...), append(c.rows, of.Rows...)
	return known
}

// remember puts what a cell that ended well recorded into the cache. That it cannot be put there
// spoils nothing but the next run's time.
func (s *Scheduler) remember(ctx context.Context, i int, c *collector, id results.Identity) {
	if s.Anew {
		s.compare(c, id)
	}
	console, err := tailOf(filepath.Join(s.Out.CellDir(i), results.ConsoleFile))
	if err == nil {
		known := results.Known{Cell: *c.cell, Rows: c.rows, Console: console}
		known.Cell.Outcome = results.CellOK
		// What was measured is kept even when the run is interrupted.
		err = s.Cells.Put(context.WithoutCancel(ctx), id, known, results.Origin{Run: s.runName(), At: time.Now().UTC()})
	}
	if err != nil {
		s.warn(fmt.Sprintf("%s is not kept for later runs: %v", c.cell.Kernel.Label, err))
	}
}

// compare warns where a cell that was measured anew came out differently: one of
// its rows depends on more than the identity holds.
func (s *Scheduler) compare(c *collector, id results.Identity) {
	known, err := s.Cells.Get(id)
	if err != nil || known == nil {
		return // nothing to compare with, and about to be replaced
	}
	before := map[string]observe.Row{}
	for _, r := range known.Rows {
		before[r.Name] = r
	}
	differ, name := 0, ""
	for _, r := range c.rows {
		if old, ok := before[r.Name]; ok && old != r {
			if differ++; name == "" || r.Name < name {
				name = r.Name
			}
		}
	}
	if differ > 0 {
		s.warn(fmt.Sprintf("%s: %d rows are not as they were when the same was measured before, %s for one: see `ctmatrix stability`",
			c.cell.Kernel.Label, differ, name))
	}
}

// runName is what other runs call this one.
func (s *Scheduler) runName() string {
	if dir, err := filepath.Abs(s.Out.Dir()); err == nil {
		return dir
	}
	return s.Out.Dir()
}

// tailOf reads as much of a console as is kept.
func tailOf(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the console: %w", err)
	}
	defer f.Close() // only read
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read the console: %w", err)
	}
	start := max(0, info.Size()-results.MaxConsole)
	text, err := io.ReadAll(io.NewSectionReader(f, start, results.MaxConsole))
	if err != nil {
		return nil, fmt.Errorf("read the console: %w", err)
	}
	return text, nil
}
