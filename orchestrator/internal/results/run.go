package results

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/ctmatrix/ctmatrix/guest/observe"
)

// Schema is the version of the files in a run directory. Open refuses another.
const Schema = 1

// Names of the files in a run directory, and in each of its cells' directories.
const (
	PlanFile      = "run.json"
	CellFile      = "cell.json"
	RowsFile      = "rows.jsonl"
	ConsoleFile   = "console.log"
	KernelLogFile = "kernel.log"
	LatestLink    = "latest" // beside the runs: a link to the one begun last
)

// Plan is run.json: what a run set out to do, and when it ended.
type Plan struct {
	Schema    int         `json:"schema"`
	Tool      string      `json:"tool"` // version of ctmatrix
	Argv      []string    `json:"argv"`
	Started   time.Time   `json:"started"`            // UTC
	Finished  *time.Time  `json:"finished,omitempty"` // nil while the run is going on, and for ever where it was cut short
	Resumed   []time.Time `json:"resumed,omitempty"`  // UTC: when it was gone on with after it was cut short
	Selection Selection   `json:"selection"`
	// Conditions are those that all cells share; nil where an older ctmatrix
	// wrote none down.
	Conditions *Conditions    `json:"conditions,omitempty"`
	Cells      []Planned      `json:"cells"`
	Probes     []observe.Head `json:"probes"` // the probes selected
}

// Selection is what the user asked for, as it was asked.
type Selection struct {
	Kernels  []string `json:"kernels"`
	Probes   []string `json:"probes"`
	Variants []string `json:"variants"`
}

// Conditions are what a run must be gone on with.
type Conditions struct {
	Agent   string  `json:"agent"` // SHA-256, hex
	QEMU    string  `json:"qemu"`  // version
	Build   string  `json:"build"` // what tells this build of QEMU from others
	Seed    uint32  `json:"seed,omitempty"`
	Shuffle *uint64 `json:"shuffle,omitempty"`
	Fresh   bool    `json:"fresh,omitempty"` // a guest for each probe
	Cold    bool    `json:"cold,omitempty"`  // every guest booted
	Anew    bool    `json:"anew,omitempty"`  // measured also where the cache knows
	Capture bool    `json:"capture,omitempty"`
	Archive Archive `json:"archive,omitzero"`
}

// Archive is where packages come from, and which are taken, in the words of the
// settings. What is empty is the default.
type Archive struct {
	Mirror          string   `json:"mirror,omitempty"`
	SecurityMirror  string   `json:"security_mirror,omitempty"`
	Suites          []string `json:"suites,omitempty"`
	Keyring         string   `json:"keyring,omitempty"`
	AllowUnverified bool     `json:"allow_unverified,omitempty"`
}

// Planned is a cell before it ran. Of its kernel at least the ref is known.
type Planned struct {
	Dir     string `json:"dir"` // name of its directory; Create makes it up
	ID      string `json:"id,omitempty"`
	Kernel  Kernel `json:"kernel"`
	Variant string `json:"variant"`
	Repeat  int    `json:"repeat,omitempty"` // as in Cell
	// Spec is what runs the cell again, in the words of whoever runs cells.
	Spec json.RawMessage `json:"spec,omitempty"`
}

// CellRows is a cell and the rows it recorded, sorted by name.
type CellRows struct {
	Cell
	Dir  string // name of its directory in the run's
	Rows []observe.Row
}

// Run is a run directory as read back: one CellRows for each planned cell, in
// the order of the plan. A cell that has not been written is missing.
type Run struct {
	Dir   string
	Plan  Plan
	Cells []CellRows
}

// ErrNotFound is the cause of Find's error where nothing answers to the name.
var ErrNotFound = errors.New("no such run, cell or kernel")

// ErrBusy is the cause where another process writes to a run directory.
var ErrBusy = errors.New("another ctmatrix is running it")

// FileError says which file of a run directory is wrong, where and why.
type FileError struct {
	Path string
	Line int // 0 where the error is not of one line
	Err  error
}

func (e *FileError) Error() string {
	if e.Line > 0 {
		return fmt.Sprintf("%s:%d: %v", e.Path, e.Line, e.Err)
	}
	return fmt.Sprintf("%s: %v", e.Path, e.Err)
}

// Unwrap returns the cause.
func (e *FileError) Unwrap() error { return e.Err }
