package e2e

import (
	"bytes"
	"html"
	"strings"
	"testing"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/render"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/table"
)

// TestRealHTML lays out what two kernels really say: every row has its place and
// its values, and what a kernel logged is told.
func TestRealHTML(t *testing.T) {
	real(t)
	r, _ := run(t, "--probe", "table-full/syn*")
	tb := table.New(r.Cells, r.Plan.Probes)
	var buf bytes.Buffer
	detail := render.Detail{Tool: r.Plan.Tool, Command: r.Plan.Argv, Started: r.Plan.Started}
	if err := render.HTML(&buf, tb, render.Summary{Dir: r.Dir}, detail); err != nil {
		t.Fatal(err)
	}
	page := buf.String()
	if len(tb.Rows) < 10 {
		t.Fatalf("%d rows", len(tb.Rows))
	}
	for _, row := range tb.Rows {
		_, part, found := strings.Cut(page, `<tr id="row=`+html.EscapeString(row.Name)+`">`)
		if !found {
			t.Errorf("no row %s", row.Name)
			continue
		}
		part, _, _ = strings.Cut(part, "</tr>")
		for _, v := range row.Values {
			if !strings.Contains(html.UnescapeString(part), "<code>"+observe.Escape(v.Text)+"</code>") {
				t.Errorf("%s: %q is not in %s", row.Name, v.Text, part)
			}
		}
	}
	logged := 0
	for _, c := range r.Cells {
		for _, p := range c.Probes {
			for _, l := range p.Log {
				logged++
				if !strings.Contains(html.UnescapeString(page), observe.Escape(l.Text)) {
					t.Errorf("%s: the log of %s is not told: %q", c.Kernel.Label, p.Name, l.Text)
				}
			}
		}
	}
	if logged == 0 {
		t.Error("no kernel logged that its table was full")
	}
}
