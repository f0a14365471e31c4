package sched

import (
	"slices"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
)

// saver writes down how a cell stands, over and over, beside what brings that
// about: a slow disk must hold up neither the guest nor its reader. What was
// overtaken before it was written is not.
type saver struct {
	next chan standing // of one
	done chan error
}

// standing is a cell and its rows at one time.
type standing struct {
	cell results.Cell
	rows []observe.Row
}

// newSaver starts a saver that writes with put. It must be closed.
func newSaver(put func(results.Cell, []observe.Row) error) *saver {
	s := &saver{next: make(chan standing, 1), done: make(chan error, 1)}
	go func() {
		var failed error
		for st := range s.next {
			if failed == nil {
				failed = put(st.cell, st.rows)
			}
		}
		s.done <- failed
	}()
	return s
}

// save has the cell written, soon. Only one goroutine may call it.
func (s *saver) save(cell results.Cell, rows []observe.Row) {
	cell.Probes, cell.Steps, cell.Warnings = slices.Clone(cell.Probes), slices.Clone(cell.Steps), slices.Clone(cell.Warnings)
	select {
	case <-s.next:
	default:
	}
	s.next <- standing{cell, slices.Clone(rows)}
}

// close waits until the last save has been written, and returns what kept any
// of them from being.
func (s *saver) close() error {
	close(s.next)
	return <-s.done
}
