package results

import (
	"errors"
	"io/fs"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A run that grows is read at any time, keeps the names of its cells, and ends as
// one that was planned at once.
func TestExtend(t *testing.T) {
	all := plan().Cells
	p := plan()
	p.Cells = nil
	w, err := Create(t.TempDir(), "grows", p)
	if err != nil {
		t.Fatal(err)
	}
	if run, err := Open(w.Dir()); err != nil || len(run.Cells) != 0 {
		t.Fatalf("empty run: %v, %v", run, err)
	}
	for _, planned := range [][]Planned{all[:1], {all[0], all[1], all[2]}} {
		before := len(w.Plan().Cells)
		part, err := w.Extend(planned)
		if err != nil {
			t.Fatal(err)
		}
		for i, p := range planned {
			c, rows := cell(p)
			if err := part.Put(i, c, rows); err != nil {
				t.Fatal(err)
			}
			if got, want := part.CellDir(i), w.CellDir(before+i); got != want {
				t.Errorf("cell %d is in %s, want %s", i, got, want)
			}
		}
	}
	if err := w.Finish(began); err != nil {
		t.Fatal(err)
	}
	run, err := Open(w.Dir())
	if err != nil {
		t.Fatal(err)
	}
	var dirs []string
	for _, c := range run.Cells {
		dirs = append(dirs, c.Dir)
		if c.Outcome != CellOK || len(c.Rows) != 2 {
			t.Errorf("cell %s is %s with %d rows", c.Dir, c.Outcome, len(c.Rows))
		}
	}
	if diff := cmp.Diff([]string{"6.1.192", "6.1.192_2", "6.12.117", "6.12.117+legacy"}, dirs); diff != "" || run.Plan.Finished == nil {
		t.Errorf("finished %v, directories (-want +got):\n%s", run.Plan.Finished, diff)
	}
	w.dir = filepath.Join(w.dir, "gone")
	if _, err := w.Extend(all[:1]); !errors.Is(err, fs.ErrNotExist) || len(w.Plan().Cells) != 4 {
		t.Errorf("error %v, %d cells planned", err, len(w.Plan().Cells))
	}
}
