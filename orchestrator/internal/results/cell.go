// Package results keeps what a run found, on disk, as it arrives: run.json with
// the plan, and per cell a directory with cell.json, rows.jsonl, console.log and
// kernel.log.
package results

import (
	"slices"
	"time"

	"github.com/ctmatrix/ctmatrix/guest/observe"
)

// Kernel identifies the kernel of a cell and says where it came from.
type Kernel struct {
	Ref      string `json:"ref"`     // as the user named it: "debian:6.1"
	Label    string `json:"label"`   // short name for a table's column: "6.1.192"
	Release  string `json:"release"` // uname -r: "6.1.0-56-cloud-amd64"
	Version  string `json:"version"` // package version: "6.1.192-2"; the release where there is no package
	Series   string `json:"series"`  // stable series: "6.1"
	Flavour  string `json:"flavour,omitempty"`
	Arch     string `json:"arch"`     // Debian's name: "amd64"
	Source   string `json:"source"`   // the source's name: "debian", "dir"
	Digest   string `json:"digest"`   // sha256 over image and modules, hex
	Verified bool   `json:"verified"` // whether a signed index vouches for every file
}

// CellOutcome is how a cell ended as a whole.
type CellOutcome string

// The outcomes of a cell.
const (
	CellOK      CellOutcome = "ok"      // the suite ran to its end; probes have outcomes of their own
	CellFailed  CellOutcome = "failed"  // our side failed: no kernel, no QEMU, no boot, a garbled stream
	CellCrashed CellOutcome = "crashed" // the kernel under test crashed or hung
	CellMissing CellOutcome = "missing" // never ran, or was interrupted
)

// Cell is one kernel under one variant: identity, provenance and outcome. Its
// rows are kept beside it, not in it.
type Cell struct {
	ID       string      `json:"id"` // digest of everything that can change the result
	Kernel   Kernel      `json:"kernel"`
	Variant  string      `json:"variant"`
	Repeat   int         `json:"repeat,omitempty"` // which run of several of the same, from 1; 0 where there is one
	Guest    Guest       `json:"guest"`
	Outcome  CellOutcome `json:"outcome"`
	Reason   string      `json:"reason,omitempty"`
	Console  []string    `json:"console,omitempty"` // the last lines, where the outcome is not ok
	Warnings []string    `json:"warnings,omitempty"`
	Steps    []Step      `json:"steps"`
	// Cached says which probes were taken from the cache, and when which run
	// recorded them. Those that this run ran itself are not among them.
	Cached []Origin `json:"cached,omitempty"`

	Modules []observe.Module `json:"modules,omitempty"`
	Probes  []Probe          `json:"probes"`

	// Config is what can matter of the kernel's configuration, by option:
	// "CONFIG_NF_CONNTRACK": "m", and "n" of one that is not set. It is nil where
	// the kernel's files hold none, and in runs from before it was kept.
	Config map[string]string `json:"config,omitempty"`
}

// Guest says what the kernel ran on.
type Guest struct {
	QEMU    string `json:"qemu"` // version
	Machine string `json:"machine"`
	Accel   string `json:"accel"` // the one that ran: "tcg" or "kvm"
	Clock   string `json:"clock"` // "virtual" or "host"
	CPUs    int    `json:"cpus"`
	Memory  string `json:"memory"`
	Agent   string `json:"agent"` // sha256 of the agent, hex
	// Restored says that guests went on where one was saved, Fresh that each
	// probe had one of its own, Captured that packets were. None of these nor the
	// seeds may show in a row.
	Restored bool     `json:"restored"`
	Fresh    bool     `json:"fresh,omitempty"`
	Captured bool     `json:"captured,omitempty"` // what passed the links was told, too
	Seed     uint32   `json:"seed"`               // of what the virtual machine drew
	Shuffle  *uint64  `json:"shuffle,omitempty"`  // seed of the probes' order; nil for the suite's own
	Args     []string `json:"args,omitempty"`
}

// Origin says when and by which run probes were recorded that a later run took
// from the cache.
type Origin struct {
	Run    string    `json:"run"`      // path of its directory, as it was then
	At     time.Time `json:"measured"` // UTC
	Probes []string  `json:"probes"`   // by name
}

// FromCache are the names of the probes that were taken from the cache.
func (c *Cell) FromCache() []string {
	var names []string
	for _, o := range c.Cached {
		names = append(names, o.Probes...)
	}
	return names
}

// Booted says whether a guest was started for the cell.
func (c *Cell) Booted() bool {
	return slices.ContainsFunc(c.Steps, func(s Step) bool { return s.Name == "boot" || s.Name == "restore" })
}

// Step is a timed part of a cell's run, in host time: "fetch", "cache", "image",
// "boot" or "restore", "suite", "stop". What a cell's guests did one after the other is
// summed up.
type Step struct {
	Name    string        `json:"name"`
	Elapsed time.Duration `json:"elapsed_ns"`
}

// Probe is the outcome of one probe in one cell.
type Probe struct {
	Name    string          `json:"name"`
	Outcome observe.Outcome `json:"outcome"`
	Reason  string          `json:"reason,omitempty"`
	Rows    int             `json:"rows"`
	Elapsed time.Duration   `json:"elapsed_ns"` // on the guest's clock
	Log     []observe.Log   `json:"log,omitempty"`

	// Fingerprint tells the crash of a kernel from others: the first functions of its
	// trace, the innermost first. Console are the telling lines of the console or log
	// where a guest was lost in the probe. Both are what a guest said.
	Fingerprint string   `json:"fingerprint,omitempty"`
	Console     []string `json:"console,omitempty"`
}
