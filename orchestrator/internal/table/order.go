package table

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
)

// Edges are the neighbours: every column but the first of its lane, with its
// parent, in the order of columns. Kernels form a tree: releases of a stable
// series follow each other, and a series hangs from the first release, as far
// as the table has it, of the series before. So a fix that was backported shows
// where it went in, not between the end of one series and the start of the
// next. Builds of another architecture or flavour hang from each other's first.
func (t *Table) Edges() []Edge { return t.edges(t.all()) }

func (t *Table) all() []int {
	all := make([]int, len(t.Columns))
	for i := range all {
		all[i] = i
	}
	return all
}

// edges is Edges in the table that has only the given columns, in order.
func (t *Table) edges(columns []int) []Edge {
	var out []Edge
	for at := 1; at < len(columns); at++ {
		to := columns[at]
		if from, ok := t.before(columns[:at], to); ok {
			out = append(out, Edge{From: from, To: to})
		}
	}
	return out
}

// before returns the column that comes before col in the tree. The last of the
// earlier columns is in col's series, or in the series before.
func (t *Table) before(earlier []int, col int) (int, bool) {
	last := earlier[len(earlier)-1]
	a, b := &t.Columns[last].Cell, &t.Columns[col].Cell
	if a.Variant != b.Variant {
		return 0, false
	}
	same := sameSeries
	switch {
	case sameSeries(a, b):
		return last, true
	case !sameBuild(a, b):
		same = func(x, y *results.Cell) bool { return sameBuild(x, y) && x.Variant == y.Variant }
	}
	first := last
	for _, c := range slices.Backward(earlier) {
		if !same(&t.Columns[c].Cell, a) {
			break
		}
		first = c
	}
	return first, true
}

// sameBuild reports whether two kernels are of the same architecture and
// flavour.
func sameBuild(a, b *results.Cell) bool {
	return a.Kernel.Arch == b.Kernel.Arch && a.Kernel.Flavour == b.Kernel.Flavour
}

func sameSeries(a, b *results.Cell) bool {
	return a.Variant == b.Variant && sameBuild(a, b) && series(a.Kernel) == series(b.Kernel)
}

func series(k results.Kernel) string { return k.SeriesName() }

func version(k results.Kernel) string { return k.VersionName() }

// sortCells puts what has cells in the order of columns: variants and builds in
// the order in which they come, series by their first release, releases by
// version.
func sortCells[T any](items []T, cell func(T) results.Cell) {
	rank := map[string]int{}
	first := map[string]string{}
	for _, item := range items {
		c := cell(item)
		for _, key := range []string{variantKey(c), buildKey(c)} {
			if _, ok := rank[key]; !ok {
				rank[key] = len(rank)
			}
		}
		key := seriesKey(c)
		if v, ok := first[key]; !ok || results.CompareVersions(version(c.Kernel), v) < 0 {
			first[key] = version(c.Kernel)
		}
	}
	slices.SortStableFunc(items, func(x, y T) int {
		a, b := cell(x), cell(y)
		return cmp.Or(
			cmp.Compare(rank[variantKey(a)], rank[variantKey(b)]),
			cmp.Compare(rank[buildKey(a)], rank[buildKey(b)]),
			results.CompareVersions(first[seriesKey(a)], first[seriesKey(b)]),
			cmp.Compare(series(a.Kernel), series(b.Kernel)),
			results.CompareVersions(version(a.Kernel), version(b.Kernel)),
		)
	})
}

func variantKey(c results.Cell) string { return fmt.Sprintf("%q", c.Variant) }

func buildKey(c results.Cell) string {
	return fmt.Sprintf("%q %q %q", c.Variant, c.Kernel.Arch, c.Kernel.Flavour)
}

func seriesKey(c results.Cell) string { return buildKey(c) + fmt.Sprintf(" %q", series(c.Kernel)) }

// labels names each cell: the kernel's label, or as much more as it takes to
// be unique.
func labels(cells []results.Cell) []string {
	type form func(results.Cell) string
	join := func(parts ...string) string {
		return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), " ")
	}
	short := func(c results.Cell) string { return cmp.Or(c.Kernel.Label, version(c.Kernel)) }
	full := func(c results.Cell) string { return version(c.Kernel) }
	flavour := func(f form) form {
		return func(c results.Cell) string { return join(f(c), c.Kernel.Flavour) }
	}
	arch := func(f form) form { return func(c results.Cell) string { return join(f(c), c.Kernel.Arch) } }
	forms := []form{short, full, flavour(short), flavour(full), arch(flavour(full))}

	variants := map[string]bool{}
	for _, c := range cells {
		variants[c.Variant] = true
	}
	kernels := make([]string, len(cells))
	for i := range cells {
		kernels[i] = full(cells[i]) // where nothing tells two apart, a number does
		for _, f := range forms {
			if uniqueForm(cells, i, f) {
				kernels[i] = f(cells[i])
				break
			}
		}
	}
	used := map[string]int{}
	for i, c := range cells {
		if len(variants) > 1 {
			kernels[i] += "+" + cmp.Or(c.Variant, "default")
		}
		if used[kernels[i]]++; used[kernels[i]] > 1 {
			kernels[i] += fmt.Sprintf("#%d", used[kernels[i]])
		}
	}
	return kernels
}

// uniqueForm reports whether f tells cell i from every other of its variant.
func uniqueForm(cells []results.Cell, i int, f func(results.Cell) string) bool {
	for j, other := range cells {
		if j != i && other.Variant == cells[i].Variant && f(other) == f(cells[i]) {
			return false
		}
	}
	return true
}
