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
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/ctmatrix/ctmatrix/guest/observe"
)

// MaxCells is how many cells a run may have.
const MaxCells = 10000

// Bounds on what Open reads of one run.
const (
	maxJSON = 64 << 20  // bytes in run.json or cell.json
	maxRows = 256 << 20 // bytes in rows.jsonl
)

// Open reads a run directory. It is held to bounds and believed in nothing:
// run directories come from other machines. The error is a *FileError.
func Open(dir string) (*Run, error) {
	path := filepath.Join(dir, PlanFile)
	data, err := readBounded(path, maxJSON)
	if err != nil {
		return nil, err
	}
	plan, err := parsePlan(data)
	if err != nil {
		return nil, inFile(path, data, err)
	}
	cells, err := openCells(dir, plan.Cells)
	if err != nil {
		return nil, err
	}
	return &Run{Dir: dir, Plan: plan, Cells: cells}, nil
}

// openCells reads cells, as many at a time as there are CPUs. Its error is that of the
// first cell that has one.
func openCells(dir string, planned []Planned) ([]CellRows, error) {
	cells, errs := make([]CellRows, len(planned)), make([]error, len(planned))
	var readers errgroup.Group
	readers.SetLimit(runtime.GOMAXPROCS(0))
	for i, c := range planned {
		readers.Go(func() error {
			cells[i], errs[i] = openCell(dir, c)
			return nil // of several it is not the first to come that is told
		})
	}
	_ = readers.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return cells, nil
}

func openCell(dir string, planned Planned) (CellRows, error) {
	path := filepath.Join(dir, planned.Dir, CellFile)
	data, err := readBounded(path, maxJSON)
	if errors.Is(err, fs.ErrNotExist) {
		return CellRows{Dir: planned.Dir, Cell: Cell{
			ID: planned.ID, Kernel: planned.Kernel, Variant: planned.Variant, Repeat: planned.Repeat,
			Outcome: CellMissing, Reason: "has not been run",
		}}, nil
	}
	if err != nil {
		return CellRows{}, err
	}
	c := CellRows{Dir: planned.Dir}
	if c.Cell, err = parseCell(data); err != nil {
		return CellRows{}, inFile(path, data, err)
	}
	if c.Repeat != planned.Repeat {
		return CellRows{}, &FileError{Path: path, Err: fmt.Errorf("repetition %d, planned as %d", c.Repeat, planned.Repeat)}
	}
	path = filepath.Join(dir, planned.Dir, RowsFile)
	if data, err = readBounded(path, maxRows); err != nil {
		return CellRows{}, err
	}
	var line int
	if c.Rows, line, err = parseRows(data); err != nil {
		return CellRows{}, &FileError{Path: path, Line: line, Err: err}
	}
	// A cell that is cut short between both files has rows of probes that it
	// does not list yet, and never the other way round.
	listed := map[string]bool{}
	for _, p := range c.Probes {
		listed[p.Name] = true
	}
	c.Rows = slices.DeleteFunc(c.Rows, func(r observe.Row) bool { return !listed[r.Probe()] })
	if err := checkCounts(c.Cell, c.Rows); err != nil {
		return CellRows{}, &FileError{Path: filepath.Join(dir, planned.Dir, CellFile), Err: err}
	}
	return c, nil
}

func readBounded(path string, limit int64) ([]byte, error) {
	// To open a pipe would wait for somebody to write to it.
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, pathError(path, err)
	}
	defer f.Close() // only read
	info, err := f.Stat()
	if err != nil {
		return nil, pathError(path, err)
	}
	if !info.Mode().IsRegular() {
		return nil, &FileError{Path: path, Err: errors.New("not a regular file")}
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, pathError(path, err)
	}
	if int64(len(data)) > limit {
		return nil, &FileError{Path: path, Err: fmt.Errorf("more than %d bytes", limit)}
	}
	return data, nil
}

// pathError is a FileError that says the path once.
func pathError(path string, err error) error {
	if p := (*fs.PathError)(nil); errors.As(err, &p) {
		err = p.Err
	}
	return &FileError{Path: path, Err: err}
}

// inFile is a FileError with the line that encoding/json blames, if any.
func inFile(path string, data []byte, err error) error {
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

// strict decodes all of data, and nothing that it does not know.
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
		Schema int `json:"schema"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return Plan{}, err
	}
	if head.Schema != Schema {
		return Plan{}, fmt.Errorf("schema %d, this ctmatrix reads schema %d", head.Schema, Schema)
	}
	var plan Plan
	if err := strict(data, &plan); err != nil {
		return Plan{}, err
	}
	if len(plan.Cells) > MaxCells {
		return Plan{}, fmt.Errorf("%d cells, more than %d", len(plan.Cells), MaxCells)
	}
	seen := map[string]bool{}
	for _, c := range plan.Cells {
		if c.Dir == "" || c.Dir != safeBytes(c.Dir) {
			return Plan{}, fmt.Errorf("%q cannot name a cell's directory", c.Dir)
		}
		if c.Repeat < 0 {
			return Plan{}, fmt.Errorf("cell %s: repetition %d", c.Dir, c.Repeat)
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
