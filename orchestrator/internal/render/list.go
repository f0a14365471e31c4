package render

import (
	"io"

	"github.com/ctmatrix/ctmatrix/guest/observe"
)

// Probes writes a list of probes: name and question, by family.
func Probes(w io.Writer, heads []observe.Head, o Options) error { return nil }

// Probe writes all of one probe's head.
func Probe(w io.Writer, head observe.Head, o Options) error { return nil }

// Columns writes an aligned table under a line of headers. Where it is wider
// than the terminal, the last column is folded.
func Columns(w io.Writer, headers []string, rows [][]string, o Options) error { return nil }
