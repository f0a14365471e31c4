package results

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/ctmatrix/ctmatrix/guest/observe"
)

// Bounds on what Open reads: a run directory may come from anywhere.
const (
	maxJSON  = 64 << 20  // bytes in run.json or cell.json
	maxRows  = 256 << 20 // bytes in rows.jsonl
	maxCells = 10000
)

// ErrNoRun means that there is no run directory where one was looked for.
var ErrNoRun = errors.New("no run directory")

// FileError says which file of a run directory cannot be read, and where in it.
type FileError struct {
	Path string
	Line int // 0 where no line is to blame
	Err  error
}

func (e *FileError) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%s: %v", e.Path, e.Err)
	}
	return fmt.Sprintf("%s:%d: %v", e.Path, e.Line, e.Err)
}

// Unwrap returns the cause.
func (e *FileError) Unwrap() error { return e.Err }

// Open reads a run directory. A cell that did not finish is missing, not an
// error; a file that is there and damaged is a *FileError.
func Open(dir string) (*Loaded, error) {
	path := filepath.Join(dir, PlanFile)
	data, err := readBounded(path, maxJSON)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w: it has no %s", dir, ErrNoRun, PlanFile)
	}
	if err != nil {
		return nil, err
	}
	plan, err := parsePlan(data)
	if err != nil {
		return nil, at(path, data, err)
	}
	run := &Loaded{Dir: dir, Plan: plan}
	for _, c := range plan.Cells {
		res, err := openCell(dir, c)
		if err != nil {
			return nil, err
		}
		run.Results = append(run.Results, res)
	}
	return run, nil
}

func openCell(dir string, planned Planned) (Result, error) {
	res := Result{Dir: planned.Dir}
	path := filepath.Join(dir, planned.Dir, CellFile)
	data, err := readBounded(path, maxJSON)
	if errors.Is(err, fs.ErrNotExist) {
		res.Cell = Cell{
			ID: planned.ID, Kernel: planned.Kernel, Variant: planned.Variant,
			Outcome: CellMissing, Reason: "did not finish",
		}
		return res, nil
	}
	if err != nil {
		return Result{}, err
	}
	if res.Cell, err = parseCell(data); err != nil {
		return Result{}, at(path, data, err)
	}
	path = filepath.Join(dir, planned.Dir, RowsFile)
	if data, err = readBounded(path, maxRows); err != nil {
		return Result{}, err
	}
	var line int
	if res.Rows, line, err = parseRows(data); err != nil {
		return Result{}, &FileError{Path: path, Line: line, Err: err}
	}
	return res, nil
}

func readBounded(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, &FileError{Path: path, Err: fmt.Errorf("more than %d bytes", limit)}
	}
	return data, nil
}

// at turns an error of encoding/json into one with a line.
func at(path string, data []byte, err error) error {
	offset := int64(-1)
	if s := (*json.SyntaxError)(nil); errors.As(err, &s) {
		offset = s.Offset
	}
	if t := (*json.UnmarshalTypeError)(nil); errors.As(err, &t) {
		offset = t.Offset
	}
	e := &FileError{Path: path, Err: err}
	if offset >= 0 && offset <= int64(len(data)) {
		e.Line = 1 + bytes.Count(data[:offset], []byte("\n"))
	}
	return e
}

// strict decodes all of data, and nothing it does not know.
func strict(data []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return err
	}
	if _, err := dec.Token(); err != io.EOF {
		return errors.New("something follows the JSON value")
	}
	return nil
}

func parsePlan(data []byte) (Plan, error) {
	var head struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return Plan{}, err
	}
	if head.Format != Format {
		return Plan{}, fmt.Errorf("format %d, this ctmatrix reads format %d", head.Format, Format)
	}
	var plan Plan
	if err := strict(data, &plan); err != nil {
		return Plan{}, err
	}
	if len(plan.Cells) > maxCells {
		return Plan{}, fmt.Errorf("%d cells, more than %d", len(plan.Cells), maxCells)
	}
	seen := map[string]bool{}
	for _, c := range plan.Cells {
		if c.Dir == "" || c.Dir != safeName(c.Dir) {
			return Plan{}, fmt.Errorf("%q is no name of a cell directory", c.Dir)
		}
		if seen[c.Dir] {
			return Plan{}, fmt.Errorf("cell directory %s twice", c.Dir)
		}
		seen[c.Dir] = true
	}
	return plan, nil
}

func parseCell(data []byte) (Cell, error) {
	var cell Cell
	if err := strict(data, &cell); err != nil {
		return Cell{}, err
	}
	switch cell.Outcome {
	case CellOK, CellFailed, CellCrashed, CellMissing:
	default:
		return Cell{}, fmt.Errorf("unknown cell outcome %q", cell.Outcome)
	}
	seen := map[string]bool{}
	for _, p := range cell.Probes {
		if !p.Outcome.Valid() {
			return Cell{}, fmt.Errorf("probe %q: unknown outcome %q", p.Name, p.Outcome)
		}
		if seen[p.Name] {
			return Cell{}, fmt.Errorf("probe %q twice", p.Name)
		}
		seen[p.Name] = true
	}
	return cell, nil
}

// parseRows reads rows.jsonl. With an error comes the number of its line.
func parseRows(data []byte) (rows []observe.Row, line int, err error) {
	for len(data) > 0 {
		line++
		text, rest, ended := bytes.Cut(data, []byte("\n"))
		if !ended {
			return nil, line, errors.New("line is cut short")
		}
		data = rest
		var row observe.Row
		if err := strict(text, &row); err != nil {
			return nil, line, err
		}
		if err := row.Check(); err != nil {
			return nil, line, err
		}
		if n := len(rows); n > 0 && rows[n-1].Name >= row.Name {
			return nil, line, fmt.Errorf("row %s after %s: rows are sorted, each once", row.Name, rows[n-1].Name)
		}
		rows = append(rows, row)
	}
	return rows, line, nil
}

// Find returns the run directory that arg names: a run directory itself, a
// directory that has a latest run, or the name of a run below out, "latest"
// included. Where there is none the error is ErrNoRun and says where it looked.
func Find(out, arg string) (string, error) {
	tries := []string{arg, filepath.Join(arg, Latest), filepath.Join(out, arg)}
	for _, dir := range tries {
		if _, err := os.Stat(filepath.Join(dir, PlanFile)); err == nil {
			return filepath.EvalSymlinks(dir)
		} else if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrInvalid) {
			return "", fmt.Errorf("find run %s: %w", arg, err)
		}
	}
	return "", fmt.Errorf("%s: %w: neither there nor below %s", arg, ErrNoRun, out)
}
