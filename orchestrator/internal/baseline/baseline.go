// Package baseline keeps what was blessed: the rows of kernels, as text that is
// reviewed and kept in git. What a baseline is and how it is written is pure; only
// Read, Is and Write touch files.
//
// A baseline is a directory. kernels.jsonl has a line for each kernel, in the
// order of their history, and each family has a file of its own with a line for
// each probe and each row. Values are shared over the kernels: a value holds for
// the first kernel that was asked, and for those after it until one has its own.
//
//	tcp-rst/in-window recorded
//	tcp-rst/in-window/rst.timeout timeout "1 10" 6.12="1 300"
//
// So a row that changes is one line, a kernel that moves on is one line, and a
// kernel that behaves as the one before it adds a line and no more.
package baseline

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/table"
)

// Baseline is what was blessed. The zero value is an empty one.
type Baseline struct {
	// Cells are the kernels in the order of a table's columns. A cell's ID is the
	// name that the files know it by: "6.1". Of its guest only the clock is known,
	// its outcome is ok, and its probes, by name, were recorded or are unsupported.
	Cells []results.CellRows
}

// Table lays the baseline out. Its columns are b.Cells, in their order.
func (b *Baseline) Table() *table.Table { return table.New(b.Cells, nil) }

// sort puts the cells into the order of a table's columns. Those that are there
// already say which variant comes first.
func (b *Baseline) sort() {
	var bare []results.CellRows // rows say nothing of the order
	for _, c := range b.Cells {
		bare = append(bare, results.CellRows{Cell: results.Cell{ID: c.ID, Kernel: c.Kernel, Variant: c.Variant}})
	}
	at := map[string]int{}
	for i, c := range table.New(bare, nil).Columns {
		at[c.ID] = i
	}
	slices.SortFunc(b.Cells, func(x, y results.CellRows) int { return cmp.Compare(at[x.ID], at[y.ID]) })
}

// name gives a kernel one that no other of the baseline has: as short as its ref
// lets it, so that it stays the same when the ref moves on.
func (b *Baseline) name(c results.Cell) string {
	used := func(name string) bool {
		return slices.ContainsFunc(b.Cells, func(o results.CellRows) bool { return o.ID == name })
	}
	suffix := ""
	if c.Variant != "" && c.Variant != "default" {
		suffix = "+" + c.Variant
	}
	var names []string
	if !strings.ContainsAny(c.Kernel.Ref, "*") && !strings.Contains(c.Kernel.Ref, "..") {
		names = append(names, strings.TrimPrefix(c.Kernel.Ref, "debian:")) // others name several kernels
	}
	names = append(names, c.Kernel.VersionName())
	for i := range names {
		names[i] = safe(names[i] + suffix)
		if names[i] != "" && !used(names[i]) {
			return names[i]
		}
	}
	last := cmp.Or(names[len(names)-1], "kernel")
	for n := 2; ; n++ {
		if name := fmt.Sprintf("%s_%d", last, n); !used(name) {
			return name
		}
	}
}

// maxColumn bounds the name of a kernel in bytes.
const maxColumn = 100

// columnName is how kernels may be named.
var columnName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.+~_-]*$`)

// safe turns text into a name that columnName allows, or "".
func safe(text string) string {
	text = strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', strings.ContainsRune(".+~-", r):
			return r
		}
		return '_'
	}, text)
	text = strings.TrimLeft(text, ".+~_-")
	return text[:min(len(text), maxColumn)]
}

// familyName is how families may be called, each of which is a file.
var familyName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.+@=-]*$`)

// probeFamily is the family of a probe, or an error where it cannot name a file.
func probeFamily(probe string) (string, error) {
	family, rest, ok := strings.Cut(probe, "/")
	row := observe.Row{Name: probe + "/x.x", Kind: observe.Text}
	if !ok || rest == "" || row.Check() != nil || !familyName.MatchString(family) {
		return "", fmt.Errorf("%q is no name of a probe: write family/probe", probe)
	}
	return family, nil
}

// families are the probes of the baseline by family.
func (b *Baseline) families() (map[string][]string, error) {
	all := map[string]bool{}
	for _, c := range b.Cells {
		for _, p := range c.Probes {
			all[p.Name] = true
		}
	}
	out := map[string][]string{}
	for _, probe := range slices.Sorted(maps.Keys(all)) {
		family, err := probeFamily(probe)
		if err != nil {
			return nil, err
		}
		out[family] = append(out[family], probe)
	}
	return out, nil
}
