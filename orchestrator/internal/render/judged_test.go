package render

import (
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/notes"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/table"
)

// judgements are runs against what was blessed: with all there is to tell, the same
// as it was, without a kernel that was blessed, and hostile.
func judgements(t *testing.T) map[string]*table.Judgement {
	all := func(string) bool { return true }
	blessed := newSample(t, "5.10.262-1", "6.1.192-2", "6.12.117-1", "7.3.4-1")
	blessed.cells[3].Probes = deleteProbe(blessed.cells[3].Probes, "loose/off")
	blessed.outcome("loose/off", observe.Missing, "", 3)
	run := later(t)
	run.cells = append(run.cells, newSample(t, "6.6.9-1").set("loose/on/ack.entry", "6 tcp", 0).cells...)
	run.cells[3] = newSample(t, "7.3.4-1").set("loose/on/ack.raw", "11", 0).cells[0]
	moved := run.table()
	moved.Book = table.Book{
		Day: time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC),
		Notes: []notes.Note{{
			Rows: []string{"loose/on"}, Since: map[string]notes.Point{"6.1": {With: "6.1.195"}},
			Reason: "a stray ACK is left alone", Commit: "netfilter: leave it alone", File: "notes.yaml", Line: 3,
		}},
	}
	same := newSample(t, "5.10.262-1", "6.1.192-2")
	return map[string]*table.Judgement{
		"judged":         table.Judge(table.New(blessed.cells, nil), moved, all),
		"judged.same":    table.Judge(table.New(same.cells, nil), same.table(), all),
		"judged.none":    table.Judge(table.New(same.cells, nil), newSample(t, "7.3.4-1").table(), all),
		"judged.hostile": table.Judge(newSample(t, "6.1.192-2", "6.12.117-1").table(), hostile(t).table(), all),
	}
}

func TestJudged(t *testing.T) {
	for name, j := range judgements(t) {
		told := Judged{Summary: summary, Blessed: "baseline"}
		for suffix, o := range map[string]Options{".80": {}, ".120": {Width: 120}, ".80.color": {Color: true}} {
			got := written(t, func(w io.Writer) error { return JudgedText(w, j, told, o) })
			golden(t, name+suffix+".txt", got)
			if !o.Color {
				fits(t, got, max(o.Width, 80))
			}
		}
		got := written(t, func(w io.Writer) error { return JudgedJSON(w, j, told) })
		golden(t, name+".json", got)
		whole := written(t, func(w io.Writer) error { return JudgedRunJSON(w, j, told) })
		var back JudgedReport
		var run Report
		for data, into := range map[string]any{string(got): &back, string(whole): &run} {
			dec := json.NewDecoder(strings.NewReader(data))
			dec.DisallowUnknownFields()
			if err := dec.Decode(into); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if run.Against == nil || !reflect.DeepEqual(*run.Against, back) || len(run.Columns) != len(j.B.Columns) {
			t.Errorf("%s: the run's report has %d kernels and not what it differs in", name, len(run.Columns))
		}
	}
	j := judgements(t)["judged"]
	got := written(t, func(w io.Writer) error {
		return JudgedText(w, j, Judged{Blessed: "baseline", Neighbours: true}, Options{})
	})
	golden(t, "judged.neighbours.txt", got)
}

func TestBlessed(t *testing.T) {
	for name, j := range judgements(t) {
		back := table.Judge(j.B, j.A, nil)
		for suffix, o := range map[string]Options{".80": {}, ".80.color": {Color: true}} {
			got := written(t, func(w io.Writer) error { return BlessedText(w, j, back, "baseline", name == "judged.same", o) })
			golden(t, "blessed."+name+suffix+".txt", got)
			if !o.Color {
				fits(t, got, 80)
			}
		}
	}
	first := newSample(t, "6.1.192-2").table()
	j := table.Judge(table.New(nil, nil), first, nil)
	golden(t, "blessed.first.80.txt", written(t, func(w io.Writer) error {
		return BlessedText(w, j, table.Judge(first, j.A, nil), "baseline", false, Options{})
	}))
}

func TestJudgedWriteErrorsArePassedOn(t *testing.T) {
	want := errors.New("disk full")
	cells := []results.CellRows{newSample(t, "6.1.192-2").cells[0]}
	j := table.Judge(table.New(cells, nil), table.New(cells, nil), nil)
	for name, f := range map[string]func(io.Writer) error{
		"text":    func(w io.Writer) error { return JudgedText(w, j, Judged{}, Options{}) },
		"json":    func(w io.Writer) error { return JudgedJSON(w, j, Judged{}) },
		"runjson": func(w io.Writer) error { return JudgedRunJSON(w, j, Judged{}) },
		"blessed": func(w io.Writer) error { return BlessedText(w, j, j, "b", false, Options{}) },
	} {
		if err := f(failing{want}); !errors.Is(err, want) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}
