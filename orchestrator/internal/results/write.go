package results

import (
	"errors"
	"io"
	"time"

	"github.com/ctmatrix/ctmatrix/guest/observe"
)

var errUnfinished = errors.New("not implemented")

// Writer fills a run directory. Every file but the logs is replaced as a whole,
// so a reader sees the old or the new one at any time. Cells may be written
// concurrently, one goroutine for each; Finish comes after all of them.
type Writer struct {
	dir  string
	plan Plan
}

// Create makes root/name, or root/name-2 and so on where that is there, writes
// the plan, and points root/latest at it. An empty name stands for the time at
// which the plan was started. The plan's Schema and Dirs need not be set.
func Create(root, name string, plan Plan) (*Writer, error) { return nil, errUnfinished }

// Dir is the path of the run directory.
func (w *Writer) Dir() string { return w.dir }

// Plan is the plan as it was written.
func (w *Writer) Plan() Plan { return w.plan }

// Put writes cell.json and rows.jsonl of the i-th cell of the plan. It may be
// called again as more comes in: as long as the outcome is CellMissing the
// cell counts as under way. Rows are sorted here; the cell's probes must count
// them right.
func (w *Writer) Put(i int, cell Cell, rows []observe.Row) error { return errUnfinished }

// Console opens console.log of the i-th cell anew. What is written is in the
// file at once. The caller closes it.
func (w *Writer) Console(i int) (io.WriteCloser, error) { return nil, errUnfinished }

// KernelLog opens kernel.log of the i-th cell, like Console.
func (w *Writer) KernelLog(i int) (io.WriteCloser, error) { return nil, errUnfinished }

// Finish writes down that the run ended at the given time.
func (w *Writer) Finish(at time.Time) error { return errUnfinished }
