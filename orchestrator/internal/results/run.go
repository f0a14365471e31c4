package results

import (
	"time"

	"github.com/ctmatrix/ctmatrix/guest/observe"
)

// Format is the version of a run directory's layout. Open refuses another.
const Format = 1

// Plan is what a run sets out to do and how: run.json.
type Plan struct {
	Format   int       `json:"format"`         // set by Create
	Tool     string    `json:"tool"`           // version of ctmatrix
	Argv     []string  `json:"argv,omitempty"` // as the user called it
	Probes   []string  `json:"probes"`         // the selection: globs of probe names
	Started  time.Time `json:"started"`        // set by Create
	Finished time.Time `json:"finished,omitzero"`
	Cells    []Planned `json:"cells"`
}

// Planned is a cell before it ran. Dir is its directory below the run's.
type Planned struct {
	Dir     string `json:"dir"` // set by Create
	ID      string `json:"id"`
	Kernel  Kernel `json:"kernel"`
	Variant string `json:"variant"`
}

// Result is a cell and its rows, sorted by name.
type Result struct {
	Dir  string // below the run's directory; empty where nothing is on disk
	Cell Cell
	Rows []observe.Row
}

// Loaded is a run read back: one result for each planned cell, in the order of
// the plan. A cell that did not finish has the outcome missing and no rows.
type Loaded struct {
	Dir     string
	Plan    Plan
	Results []Result
}
