package baseline

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/table"
)

// Names of the files of a baseline.
const (
	KernelsFile = "kernels.jsonl"
	rowsSuffix  = ".rows" // after the family
)

// Format is the version of the files. Read refuses another.
const Format = 1

// head is the first line of kernels.jsonl.
type head struct {
	Format int `json:"ctmatrix_baseline"`
}

// column is a line of kernels.jsonl.
type column struct {
	Name    string         `json:"column"`
	Variant string         `json:"variant"`
	Clock   string         `json:"clock"`
	Kernel  results.Kernel `json:"kernel"`
}

// rowsHead is the first line of a family's file.
const rowsHead = "# A value holds for the first kernel of " + KernelsFile + " that was asked, and until one has its own."

// File is one file of a baseline.
type File struct {
	Name string
	Data []byte
}

// Files are what a baseline is written as: the kernels first, then families by
// name. The same baseline gives the same bytes.
func (b *Baseline) Files() ([]File, error) {
	kernels, err := b.encodeKernels()
	if err != nil {
		return nil, err
	}
	files := []File{{KernelsFile, kernels}}
	families, err := b.families()
	if err != nil {
		return nil, err
	}
	t := b.Table()
	rows := t.Rows
	values := map[string][]table.Row{} // by probe
	for _, r := range rows {
		values[r.Probe] = append(values[r.Probe], r)
	}
	outcomes := map[string][]table.Value{}
	for _, p := range t.Probes {
		outcomes[p.Name] = p.Outcomes
	}
	for _, family := range slices.Sorted(maps.Keys(families)) {
		e := encoder{names: b.names()}
		e.buf.WriteString(rowsHead + "\n")
		for _, probe := range families[family] {
			e.probe(probe, outcomes[probe])
			for _, r := range values[probe] {
				e.row(r)
			}
		}
		files = append(files, File{family + rowsSuffix, e.buf.Bytes()})
	}
	return files, nil
}

// names are the kernels' in their order.
func (b *Baseline) names() []string {
	var out []string
	for _, c := range b.Cells {
		out = append(out, c.ID)
	}
	return out
}

func (b *Baseline) encodeKernels() ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(head{Format}); err != nil {
		return nil, fmt.Errorf("encode baseline: %w", err)
	}
	for _, c := range b.Cells {
		if err := enc.Encode(columnOf(c)); err != nil {
			return nil, fmt.Errorf("encode kernel %s: %w", c.ID, err)
		}
	}
	return buf.Bytes(), nil
}

func columnOf(c results.CellRows) column {
	return column{Name: c.ID, Variant: c.Variant, Clock: c.Guest.Clock, Kernel: c.Kernel}
}

// encoder writes the lines of a family.
type encoder struct {
	buf   bytes.Buffer
	names []string // of the kernels
}

// probe writes what became of a probe on each kernel.
func (e *encoder) probe(name string, outcomes []table.Value) {
	e.buf.WriteString(name)
	last := ""
	for i, o := range outcomes {
		if word := outcomeWord(o); word != last {
			e.step(i, i == 0, word)
			last = word
		}
	}
	e.buf.WriteByte('\n')
}

// Words for what became of a probe, and for a row that is not there.
const (
	wordRecorded    = "recorded"
	wordUnsupported = "unsupported" // a colon and the reason may follow
	wordUnasked     = "unasked"
	wordAbsent      = "absent"
)

func outcomeWord(o table.Value) string {
	switch {
	case o.Status == table.Recorded:
		return wordRecorded
	case o.Status != table.Unsupported:
		return wordUnasked
	case o.Text == "":
		return wordUnsupported
	}
	return wordUnsupported + ":" + strconv.Quote(o.Text)
}

// row writes the values of a row on the kernels that recorded its probe.
func (e *encoder) row(r table.Row) {
	kind := kindOf(r)
	e.buf.WriteString(r.Name + " " + string(kind))
	last := ""
	for i, v := range r.Values {
		if v.Status != table.Recorded && v.Status != table.Absent {
			continue
		}
		if word := valueWord(v, kind); word != last {
			e.step(i, last == "", word)
			last = word
		}
	}
	e.buf.WriteByte('\n')
}

// step writes a word, and from which kernel on it holds, unless it is the first.
func (e *encoder) step(column int, first bool, word string) {
	e.buf.WriteByte(' ')
	if !first {
		e.buf.WriteString(e.names[column] + "=")
	}
	e.buf.WriteString(word)
}

// kindOf is the kind of the first value that a row has.
func kindOf(r table.Row) observe.Kind {
	for _, v := range r.Values {
		if v.Status == table.Recorded {
			return v.Kind
		}
	}
	return observe.Text // a table has no row without a value
}

// valueWord is a value, with its kind where that is not the row's.
func valueWord(v table.Value, kind observe.Kind) string {
	switch {
	case v.Status == table.Absent:
		return wordAbsent
	case v.Kind == kind:
		return strconv.Quote(v.Text)
	}
	return string(v.Kind) + ":" + strconv.Quote(v.Text)
}
