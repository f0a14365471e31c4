package render

import (
	"bytes"
	"io"
	"testing"

	"github.com/ctmatrix/ctmatrix/orchestrator/internal/beside"
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

// A kernel of one's own may be called anything, and so may its modules.
func TestBuildsAreEscaped(t *testing.T) {
	b := Builds{
		From: Build{Ref: "dir:a", Version: "6.9.1", Release: "6.9.1\x1b[2J", Options: 2, Modules: 1},
		To:   Build{Ref: "dir:b", Version: "6.9.2", Release: "6.9.2", Options: 1, Modules: 1},
		Options: []beside.Difference{
			{Kind: beside.Option, Name: "CONFIG_CMDLINE", From: "\"a\x1b[31mb\"", To: beside.Absent},
			{Kind: beside.Option, Name: "CONFIG_NF_CT_PROTO_DCCP", From: "y", To: "n"},
		},
		Modules: []beside.Difference{{Kind: beside.Module, Name: "nf\nnat", From: beside.Absent, To: "module"}},
	}
	got := written(t, func(w io.Writer) error { return BuildsText(w, b, Options{Width: 60}) })
	golden(t, "builds.60.txt", got)
	fits(t, got, 60)
	golden(t, "builds.json", written(t, func(w io.Writer) error { return BuildsJSON(w, b) }))

	b.To.Options, b.Options = 0, nil // of a configuration that is not known nothing is said
	golden(t, "builds.unknown.60.txt", written(t, func(w io.Writer) error { return BuildsText(w, b, Options{Width: 60}) }))
}
