package table

import (
	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
)

// New lays out cells. Heads may be empty; they only describe probes.
func New(cells []results.CellRows, heads []observe.Head) *Table { return &Table{} }

// Edges are the neighbours: every column but the first of its lane, with its
// parent, in the order of columns.
func (t *Table) Edges() []Edge { return nil }

// Changes are the rows that differ between neighbours, by name.
func (t *Table) Changes() []Change { return nil }

// Groups are the changes, those of a probe that look alike together, by probe.
func (t *Table) Groups() []Group { return nil }

// Residue is what could not be compared.
func (t *Table) Residue() Residue { return Residue{} }
