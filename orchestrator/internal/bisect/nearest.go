package bisect

import (
	"cmp"
	"slices"
)

// nearestNames is how many are worth naming.
const nearestNames = 3

// Nearest returns those of names that take the fewest edits to become name, the
// nearest first.
func Nearest(name string, names []string) []string {
	far := map[string]int{}
	for _, n := range names {
		far[n] = edits(name, n)
	}
	out := slices.Clone(names)
	slices.SortStableFunc(out, func(a, b string) int { return cmp.Compare(far[a], far[b]) })
	return out[:min(len(out), nearestNames)]
}

// edits is how many bytes must be put in, taken out or replaced to make b of a.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
