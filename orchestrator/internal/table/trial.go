package table

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

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

// Compared reports whether the build ran more than once.
func (b Build) Compared() bool { return len(b.Recordings) > 1 }

// Condition is something of a guest that was not the same in all recordings.
type Condition struct {
	Name   string   // "QEMU"
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
		} else if !only.Status.Behaviour() {
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

// label names the builds as columns are named, and what tells those of one kernel
// apart.
func (t *Trial) label() {
	kernel := func(c results.Cell) string { return plannedKey(c) + c.Kernel.Digest }
	var cells []results.Cell
	index := map[string]int{}
	for _, b := range t.Builds {
		if _, ok := index[kernel(b.Cell)]; !ok {
			index[kernel(b.Cell)] = len(cells)
			cells = append(cells, b.Cell)
		}
	}
	names := labels(cells)
	for i := range t.Builds {
		b := &t.Builds[i]
		b.Label = names[index[kernel(b.Cell)]]
		clocks, agents := false, false
		for _, o := range t.Builds {
			same := kernel(o.Cell) == kernel(b.Cell)
			clocks = clocks || same && o.Guest.Clock != b.Guest.Clock
			agents = agents || same && o.Guest.Agent != b.Guest.Agent
		}
		if clocks {
			b.Label += " " + b.Guest.Clock + " clock"
		}
		if agents {
			b.Label += " agent " + b.Guest.Agent[:min(len(b.Guest.Agent), 7)]
		}
	}
}

// Apart returns the labels of builds that are the same kernel under the same
// variant, and yet are not compared with each other: their clocks, agents or
// files differ.
func (t *Trial) Apart() []string {
	var out []string
	for i, b := range t.Builds {
		for j, o := range t.Builds {
			if i != j && plannedKey(b.Cell) == plannedKey(o.Cell) {
				out = append(out, b.Label)
				break
			}
		}
	}
	return out
}

// Compared reports whether any kernel ran more than once.
func (t *Trial) Compared() bool { return slices.ContainsFunc(t.Builds, Build.Compared) }

// FlipCount is the sum over all builds.
func (t *Trial) FlipCount() int {
	n := 0
	for _, b := range t.Builds {
		n += b.FlipCount()
	}
	return n
}

// Failed reports whether something that was to be compared could not be.
func (t *Trial) Failed() bool {
	return !t.Compared() || slices.ContainsFunc(t.Builds, func(b Build) bool { return len(b.Failed)+len(b.Unanswered) > 0 })
}

// conditions are what differs between the guests of cells that ran.
func conditions(cells []results.CellRows) []Condition {
	var out []Condition
	for _, c := range []struct {
		name string
		of   func(results.Guest) string
	}{
		{"QEMU", func(g results.Guest) string { return g.QEMU }},
		{"machine", func(g results.Guest) string { return g.Machine }},
		{"accel", func(g results.Guest) string { return g.Accel }},
		{"CPUs", func(g results.Guest) string { return fmt.Sprint(g.CPUs) }},
		{"memory", func(g results.Guest) string { return g.Memory }},
	} {
		seen := map[string]bool{}
		for _, cell := range cells {
			if cell.Guest.QEMU != "" {
				seen[c.of(cell.Guest)] = true
			}
		}
		if len(seen) > 1 {
			out = append(out, Condition{Name: c.name, Values: slices.Sorted(maps.Keys(seen))})
		}
	}
	if values := differentArgs(cells); len(out) == 0 && len(values) > 1 {
		out = append(out, Condition{Name: "arguments", Values: values})
	}
	return out
}

// differentArgs returns, for each command line of QEMU that is unlike the
// others, what not all of them have.
func differentArgs(cells []results.CellRows) []string {
	var lines [][]string
	times := map[string]int{}
	for _, c := range cells {
		line := options(c.Guest.Args)
		if len(line) == 0 || slices.ContainsFunc(lines, func(o []string) bool { return slices.Equal(o, line) }) {
			continue
		}
		lines = append(lines, line)
		for _, o := range slices.Compact(slices.Sorted(slices.Values(line))) {
			times[o]++
		}
	}
	seen := map[string]bool{}
	for _, line := range lines {
		var own []string
		for _, o := range line {
			if times[o] < len(lines) {
				own = append(own, o)
			}
		}
		seen[cmp.Or(strings.Join(own, " "), "none")] = true
	}
	return slices.Sorted(maps.Keys(seen))
}

// inherited are numbers of files and ports, which are the host's affair.
var inherited = regexp.MustCompile(`fd=[0-9]+|port[0-9]+|^/proc/self/fd/[0-9]+$`)

// options returns a command line by option, each with its value, without what
// differs from start to start and cannot be seen in the guest: paths and files.
func options(args []string) []string {
	var out []string
	for _, a := range args {
		last := len(out) - 1
		switch {
		case strings.HasPrefix(a, "-") || last < 0:
			out = append(out, a)
		case out[last] != "-kernel" && out[last] != "-initrd":
			out[last] += " " + inherited.ReplaceAllString(a, "N")
		}
	}
	return out
}
