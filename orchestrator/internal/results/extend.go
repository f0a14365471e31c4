package results

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// Extend adds cells to the plan of a run that decides as it goes what to run
// next, and returns a Writer for these alone: they count from 0 there. It must not
// be called while cells are written, and the run is finished with w.
func (w *Writer) Extend(cells []Planned) (*Writer, error) {
	all := slices.Concat(w.plan.Cells, cells)
	nameCells(all) // the same names again for those that have one
	part := &Writer{dir: w.dir, plan: w.plan}
	part.plan.Cells = all[len(w.plan.Cells):]
	for i := range part.plan.Cells {
		if err := os.Mkdir(part.CellDir(i), 0o777); err != nil {
			return nil, fmt.Errorf("create cell directory: %w", err)
		}
	}
	w.plan.Cells = all
	return part, writeJSON(filepath.Join(w.dir, PlanFile), w.plan)
}
