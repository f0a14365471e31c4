package render

import (
	"fmt"
	"slices"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/table"
)

// htmlData is what the picture is drawn from. It holds no values: their texts
// stand in the parts of the probes, where the script finds them by row and code.
// What holds the same values on the same kernels shares a pattern, which is what
// most rows do.
type htmlData struct {
	Columns    []string       `json:"columns"`
	Series     []htmlSeries   `json:"series"`
	Statuses   []table.Status `json:"statuses"` // of the codes -1, -2, …
	Signs      []string       `json:"signs"`    // parallel to statuses
	Boundaries []string       `json:"boundaries"`
	// Patterns are pairs of a code and on how many columns that follow each other.
	Patterns [][]int         `json:"patterns"`
	Probes   []htmlDataProbe `json:"probes"`
}

// htmlSeries is columns that belong to one branch, from First on.
type htmlSeries struct {
	Name  string `json:"name"`
	First int    `json:"first"`
}

type htmlDataProbe struct {
	Name string `json:"name"`
	// Rows are each a label, "" of the probe as a whole, the index of a pattern,
	// flags, and the indexes of the boundaries over which it changes.
	Rows [][]any `json:"rows"`
}

// The flags of a row.
const (
	rowChanged = 1 << iota
	rowOpen    // it changes, and notes do not explain it
	rowTrouble // it has a value that could not be compared
)

// silentStatuses are what stands where no value does, by code from -1 down.
var silentStatuses = []table.Status{
	table.Unsupported, table.Broken, table.Crashed, table.Missing, table.Absent, table.Unstable,
}

// silentSigns mark them, so that no look rests on colour alone.
var silentSigns = []string{"–", "!", "✕", "·", "∅", "~"}

// rowLook tells which columns of a row look the same.
type rowLook struct {
	codes  []int // by column: the number of the value, or below zero a status
	values []table.Value
}

func lookOf(row table.Row) rowLook {
	var l rowLook
	for _, v := range row.Values {
		if at := slices.Index(silentStatuses, v.Status); at >= 0 {
			l.codes = append(l.codes, -1-at)
			continue
		}
		at := slices.IndexFunc(l.values, v.Equal)
		if at < 0 {
			at = len(l.values)
			l.values = append(l.values, v)
		}
		l.codes = append(l.codes, at)
	}
	return l
}

// mark is the letter of a value, or the sign of what is in its place.
func mark(code int) string {
	if code < 0 {
		return silentSigns[-1-code]
	}
	return letter(code)
}

// valueLooks is how many looks there are for values beside that of the first;
// where a row has more, they come again and letters tell them apart.
const valueLooks = 7

// lookClass is the class of a value's look.
func lookClass(code int) string {
	switch {
	case code < 0:
		return string(silentStatuses[-1-code])
	case code == 0:
		return "v0"
	}
	return fmt.Sprintf("v%d", 1+(code-1)%valueLooks)
}

// pairs writes codes as runs: code, length, code, length.
func pairs(codes []int) []int {
	out := []int{}
	for _, c := range codes {
		if n := len(out); n > 0 && out[n-2] == c {
			out[n-1]++
			continue
		}
		out = append(out, c, 1)
	}
	return out
}

// picture lays out all rows, and each probe as a whole that was not recorded
// everywhere.
func (v *htmlView) picture() htmlData {
	d := htmlData{
		Columns: []string{}, Series: []htmlSeries{}, Boundaries: []string{}, Patterns: [][]int{}, Probes: []htmlDataProbe{},
		Statuses: silentStatuses, Signs: silentSigns,
	}
	for i, c := range v.t.Columns {
		d.Columns = append(d.Columns, observe.Escape(c.Label))
		if i == 0 || !v.t.SameSeries(i-1, i) {
			d.Series = append(d.Series, htmlSeries{observe.Escape(v.seriesName(i)), i})
		}
	}
	d.Boundaries = append(d.Boundaries, escaped(v.boundaries)...)
	p := pictured{htmlData: &d, htmlView: v, patterns: map[string]int{}}
	for _, probe := range v.t.Probes {
		dp := htmlDataProbe{Name: observe.Escape(probe.Name), Rows: [][]any{}}
		for _, row := range v.rows[probe.Name] {
			label := ""
			if row.Name != probe.Name {
				label = observe.Escape(rowLabel(row))
			}
			dp.Rows = append(dp.Rows, p.row(row, label))
		}
		d.Probes = append(d.Probes, dp)
	}
	return d
}

// pictured is an htmlData being filled.
type pictured struct {
	*htmlData
	*htmlView
	patterns map[string]int // index of each
}

func (p *pictured) row(row table.Row, label string) []any {
	runs := pairs(lookOf(row).codes)
	key := fmt.Sprint(runs)
	pattern, known := p.patterns[key]
	if !known {
		pattern = len(p.Patterns)
		p.patterns[key] = pattern
		p.Patterns = append(p.Patterns, runs)
	}
	flags := 0
	if slices.ContainsFunc(row.Values, func(v table.Value) bool { return !v.Status.Behaviour() }) {
		flags |= rowTrouble
	}
	c, changed := p.changed[row.Name]
	if !changed {
		return []any{label, pattern, flags}
	}
	flags |= rowChanged
	if !c.Explained() {
		flags |= rowOpen
	}
	return []any{label, pattern, flags, p.boundariesOf(c)}
}
