package render

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"strings"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/table"
)

// KTAP writes a table in the kernel's Test Anything Protocol, version 1: a test
// for each kernel, in it one for each family and one for the run as a whole, and in
// a family one for each probe. What went wrong stands in diagnostic lines above the
// result.
func KTAP(w io.Writer, t *table.Table) error {
	j := newJudge(t)
	root := newTAP(0, len(t.Columns))
	families := byFamily(t.Probes)
	for i, c := range t.Columns {
		kernel := newTAP(1, 1+len(families))
		kernel.leaf("run", j.cell(i))
		for _, f := range families {
			fam := newTAP(2, len(f))
			for _, p := range f {
				_, rest := splitProbe(p.Name)
				fam.leaf(rest, j.probe(p, i))
			}
			name, _ := splitProbe(f[0].Name)
			kernel.parent(name, fam)
		}
		root.parent(c.Label, kernel)
	}
	_, err := w.Write(root.buf.Bytes())
	return err
}

// byFamily splits probes, which are sorted by name, by family.
func byFamily(probes []table.Probe) [][]table.Probe {
	var out [][]table.Probe
	last := ""
	for _, p := range probes {
		family, _ := splitProbe(p.Name)
		if len(out) == 0 || family != last {
			out = append(out, nil)
			last = family
		}
		out[len(out)-1] = append(out[len(out)-1], p)
	}
	return out
}

// tap is the results of one level.
type tap struct {
	buf    bytes.Buffer
	depth  int
	count  int
	failed int
	ran    int // not skipped
}

func newTAP(depth, plan int) *tap {
	t := &tap{depth: depth}
	t.line("KTAP version 1")
	t.line(fmt.Sprintf("1..%d", plan))
	return t
}

func (t *tap) line(text string) {
	t.buf.WriteString(strings.Repeat("  ", t.depth) + strings.TrimRight(text, " ") + "\n")
}

// result writes a test's result line. A description cannot hold the sign that
// begins a directive.
func (t *tap) result(ok bool, name, directive string) {
	t.count++
	word := "ok"
	if !ok {
		word = "not ok"
		t.failed++
	}
	if !strings.HasPrefix(directive, "SKIP") {
		t.ran++
	}
	name = strings.TrimSpace(strings.ReplaceAll(observe.Escape(name), "#", "_"))
	text := fmt.Sprintf("%s %d %s", word, t.count, cmp.Or(name, "_"))
	if directive != "" {
		text += " # " + directive
	}
	t.line(text)
}

// leaf writes a test that has none below it.
func (t *tap) leaf(name string, v verdict) {
	for _, n := range v.notes {
		t.line("# explained: " + n)
	}
	for _, l := range v.lines {
		t.line("# " + l)
	}
	switch v.judgement {
	case isChanged:
		t.result(false, name, v.head)
	case isUnsteady, isBroken, isCrashed, isMissing:
		t.result(false, name, "ERROR "+v.head)
	case isLacking, isUnasked:
		t.result(true, name, "SKIP "+v.head)
	default:
		t.result(true, name, "")
	}
}

// parent writes a test and what is below it. It fails if any of that does, and is
// skipped if all of that is.
func (t *tap) parent(name string, below *tap) {
	t.buf.Write(below.buf.Bytes())
	directive := ""
	if below.ran == 0 && below.count > 0 {
		directive = "SKIP nothing of it ran"
	}
	t.result(below.failed == 0, name, directive)
}
