package render

import (
	"fmt"
	"io"

	"github.com/ctmatrix/ctmatrix/orchestrator/internal/beside"
)

// Builds is what two kernels do not have in common before they run.
type Builds struct {
	Schema int   `json:"schema"` // ReportSchema
	From   Build `json:"from"`
	To     Build `json:"to"`
	// Options are by name. Nothing is said of them where the configuration of
	// either is not known.
	Options []beside.Difference `json:"options"`
	Modules []beside.Difference `json:"modules"` // by name
	All     bool                `json:"all"`     // not only what can matter to connection tracking
}

// Build is one of the kernels.
type Build struct {
	Ref     string `json:"ref"`
	Version string `json:"version"`
	Release string `json:"release"`
	Digest  string `json:"digest"`
	Options int    `json:"options"` // of those that are compared; 0 where not known
	Modules int    `json:"modules"`
}

// BuildsText writes what differs: what has gone, what is new, what changed.
func BuildsText(w io.Writer, b Builds, o Options) error {
	p := newPrinter(o)
	heads := grid{}
	for _, k := range []Build{b.From, b.To} {
		heads.add(span{strong, k.Version}, span{plain, k.Release}, span{dim, k.Ref})
	}
	heads.write(p)
	if b.From.Options > 0 && b.To.Options > 0 {
		buildsPart(p, "options", b.From.Options, b.To.Options, b.Options)
	}
	buildsPart(p, "modules", b.From.Modules, b.To.Modules, b.Modules)
	_, err := w.Write(p.buf.Bytes())
	return err
}

func buildsPart(p *printer, what string, from, to int, ds []beside.Difference) {
	p.blank()
	p.line(span{strong, fmt.Sprintf("%s: %d and %d, %d differ", what, from, to, len(ds))})
	for _, part := range []struct {
		title string
		has   func(beside.Difference) bool
		text  func(beside.Difference) string
	}{
		{"gone", func(d beside.Difference) bool { return d.To == beside.Absent }, func(d beside.Difference) string { return d.From }},
		{"new", func(d beside.Difference) bool { return d.From == beside.Absent }, func(d beside.Difference) string { return d.To }},
		{"changed", beside.Difference.Changed, func(d beside.Difference) string { return d.From + " → " + d.To }},
	} {
		g := grid{indent: 4}
		for _, d := range ds {
			if part.has(d) {
				g.add(span{plain, d.Name}, span{plain, part.text(d)})
			}
		}
		if len(g.rows) > 0 {
			p.line(span{boundary, "  " + part.title})
			g.write(p)
		}
	}
}

// BuildsJSON writes the same for a program.
func BuildsJSON(w io.Writer, b Builds) error {
	b.Schema = ReportSchema
	for _, list := range []*[]beside.Difference{&b.Options, &b.Modules} {
		if *list == nil {
			*list = []beside.Difference{}
		}
	}
	return encode(w, b)
}
