package results

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ctmatrix/ctmatrix/guest/observe"
)

// stamp names run directories: sortable, in UTC, without a colon, which not
// every file system allows.
const stamp = "20060102T150405Z"

// Writer fills a run directory. Every file but the logs is replaced as a whole,
// so a reader sees the old or the new one at any time. Cells may be written
// concurrently, one goroutine for each; Finish comes after all of them.
type Writer struct {
	dir  string
	plan Plan
	lock *os.File // the directory, locked until Close
}

// Create makes root/name, or root/name-2 and so on where that is there, writes
// the plan, and points root/latest at it. An empty name stands for the time at
// which the plan was started. The plan's Schema and Dirs need not be set. From
// then on the directory can be read, with every cell missing.
// The caller closes the Writer.
func Create(root, name string, plan Plan) (_ *Writer, err error) {
	plan.Schema, plan.Started, plan.Finished = Schema, plan.Started.UTC(), nil
	plan.Cells = slices.Clone(plan.Cells)
	nameCells(plan.Cells)
	name = cmp.Or(name, plan.Started.Format(stamp))
	if name != safeBytes(name) || name == LatestLink {
		return nil, fmt.Errorf("create run directory: %q cannot name a run: letters, digits and ._+~- may stand in it", name)
	}
	if err := os.MkdirAll(root, 0o777); err != nil {
		return nil, fmt.Errorf("create run directory: %w", err)
	}
	dir, err := mkdirFree(filepath.Join(root, name))
	if err != nil {
		return nil, fmt.Errorf("create run directory: %w", err)
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			lock.Close() // the first error is the one to tell
		}
	}()
	for _, c := range plan.Cells {
		if err := os.Mkdir(filepath.Join(dir, c.Dir), 0o777); err != nil {
			return nil, fmt.Errorf("create cell directory: %w", err)
		}
	}
	w := &Writer{dir: dir, plan: plan, lock: lock}
	if err := writeJSON(filepath.Join(dir, PlanFile), plan); err != nil {
		return nil, err
	}
	if err := link(root, filepath.Base(dir)); err != nil {
		return nil, fmt.Errorf("point %s at the run: %w", filepath.Join(root, LatestLink), err)
	}
	return w, nil
}

// mkdirFree makes a directory that was not there before: two runs that start
// in one second get two.
func mkdirFree(base string) (string, error) {
	dir := base
	for n := 2; ; n++ {
		err := os.Mkdir(dir, 0o777)
		if !errors.Is(err, os.ErrExist) || n > 1000 {
			return dir, err
		}
		dir = fmt.Sprintf("%s-%d", base, n)
	}
}

// link puts the latest link in its place by rename, so that it is never gone.
func link(root, target string) error {
	tmp := filepath.Join(root, "."+LatestLink+"-"+target)
	if err := os.Symlink(target, tmp); err != nil {
		return err
	}
	if err := os.Rename(tmp, filepath.Join(root, LatestLink)); err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	return nil
}

// Dir is the path of the run directory.
func (w *Writer) Dir() string { return w.dir }

// CellDir is the path of the directory of the i-th cell, for captures and the
// like.
func (w *Writer) CellDir(i int) string { return filepath.Join(w.dir, w.plan.Cells[i].Dir) }

// Plan is the plan as it was written.
func (w *Writer) Plan() Plan { return w.plan }

// Put writes cell.json and rows.jsonl of the i-th cell of the plan. It may be
// called again as more comes in: as long as the outcome is CellMissing the
// cell counts as under way. Rows are sorted here; the cell's probes must count
// them right.
func (w *Writer) Put(i int, cell Cell, rows []observe.Row) error {
	rows = slices.Clone(rows)
	slices.SortFunc(rows, func(a, b observe.Row) int { return cmp.Compare(a.Name, b.Name) })
	lines, err := encodeRows(rows)
	if err == nil {
		err = checkCounts(cell, rows)
	}
	if err != nil {
		return fmt.Errorf("put cell %s: %w", w.plan.Cells[i].Dir, err)
	}
	if err := Replace(filepath.Join(w.CellDir(i), RowsFile), lines); err != nil {
		return err
	}
	return writeJSON(filepath.Join(w.CellDir(i), CellFile), cell)
}

// checkCounts holds a cell's probes to the rows that came with it.
func checkCounts(cell Cell, rows []observe.Row) error {
	have := map[string]int{}
	for _, row := range rows {
		have[row.Probe()]++
	}
	for _, p := range cell.Probes {
		if have[p.Name] != p.Rows {
			return fmt.Errorf("probe %s counts %d rows and has %d", p.Name, p.Rows, have[p.Name])
		}
		delete(have, p.Name)
	}
	if len(have) == 0 {
		return nil
	}
	for _, row := range rows {
		if have[row.Probe()] > 0 {
			return fmt.Errorf("row %s is of no probe of the cell", row.Name)
		}
	}
	return nil
}

// Console opens console.log of the i-th cell anew. What is written is in the
// file at once. The caller closes it.
func (w *Writer) Console(i int) (io.WriteCloser, error) { return w.log(i, ConsoleFile, os.O_TRUNC) }

// MoreConsole is Console behind what is there already.
func (w *Writer) MoreConsole(i int) (io.WriteCloser, error) {
	return w.log(i, ConsoleFile, os.O_APPEND)
}

// KernelLog opens kernel.log of the i-th cell, like Console.
func (w *Writer) KernelLog(i int) (io.WriteCloser, error) {
	return w.log(i, KernelLogFile, os.O_TRUNC)
}

func (w *Writer) log(i int, name string, how int) (io.WriteCloser, error) {
	f, err := os.OpenFile(filepath.Join(w.CellDir(i), name), os.O_WRONLY|os.O_CREATE|how, 0o666)
	if err != nil {
		return nil, fmt.Errorf("create log: %w", err)
	}
	return f, nil
}

// Finish writes down that the run ended at the given time.
func (w *Writer) Finish(at time.Time) error {
	at = at.UTC()
	w.plan.Finished = &at
	return writeJSON(filepath.Join(w.dir, PlanFile), w.plan)
}

func writeJSON(path string, v any) error {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("encode %s: %w", path, err)
	}
	return Replace(path, buf.Bytes())
}

// Replace puts data in the place of the file at once: a reader sees the old
// content or the new, never a part.
func Replace(path string, data []byte) (err error) {
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return unwritten(path, err)
	}
	_, err = tmp.Write(data)
	if err = errors.Join(err, tmp.Chmod(0o644), tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return errors.Join(unwritten(path, err), os.Remove(tmp.Name()))
	}
	return nil
}

// unwritten says the path once, not that of the file that was to become it.
func unwritten(path string, err error) error {
	if p := (*fs.PathError)(nil); errors.As(err, &p) {
		err = p.Err
	}
	return fmt.Errorf("write %s: %w", path, err)
}

// nameCells gives each cell a directory name that is safe on any file system
// and says which kernel, variant and repetition it is: "6.1.192", then
// "6.1.192_r2", and "6.1.192_2" for another kernel of that label.
func nameCells(cells []Planned) {
	used := map[string]bool{}
	for i := range cells {
		c := &cells[i]
		k := c.Kernel
		name := safeName(cmp.Or(k.Label, k.Release, k.Version, k.Ref, "kernel"))
		if v := safeName(c.Variant); v != "" && v != "default" {
			name += "+" + v
		}
		if c.Repeat > 1 {
			name += fmt.Sprintf("_r%d", c.Repeat)
		}
		c.Dir = name
		for n := 2; used[strings.ToLower(c.Dir)]; n++ {
			c.Dir = fmt.Sprintf("%s_%d", name, n)
		}
		used[strings.ToLower(c.Dir)] = true
	}
}

const maxSafeName = 80 // bytes of label and of variant

func safeName(s string) string {
	s = safeBytes(s)
	return s[:min(len(s), maxSafeName)]
}

// safeBytes returns s as a file name that no file system, shell or program
// takes for something else.
func safeBytes(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9',
			r == '.', r == '-', r == '_', r == '+', r == '~':
			return r
		}
		return '_'
	}, s)
	return strings.TrimLeft(s, ".-~")
}
