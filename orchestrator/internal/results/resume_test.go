package results

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Only one process writes to a run directory, and the next may as soon as it is
// gone.
func TestRunIsLocked(t *testing.T) {
	w := write(t, t.TempDir())
	if _, _, err := Resume(w.Dir()); !errors.Is(err, ErrBusy) {
		t.Fatalf("while it runs: %v", err)
	}
	if _, err := Open(w.Dir()); err != nil {
		t.Errorf("it cannot be read meanwhile: %v", err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	again, _, err := Resume(w.Dir())
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := Resume(w.Dir()); !errors.Is(err, ErrBusy) {
		t.Errorf("while it goes on: %v", err)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
}

// What there is stays, what was half written goes, and the plan says what
// happened.
func TestResume(t *testing.T) {
	w := write(t, t.TempDir())
	if err := errors.Join(w.Finish(began.Add(time.Minute)), w.Close()); err != nil {
		t.Fatal(err)
	}
	half := filepath.Join(w.CellDir(1), "."+CellFile+"-123")
	if err := os.WriteFile(half, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(w.CellDir(2)); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(filepath.Join(w.CellDir(0), RowsFile))
	if err != nil {
		t.Fatal(err)
	}

	w, run, err := Resume(w.Dir())
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if len(run.Cells) != 3 || run.Cells[0].Outcome != CellOK || run.Cells[1].Outcome != CellMissing {
		t.Errorf("there is %+v", run.Cells)
	}
	at := began.Add(time.Hour)
	if err := w.Continue(at); err != nil {
		t.Fatal(err)
	}
	c, rows := cell(w.Plan().Cells[2])
	if err := w.Put(2, c, rows); err != nil {
		t.Fatal(err)
	}
	console, err := w.MoreConsole(0)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(second(console.Write([]byte("going on\n"))), console.Close()); err != nil {
		t.Fatal(err)
	}
	run = must[*Run](t)(Open(w.Dir()))
	if run.Plan.Finished != nil || len(run.Plan.Resumed) != 1 || !run.Plan.Resumed[0].Equal(at) || !run.Plan.Started.Equal(began) {
		t.Errorf("the plan says %v, %v, %v", run.Plan.Started, run.Plan.Resumed, run.Plan.Finished)
	}
	if run.Cells[2].Outcome != CellOK {
		t.Errorf("the cell that was gone is %s", run.Cells[2].Outcome)
	}
	if _, err := os.Stat(half); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what was half written is there: %v", err)
	}
	after, err := os.ReadFile(filepath.Join(w.CellDir(0), RowsFile))
	if err != nil || string(after) != string(before) {
		t.Errorf("rows were %q and are %q, %v", before, after, err)
	}
	text, err := os.ReadFile(filepath.Join(w.CellDir(0), ConsoleFile))
	if err != nil || string(text) != "booting\ngoing on\n" {
		t.Errorf("console %q, %v", text, err)
	}
}
