package probe

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
)

// tally counts things by their canonical text.
type tally map[string]int

func newTally() tally { return tally{} }

func (t tally) add(what string) { t[what]++ }

// String is "none", or "7 tcp SYN_SENT unreplied, 3 …", sorted by text so that
// the order in which the kernel lists things cannot show.
func (t tally) String() string {
	return t.join(func(n int, what string) string { return fmt.Sprintf("%d %s", n, what) })
}

// Words is String without the number of what there is one of.
func (t tally) Words() string {
	return t.join(func(n int, what string) string {
		if n == 1 {
			return what
		}
		return fmt.Sprintf("%d %s", n, what)
	})
}

func (t tally) join(part func(n int, what string) string) string {
	if len(t) == 0 {
		return "none"
	}
	var parts []string
	for what := range t {
		parts = append(parts, what)
	}
	slices.Sort(parts)
	for i, what := range parts {
		parts[i] = part(t[what], what)
	}
	return strings.Join(parts, ", ")
}

// classes counts the classes that meters saw.
func classes(meters map[string]uint64) tally {
	t := newTally()
	for _, class := range lab.ClassNames() {
		if n := meters["class."+class]; n > 0 {
			t[class] = int(n)
		}
	}
	return t
}

// classTally names the classes that were seen, in the order of ct state.
func classTally(meters map[string]uint64) string {
	var parts []string
	for _, class := range lab.ClassNames() {
		if n := meters["class."+class]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, class))
		}
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}

// runs folds neighbours that are equal: "3 new, destroy".
func runs(items []string) string {
	if len(items) == 0 {
		return "none"
	}
	var parts []string
	for i := 0; i < len(items); {
		j := i
		for j < len(items) && items[j] == items[i] {
			j++
		}
		part := items[i]
		if j-i > 1 {
			part = fmt.Sprintf("%d %s", j-i, part)
		}
		parts = append(parts, part)
		i = j
	}
	return strings.Join(parts, ", ")
}
