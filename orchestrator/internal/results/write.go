package results

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-multierror"

	"github.com/ctmatrix/ctmatrix/guest/observe"
)

// Names of the files in a run directory, and of the link to the latest run.
const (
	PlanFile    = "run.json"
	CellFile    = "cell.json"
	RowsFile    = "rows.jsonl"
	ConsoleFile = "console.log"
	KernelFile  = "kernel.log"
	Latest      = "latest"
)

// stamp names run directories: sortable, in UTC, without a colon, which is not
// allowed in file names everywhere.
const stamp = "20060102T150405Z"

// Run is a run directory that is being written.
type Run struct {
	dir  string
	mu   sync.Mutex
	plan Plan
}

// Create makes the directory of a run below out, named after now, with the plan
// and one empty directory a cell, and points out/latest at it. The directory is
// a run that can be read from that moment on, with every cell missing.
func Create(out string, plan Plan, now time.Time) (*Run, error) {
	plan.Format, plan.Started, plan.Finished = Format, now.UTC(), time.Time{}
	plan.Cells = slices.Clone(plan.Cells)
	nameCells(plan.Cells)
	if err := os.MkdirAll(out, 0o777); err != nil {
		return nil, fmt.Errorf("create run directory: %w", err)
	}
	dir, err := makeRunDir(out, now)
	if err != nil {
		return nil, fmt.Errorf("create run directory: %w", err)
	}
	for _, c := range plan.Cells {
		if err := os.Mkdir(filepath.Join(dir, c.Dir), 0o777); err != nil {
			return nil, fmt.Errorf("create cell directory: %w", err)
		}
	}
	r := &Run{dir: dir, plan: plan}
	if err := writeJSON(filepath.Join(dir, PlanFile), r.plan); err != nil {
		return nil, err
	}
	if err := link(out, filepath.Base(dir)); err != nil {
		return nil, fmt.Errorf("point %s at the run: %w", filepath.Join(out, Latest), err)
	}
	return r, nil
}

// makeRunDir makes a new directory: two runs of one second get different ones.
func makeRunDir(out string, now time.Time) (string, error) {
	base := filepath.Join(out, now.UTC().Format(stamp))
	dir := base
	for n := 2; ; n++ {
		err := os.Mkdir(dir, 0o777)
		if !errors.Is(err, os.ErrExist) || n > 1000 {
			return dir, err
		}
		dir = fmt.Sprintf("%s-%d", base, n)
	}
}

// link puts the latest link in its place by rename, so that it never dangles
// and is never gone.
func link(out, target string) error {
	tmp := filepath.Join(out, "."+Latest+"-"+target)
	if err := os.Symlink(target, tmp); err != nil {
		return err
	}
	if err := os.Rename(tmp, filepath.Join(out, Latest)); err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	return nil
}

// Dir returns the run's directory.
func (r *Run) Dir() string { return r.dir }

// Cells returns how many cells the plan has.
func (r *Run) Cells() int { return len(r.plan.Cells) }

// Finish notes in the plan when the run ended. All cells should be finished.
func (r *Run) Finish(now time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.plan.Finished = now.UTC()
	return writeJSON(filepath.Join(r.dir, PlanFile), r.plan)
}

// Cell returns the writer of the i-th planned cell. Writers of different cells
// may be used concurrently.
func (r *Run) Cell(i int) (*CellWriter, error) {
	dir := filepath.Join(r.dir, r.plan.Cells[i].Dir)
	console, err := os.Create(filepath.Join(dir, ConsoleFile))
	if err != nil {
		return nil, fmt.Errorf("create console log: %w", err)
	}
	return &CellWriter{dir: dir, console: console}, nil
}

// CellWriter writes one cell's directory. It is not safe for concurrent use,
// save that Console may be written to while the rest is idle.
type CellWriter struct {
	dir     string
	console *os.File
}

// Dir returns the cell's directory, for captures and the like.
func (w *CellWriter) Dir() string { return w.dir }

// Console takes what the guest's console says, as it comes: an interrupted run
// keeps it. Writing after Finish or Abort is an error.
func (w *CellWriter) Console() io.Writer { return w.console }

// Abort closes the writer and leaves the cell missing.
func (w *CellWriter) Abort() error {
	if err := w.console.Close(); err != nil {
		return fmt.Errorf("close console log: %w", err)
	}
	return nil
}

// Finish writes the cell's result and closes the writer. The rows need not be
// sorted. cell.json comes last: a cell without it did not finish.
func (w *CellWriter) Finish(cell Cell, rows []observe.Row) error {
	var errs *multierror.Error
	errs = multierror.Append(errs, w.Abort())
	lines, err := marshalRows(rows)
	if err != nil {
		return multierror.Append(errs, err)
	}
	for _, f := range []struct {
		name string
		data []byte
	}{{KernelFile, kernelLog(cell)}, {RowsFile, lines}} {
		if err := replace(filepath.Join(w.dir, f.name), f.data); err != nil {
			return multierror.Append(errs, err)
		}
	}
	errs = multierror.Append(errs, writeJSON(filepath.Join(w.dir, CellFile), cell))
	return errs.ErrorOrNil()
}

// marshalRows returns rows in the form of rows.jsonl, sorted by name.
func marshalRows(rows []observe.Row) ([]byte, error) {
	rows = slices.Clone(rows)
	slices.SortFunc(rows, func(a, b observe.Row) int { return cmp.Compare(a.Name, b.Name) })
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	for i, row := range rows {
		if err := row.Check(); err != nil {
			return nil, err
		}
		if i > 0 && rows[i-1].Name == row.Name {
			return nil, fmt.Errorf("row %s twice", row.Name)
		}
		if err := enc.Encode(row); err != nil {
			return nil, fmt.Errorf("encode row %s: %w", row.Name, err)
		}
	}
	return buf.Bytes(), nil
}

// kernelLog returns what the kernel said while probes ran, a line each, behind
// the time since boot and the probe.
func kernelLog(cell Cell) []byte {
	var buf bytes.Buffer
	for _, p := range cell.Probes {
		for _, l := range p.Log {
			fmt.Fprintf(&buf, "[%5d.%06d] <%d> %s: %s\n", l.AtUS/1e6, l.AtUS%1e6, l.Level, p.Name,
				strings.ReplaceAll(l.Text, "\n", `\n`))
		}
	}
	return buf.Bytes()
}

func writeJSON(path string, v any) error {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("encode %s: %w", path, err)
	}
	return replace(path, buf.Bytes())
}

// replace puts data in the place of the file at once: a reader sees the old
// content or the new, never a part.
func replace(path string, data []byte) (err error) {
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("write %s: %w", path, err), os.Remove(tmp.Name()))
		}
	}()
	_, err = tmp.Write(data)
	if err = errors.Join(err, tmp.Chmod(0o644), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}

// nameCells gives each cell a directory name that is safe on any file system
// and says which kernel and variant it is.
func nameCells(cells []Planned) {
	used := map[string]bool{}
	for i := range cells {
		c := &cells[i]
		name := safeName(cmp.Or(c.Kernel.Label, c.Kernel.Release, c.Kernel.Ref, "kernel"))
		if v := safeName(c.Variant); v != "" && v != "default" {
			name += "+" + v
		}
		c.Dir = name
		for n := 2; used[strings.ToLower(c.Dir)]; n++ {
			c.Dir = fmt.Sprintf("%s_%d", name, n)
		}
		used[strings.ToLower(c.Dir)] = true
	}
}

const maxSafeName = 80

func safeName(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9',
			r == '.', r == '-', r == '_', r == '+', r == '~':
			return r
		}
		return '_'
	}, s)
	s = strings.TrimLeft(s, ".-~")
	return s[:min(len(s), maxSafeName)]
}
