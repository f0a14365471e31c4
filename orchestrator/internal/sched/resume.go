package sched

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
)

// Conditions are those that all cells share, as far as the scheduler knows them.
func (s *Scheduler) Conditions() results.Conditions {
	version, build := s.Booter.Build()
	return results.Conditions{
		Agent: s.agentDigest(), QEMU: version, Build: build,
		Shuffle: s.Shuffle, Fresh: s.FreshGuest, Anew: s.Anew, Capture: s.Capture,
	}
}

// Plan writes down cells so that CellsOf finds them again.
func Plan(cells []Cell) ([]results.Planned, error) {
	var planned []results.Planned
	for _, spec := range cells {
		data, err := json.Marshal(spec)
		if err != nil {
			return nil, fmt.Errorf("plan cell: %w", err)
		}
		c := Planned(spec)
		planned = append(planned, results.Planned{Kernel: c.Kernel, Variant: c.Variant, Repeat: c.Repeat, Spec: data})
	}
	return planned, nil
}

// CellsOf are the cells of a run that was cut short, in the order of its plan,
// each with what it had come to. What the plan says is believed no more than a
// matrix file.
func CellsOf(run *results.Run) ([]Cell, error) {
	var cells []Cell
	for i := range run.Cells {
		before := &run.Cells[i]
		var spec Cell
		dec := json.NewDecoder(bytes.NewReader(run.Plan.Cells[i].Spec))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&spec); err != nil {
			return nil, fmt.Errorf("read the plan of cell %s: %w", before.Dir, err)
		}
		if err := spec.Guest.Check(); err != nil {
			return nil, fmt.Errorf("read the plan of cell %s: %w", before.Dir, err)
		}
		if spec.Repeat != before.Repeat {
			return nil, fmt.Errorf("read the plan of cell %s: repetition %d, planned as %d", before.Dir, spec.Repeat, before.Repeat)
		}
		spec.Before = before
		cells = append(cells, spec)
	}
	return cells, nil
}

// Ended says whether the cell had ended when its run was cut short: what a kernel
// did stays, while what failed for our reasons is tried again.
func (c Cell) Ended() bool {
	return c.Before != nil && (c.Before.Outcome == results.CellOK || c.Before.Outcome == results.CellCrashed)
}

// keep takes the probes that ended before the run was cut short, if the cell is
// still what it was then. It says whether there were any.
func (c *collector) keep(before *results.CellRows) bool {
	if before == nil || before.ID != c.cell.ID {
		return false
	}
	known := results.Known{Cell: before.Cell, Rows: before.Rows}
	var names []string
	for _, p := range before.Probes {
		if p.Outcome.Behaviour() || p.Outcome == observe.Crashed {
			names = append(names, p.Name)
		}
	}
	of := known.Of(names).Of(c.selected)
	if len(of.Cell.Probes) == 0 {
		return false
	}
	c.cell.Probes, c.cell.Cached, c.rows = of.Cell.Probes, of.Cell.Cached, of.Rows
	c.cell.Modules, c.cell.Guest.Args = before.Modules, before.Guest.Args
	for _, old := range before.Steps {
		addStep(c.cell, old.Name, old.Elapsed)
	}
	return true
}
