package baseline

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
)

// Fault is what is wrong with a file of a baseline, and where.
type Fault struct {
	File string
	Line int // 0 where it is the file as a whole
	Text string
}

func (f *Fault) Error() string {
	if f.Line == 0 {
		return f.File + ": " + f.Text
	}
	return fmt.Sprintf("%s:%d: %s", f.File, f.Line, f.Text)
}

// Bounds on what is read.
const (
	maxFile    = 64 << 20 // bytes
	maxColumns = 1000
	maxValues  = 8 << 20 // rows times kernels
)

// anew is how a line is mended that nobody can have meant.
const anew = "take the file as git has it, or remove the baseline and bless anew"

// Decode reads the files of a baseline, the kernels first. It is held to bounds
// and to the form that Files writes: of what it reads, Files writes every byte
// again. The error is a *Fault; dir stands before the names of files in it.
func Decode(dir string, files []File) (*Baseline, error) {
	d := &decoder{index: map[string]int{}}
	for _, f := range files {
		d.file, d.line = path.Join(dir, f.Name), 0
		read := d.kernel
		if family, ok := strings.CutSuffix(f.Name, rowsSuffix); ok {
			d.family, d.probe = family, ""
			read = d.fact
		}
		if err := d.lines(f.Data, read); err != nil {
			return nil, err
		}
	}
	for i := range d.cells {
		sortFacts(&d.cells[i])
	}
	return &Baseline{Cells: d.cells}, nil
}

// decoder reads one file after the other.
type decoder struct {
	file   string
	line   int
	cells  []results.CellRows
	index  map[string]int // of the cells, by name
	values int            // rows times kernels so far
	family string

	probe    string // whose rows are read; "" before the first
	recorded []int  // the kernels that recorded it
	row      string // the last of the probe; "" before the first
}

func (d *decoder) fault(format string, args ...any) error {
	return &Fault{File: d.file, Line: d.line, Text: observe.Bounded(fmt.Sprintf(format, args...))}
}

// lines calls read with each line of a file, of which there is at least one.
func (d *decoder) lines(data []byte, read func(line []byte) error) error {
	switch {
	case len(data) > maxFile:
		return d.fault("more than %d bytes: %s", maxFile, anew)
	case len(data) == 0:
		return d.fault("is empty: %s", anew)
	}
	for len(data) > 0 {
		d.line++
		line, rest, ended := bytes.Cut(data, []byte("\n"))
		if !ended {
			return d.fault("the line is cut short: %s", anew)
		}
		if isConflict(line) {
			return d.fault("a conflict of git's: leave one side of it, or remove the baseline and bless anew")
		}
		if err := read(line); err != nil {
			return err
		}
		data = rest
	}
	return nil
}

func isConflict(line []byte) bool {
	for _, mark := range []string{"<<<<<<<", "=======", ">>>>>>>", "|||||||"} {
		if bytes.HasPrefix(line, []byte(mark)) {
			return true
		}
	}
	return false
}

// kernel reads a line of kernels.jsonl.
func (d *decoder) kernel(line []byte) error {
	if d.line == 1 {
		var h head
		if err := json.Unmarshal(line, &h); err != nil || h.Format == 0 {
			return d.fault("is no baseline's: it begins with {\"ctmatrix_baseline\":%d}", Format)
		}
		if h.Format != Format {
			return d.fault("format %d, and this ctmatrix reads format %d: remove the baseline and bless anew", h.Format, Format)
		}
		return d.sameAs(line, h)
	}
	var c column
	if err := strict(line, &c); err != nil {
		return d.fault("%v: %s", err, anew)
	}
	_, twice := d.index[c.Name]
	switch {
	case len(c.Name) > maxColumn || !columnName.MatchString(c.Name):
		return d.fault("%s cannot name a kernel: %s", brief(c.Name), anew)
	case twice:
		return d.fault("kernel %s is there twice: remove one", c.Name)
	case len(d.cells) == maxColumns:
		return d.fault("more than %d kernels: bless fewer", maxColumns)
	}
	d.index[c.Name] = len(d.cells)
	cell := results.Cell{ID: c.Name, Kernel: c.Kernel, Variant: c.Variant, Outcome: results.CellOK}
	cell.Guest.Clock = c.Clock
	d.cells = append(d.cells, results.CellRows{Cell: cell})
	return d.sameAs(line, c)
}

// sameAs holds a line of JSON to what is written for its value.
func (d *decoder) sameAs(line []byte, v any) error {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil || !bytes.Equal(bytes.TrimSuffix(buf.Bytes(), []byte("\n")), line) {
		return d.fault("is not as bless writes it: write %s", bytes.TrimSpace(buf.Bytes()))
	}
	return nil
}

// strict decodes one JSON value, and nothing that it does not know.
func strict(data []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); errors.Is(err, io.EOF) {
		return errors.New("the line is empty")
	} else if err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the JSON value")
	}
	return nil
}

// brief quotes what was read, as much of it as a reader needs.
func brief(text string) string {
	const most = 60
	if len(text) > most {
		return fmt.Sprintf("%.*q…", most, text)
	}
	return fmt.Sprintf("%q", text)
}
