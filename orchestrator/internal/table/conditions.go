package table

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
)

// label names the builds as columns are named, with what tells those of one
// kernel apart, and notes that there are such.
func (t *Trial) label() {
	var cells []results.Cell
	groups := map[string][]*Build{}
	for i := range t.Builds {
		b := &t.Builds[i]
		key := plannedKey(b.Cell)
		if groups[key] == nil {
			cells = append(cells, b.Cell)
		}
		groups[key] = append(groups[key], b)
	}
	for i, name := range labels(cells) {
		builds := groups[plannedKey(cells[i])]
		for _, b := range builds {
			b.Label = name
		}
		for _, by := range apartBy {
			values := map[string]bool{}
			for _, b := range builds {
				values[by.of(b.Cell)] = true
			}
			if len(values) < 2 {
				continue
			}
			t.Apart = append(t.Apart, Condition{Kernel: name, Name: by.name, Values: slices.Sorted(maps.Keys(values))})
			for _, b := range builds {
				b.Label += " " + fmt.Sprintf(by.label, by.of(b.Cell))
			}
		}
		for _, b := range builds {
			for j := range b.Conditions {
				b.Conditions[j].Kernel = b.Label
			}
		}
	}
}

// apartBy is what keeps recordings of a kernel apart.
var apartBy = []struct {
	name, label string
	of          func(results.Cell) string
}{
	{"clocks", "%s clock", func(c results.Cell) string { return cmp.Or(c.Guest.Clock, "unknown") }},
	{"agents", "agent %s", func(c results.Cell) string { return digestName(c.Guest.Agent) }},
	{"files", "files %s", func(c results.Cell) string { return digestName(c.Kernel.Digest) }},
}

// digestName is as much of a digest as a reader needs.
func digestName(digest string) string {
	return cmp.Or(digest[:min(len(digest), 7)], "unknown")
}

// conditions are what differs between the guests of cells that ran.
func conditions(cells []results.CellRows) []Condition {
	var out []Condition
	for _, c := range []struct {
		name string
		of   func(results.Guest) string
	}{
		{"QEMU versions", func(g results.Guest) string { return g.QEMU }},
		{"machines", func(g results.Guest) string { return g.Machine }},
		{"accelerators", func(g results.Guest) string { return g.Accel }},
		{"numbers of CPUs", func(g results.Guest) string { return fmt.Sprint(g.CPUs) }},
		{"sizes of memory", func(g results.Guest) string { return g.Memory }},
		{"ways to start", start},
	} {
		values := map[string]bool{}
		for _, cell := range cells {
			if cell.Guest.QEMU != "" {
				values[c.of(cell.Guest)] = true
			}
		}
		if len(values) > 1 {
			out = append(out, Condition{Name: c.name, Values: slices.Sorted(maps.Keys(values))})
		}
	}
	if values := differentArgs(cells); len(values) > 1 {
		out = append(out, Condition{Name: "arguments of QEMU", Values: values})
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
	values := map[string]bool{}
	for _, line := range lines {
		var own []string
		for _, o := range line {
			if times[o] < len(lines) {
				own = append(own, o)
			}
		}
		values[cmp.Or(strings.Join(own, " "), "none")] = true
	}
	return slices.Sorted(maps.Keys(values))
}

// start is how guests began.
func start(g results.Guest) string {
	how := "booted"
	if g.Restored {
		how = "restored"
	}
	if g.Fresh {
		how += " for each probe"
	}
	return how
}

// seen are the options of QEMU that a guest may see, and that say the same for one
// that is booted and one that is restored. Memory, CPUs and machine have
// conditions of their own.
var seen = []string{"-cpu", "-icount", "-rtc", "-seed"}

// options returns those of a command line that may matter, each with its value.
func options(args []string) []string {
	var out []string
	for i, a := range args {
		if slices.Contains(seen, a) && i+1 < len(args) {
			out = append(out, a+" "+args[i+1])
		}
	}
	return out
}
