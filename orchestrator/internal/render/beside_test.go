package render

import (
	"bytes"
	"io"
	"testing"

	"github.com/ctmatrix/ctmatrix/orchestrator/internal/notes"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/table"
)

// What goes with explained changes is told once for all of them, and of a
// difference between two kernels below each row.
func TestBeside(t *testing.T) {
	s := configured(t)
	s.cells[2].Config = s.cells[3].Config // 6.12's, of 6.1
	tab := s.table()
	tab.Book = table.Book{Notes: []notes.Note{{
		Rows: []string{"enable/flowtable*", "events/default", "limits/defaults", "proto/dccp-life"}, Reason: "Much happened",
		Since: map[string]notes.Point{notes.Mainline: {With: "6.0"}, "7.3": {With: "7.3"}}, File: "notes.yaml", Line: 1,
	}}}
	var b bytes.Buffer
	if err := Text(&b, tab, summary, Options{Width: 80}); err != nil {
		t.Fatal(err)
	}
	golden(t, "configured.explained.80.txt", b.Bytes())
	fits(t, b.Bytes(), 80)

	d := table.Diff(table.New(s.cells[1:2], heads), table.New(s.cells[:1], heads)) // 5.10 and 7.3
	golden(t, "diff.configured.80.txt", written(t, func(w io.Writer) error { return DiffText(w, d, Options{}) }))
	golden(t, "diff.configured.json", written(t, func(w io.Writer) error { return DiffJSON(w, d) }))
}
