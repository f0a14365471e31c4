package render

import (
	"encoding/csv"
	"io"
	"slices"
	"strings"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/table"
)

// CSV writes all rows of a table, those of chance too: a line for each under one
// header line, with its kind and then its value on each kernel. What was not
// recorded stands in parentheses, with the reason: "(unsupported: no module)". Lines
// end as RFC 4180 has it. A field that a spreadsheet would take for a formula gets
// an apostrophe in front.
func CSV(w io.Writer, t *table.Table) error {
	out := csv.NewWriter(w)
	out.UseCRLF = true
	header := []string{"row", "kind"}
	for _, c := range t.Columns {
		header = append(header, c.Label)
	}
	lines := [][]string{}
	for _, row := range t.Rows {
		line := []string{row.Name, kindsOf(row)}
		for _, v := range row.Values {
			line = append(line, csvValue(v))
		}
		lines = append(lines, line)
	}
	for _, row := range t.Chance {
		line := []string{row.Row, string(observe.Chance)}
		for _, counts := range row.Counts {
			line = append(line, strings.Join(counts, ", "))
		}
		lines = append(lines, line)
	}
	slices.SortStableFunc(lines, func(a, b []string) int { return strings.Compare(a[0], b[0]) })
	for _, line := range slices.Insert(lines, 0, header) {
		for i := range line {
			line[i] = guarded(line[i])
		}
		if err := out.Write(line); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

func csvValue(v table.Value) string {
	if v.Status == table.Recorded {
		return v.Text
	}
	return "(" + valueText(v) + ")"
}

// kindsOf is a row's kind: one, unless kernels disagree on what it is.
func kindsOf(row table.Row) string {
	var kinds []string
	for _, v := range row.Values {
		if v.Kind != "" && !slices.Contains(kinds, string(v.Kind)) {
			kinds = append(kinds, string(v.Kind))
		}
	}
	return strings.Join(kinds, " or ")
}

// formula begins what spreadsheets compute instead of showing it.
const formula = "=+-@\t\r\n＝＋－＠"

// guarded is a text that no spreadsheet computes and no terminal acts on.
func guarded(text string) string {
	if strings.IndexAny(strings.TrimLeft(text, " "), formula) == 0 {
		return "'" + observe.Escape(text)
	}
	return observe.Escape(text)
}
