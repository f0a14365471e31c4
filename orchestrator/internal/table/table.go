// Package table lays the rows of a run's cells side by side, kernels in the
// order of their history, and says what differs between neighbours, or between
// two runs. It is pure: nothing here reads a file or a clock.
package table

import (
	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
)

// Table is rows × kernels.
type Table struct {
	Columns []Column       `json:"columns"` // lane by lane (see Column.Lane), each in the order of its tree
	Probes  []Probe        `json:"probes"`  // by name
	Rows    []Row          `json:"rows"`    // by name
	Heads   []observe.Head `json:"-"`       // for the reader; may be empty
	// Unstable are the rows that differ on the same kernel, by name.
	Unstable []UnstableRow `json:"unstable"`
	// Chance are the rows of chance, by name.
	Chance []ChanceRow `json:"chance,omitempty"`
	Book   Book        `json:"-"` // of notes that changes are held against; may be empty
}

// Column is a kernel under a variant: one cell, or all repetitions of it. Then
// Cell is what they have in common, and its outcome is not ok if that of any of
// them is not.
type Column struct {
	results.Cell
	Runs  int    `json:"runs"`  // how many cells it is
	Label string `json:"label"` // short and unique in its table: "6.1.192", "6.1.192-2", "6.1.192+nft"
	// Lane numbers the variants in order of appearance. Columns of different
	// lanes are no neighbours.
	Lane int `json:"lane"`
	// Parent is the index of the column that this one is compared with, which
	// stands before it; -1 for the first of a lane.
	Parent int `json:"parent"`
}

// Status is what a value is.
type Status string

// The five outcomes of a probe, and what is never right.
const (
	Recorded    Status = "recorded"
	Unsupported Status = "unsupported"
	Broken      Status = "broken"
	Crashed     Status = "crashed"
	Missing     Status = "missing"
	Absent      Status = "absent"   // the probe was recorded, but without this row, which other kernels have
	Unstable    Status = "unstable" // repetitions on one kernel differ; the text says in what
)

// Behaviour reports whether a value of this status is the kernel's answer, and
// so may be compared.
func (s Status) Behaviour() bool { return s == Recorded || s == Unsupported }

// Value is one row's value in one column.
type Value struct {
	Status Status       `json:"status"`
	Kind   observe.Kind `json:"kind,omitempty"`
	Text   string       `json:"text,omitempty"` // recorded: the value; unstable: the values seen; else: the reason
}

// Equal reports whether two values agree: recorded with the same kind and text,
// or both unsupported, for whatever reason. A value that is not behaviour
// equals nothing.
func (v Value) Equal(o Value) bool {
	switch {
	case !v.Status.Behaviour() || v.Status != o.Status:
		return false
	case v.Status == Unsupported:
		return true
	}
	return v.Kind == o.Kind && v.Text == o.Text
}

// Row is one row's values, parallel to Table.Columns.
type Row struct {
	Name   string  `json:"row"`
	Probe  string  `json:"probe"`
	Values []Value `json:"values"`
}

// Probe is one probe's outcomes, parallel to Table.Columns. Status is never
// Absent. One that differs between repetitions is Unstable, as are its rows.
type Probe struct {
	Name     string  `json:"name"`
	Outcomes []Value `json:"outcomes"` // without kinds; text is the reason
}

// Edge joins two neighbours: a column and its parent. From is the older.
type Edge struct {
	From int `json:"from"`
	To   int `json:"to"`
}
