package table

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
)

// Recording is one cell of one run.
type Recording struct {
	Name string // unique among those compared: "20261123T122014Z/6.1.192_r2"
	results.CellRows
}

// Trial is an A/A test: every kernel compared with itself. Whatever differs is
// ours, and no kernel's.
type Trial struct {
	Builds []Build
	// Apart are kernels of which there are several builds under a variant, which
	// are not compared with each other, and why.
	Apart []Condition
}

// Build is a kernel under a variant, on one clock and with one agent: what must
// give the same rows every time. It is known by the digest of its files.
type Build struct {
	results.Cell        // of its first recording that ran
	Label        string // as Column.Label, with what tells builds apart that share it
	// Recordings are in the order given.
	Recordings []Recording
	Rows       int    // different rows
	Values     int    // that were compared: those of rows and probes seen more than once
	Flips      []Flip // by row
	// Failed are recordings that did not end well, Unanswered probes that were
	// asked more than once and gave no behaviour; indexes of Recordings.
	Failed     []int
	Unanswered []Unanswered
	// Conditions differ between the recordings, which are compared all the same.
	Conditions []Condition
}

// Flip is a row, or a probe as a whole, that was not seen to be the same in all
// recordings. Seen is by how common a value is, and counts Build.Recordings.
type Flip struct {
	Row   string // the probe's name for a probe as a whole
	Probe string
	Seen  []Seen
}

// Times is how many values differ from the most common one.
func (f Flip) Times() int {
	n := 0
	for _, s := range f.Seen[1:] {
		n += len(s.In)
	}
	return n
}

// FlipCount is how many values of a build differ from the most common of their row.
func (b Build) FlipCount() int {
	n := 0
	for _, f := range b.Flips {
		n += f.Times()
	}
	return n
}

// Compared reports whether there was something to compare.
func (b Build) Compared() bool { return b.Values > 0 || len(b.Flips) > 0 }

// Condition is something that was not the same in all recordings of a kernel.
type Condition struct {
	Kernel string   // its label
	Name   string   // "QEMU versions"
	Values []string // sorted
}

// Stability compares kernels with themselves. A row counts where its probe was
// recorded: what another selection left out is no flip, and a row that is missing
// beside others of its probe is one.
func Stability(recordings []Recording) *Trial {
	t := &Trial{}
	var unborn []Recording // that failed before their kernel was known
	for _, r := range recordings {
		if r.Guest.Agent == "" {
			unborn = append(unborn, r)
			continue
		}
		t.add(r, func(b Build) bool { return trialKey(b.Cell) == trialKey(r.Cell) })
	}
	for _, r := range unborn {
		t.add(r, func(b Build) bool { return plannedKey(b.Cell) == plannedKey(r.Cell) })
	}
	for i := range t.Builds {
		t.Builds[i].compare()
	}
	sortCells(t.Builds, func(b Build) results.Cell { return b.Cell })
	t.label()
	return t
}

// add puts a recording where it belongs.
func (t *Trial) add(r Recording, belongs func(Build) bool) {
	at := slices.IndexFunc(t.Builds, belongs)
	if at < 0 {
		at = len(t.Builds)
		t.Builds = append(t.Builds, Build{Cell: r.Cell})
	}
	t.Builds[at].Recordings = append(t.Builds[at].Recordings, r)
}

// trialKey is the same for recordings that must be alike.
func trialKey(c results.Cell) string {
	return fmt.Sprintf("%s %q %q %q", plannedKey(c), c.Kernel.Digest, c.Guest.Clock, c.Guest.Agent)
}

// plannedKey is what is known of a cell before it runs.
func plannedKey(c results.Cell) string {
	return fmt.Sprintf("%s %q %q", buildKey(c), c.Kernel.Source, version(c.Kernel))
}

// compare fills in what the recordings come to.
func (b *Build) compare() {
	var cells []results.CellRows
	for i, r := range b.Recordings {
		cells = append(cells, r.CellRows)
		if r.Outcome != results.CellOK {
			b.Failed = append(b.Failed, i)
		}
	}
	b.Conditions = conditions(cells)
	a := ask(cells)
	for _, probe := range slices.Sorted(maps.Keys(a.probes)) {
		seen := a.probes[probe]
		if only := seen[0].Value; len(seen) > 1 {
			b.Flips = append(b.Flips, Flip{Row: probe, Probe: probe, Seen: seen})
		} else if !only.Status.Behaviour() && len(seen[0].In) > 1 {
			b.Unanswered = append(b.Unanswered, Unanswered{Probe: probe, Status: only.Status, Reason: only.Text, Columns: seen[0].In})
		}
	}
	b.Rows = len(a.rows)
	for _, row := range slices.Sorted(maps.Keys(a.rows)) {
		seen := a.rows[row]
		n := 0
		for _, s := range seen {
			n += len(s.In)
		}
		if n > 1 {
			b.Values += n
		}
		if len(seen) > 1 {
			b.Flips = append(b.Flips, Flip{Row: row, Probe: observe.Row{Name: row}.Probe(), Seen: seen})
		}
	}
	slices.SortStableFunc(b.Flips, func(x, y Flip) int { return cmp.Compare(x.Row, y.Row) })
}

// Totals sum a trial up: of what was compared.
type Totals struct {
	Kernels, Rows, Runs int // rows and runs of the kernel that has most
	Values, Flips       int
	Even                bool // whether Values is Kernels × Rows × Runs
}

// Totals sums up.
func (t *Trial) Totals() Totals {
	var sum Totals
	kernels := map[string]bool{}
	for _, b := range t.Builds {
		if !b.Compared() {
			continue
		}
		kernels[plannedKey(b.Cell)] = true
		sum.Rows, sum.Runs = max(sum.Rows, b.Rows), max(sum.Runs, len(b.Recordings))
		sum.Values += b.Values
		sum.Flips += b.FlipCount()
	}
	sum.Kernels = len(kernels)
	sum.Even = sum.Values == sum.Kernels*sum.Rows*sum.Runs
	return sum
}

// Failed reports whether something that was to be compared could not be, or
// nothing was.
func (t *Trial) Failed() bool {
	failed := func(b Build) bool { return len(b.Failed)+len(b.Unanswered) > 0 }
	return !slices.ContainsFunc(t.Builds, Build.Compared) || slices.ContainsFunc(t.Builds, failed)
}
