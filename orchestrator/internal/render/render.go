// Package render writes tables and differences for people and for programs. It
// is pure: it writes to an io.Writer and knows no terminal, clock or file. All
// that comes from a guest is escaped on its way out.
package render

import (
	"io"
	"time"

	"github.com/ctmatrix/ctmatrix/orchestrator/internal/table"
)

// Options say how text is laid out.
type Options struct {
	Width int  // columns of the terminal; 0 stands for 80, less than 40 for 40
	Color bool // whether to write SGR sequences; the caller asks the terminal and NO_COLOR
}

// Summary is what the last line says beside counts.
type Summary struct {
	Elapsed time.Duration // of the run; 0 where unknown
	Dir     string        // where the results are; "" where nowhere
	Cached  int           // cells that were taken from the cache as a whole
	Booted  int           // cells for which a guest was started
}

// Text writes what differs between neighbouring kernels of t, what differs on
// the same kernel, what chance did, what could not be compared, and a line of
// counts. Of what is equal it says nothing.
func Text(w io.Writer, t *table.Table, s Summary, o Options) error {
	r := newReport(t, o)
	groups, residue := t.Groups(), t.Residue()
	r.kernels()
	r.clocks()
	r.unconfigured()
	open, explained := splitGroups(groups)
	r.blocks(r.items(open))
	r.explained(explained)
	r.verdict(groups, residue)
	r.unstable(residue.Unstable)
	r.chance()
	r.residue(residue)
	r.unsupported()
	r.stale(&t.Book, t.Stale())
	r.counts(s)
	_, err := w.Write(r.p.buf.Bytes())
	return err
}
