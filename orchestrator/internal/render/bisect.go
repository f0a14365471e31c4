package render

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/ctmatrix/ctmatrix/orchestrator/internal/bisect"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/table"
)

// BisectHead writes what a bisection sets out to find, and by what means.
func BisectHead(w io.Writer, r *bisect.Report, o Options) error {
	p := newPrinter(o)
	p.line(span{name, r.Row})
	if r.Question != "" {
		p.para(2, dim, r.Question)
	}
	kernels, series := r.Search.Kernels(), r.Search.Series()
	where := "in " + branch(kernels[0].Series)
	if len(series) > 1 {
		where = fmt.Sprintf("in %d series", len(series))
	}
	p.para(0, plain, fmt.Sprintf("%s %s, from %s to %s",
		count(len(kernels), "kernel"), where, kernels[0].Version, kernels[len(kernels)-1].Version))
	if len(series) > 1 {
		p.para(0, plain, "Series fork from the mainline and go their own ways: each is searched by itself, and those that follow each other are compared at their oldest kernels.")
	}
	if r.Search.All() {
		p.para(0, plain, "Every kernel is asked.")
	} else {
		p.para(0, plain, "Halving assumes that a value flips at most once in a series; --all asks every kernel.")
	}
	p.blank()
	_, err := w.Write(p.buf.Bytes())
	return err
}

// BisectStep writes what the n-th kernel to be asked has answered, from 1, and
// what is left to do.
func BisectStep(w io.Writer, r *bisect.Report, n int, o Options) error {
	p := newPrinter(o)
	kernels := r.Search.Kernels()
	at := r.Search.Asked()[n-1]
	version := 0
	for _, k := range kernels {
		version = max(version, width(k.Version))
	}
	lead := []span{
		{dim, fmt.Sprintf("%*d  ", len(fmt.Sprint(len(kernels))), n)},
		{strong, fmt.Sprintf("%-*s  ", version, kernels[at].Version)},
	}
	indent := width(lead[0].text) + width(lead[1].text)
	v := r.Search.Value(at)
	s, text := plain, valueText(v)
	if !v.Status.Behaviour() {
		s, text = bad, "skipped: "+skipReason(v)
	}
	lines := (cell{s, []string{text}}).folded(p.width - indent)
	left := leftText(r.Search)
	for i, l := range lines {
		spans := []span{{plain, strings.Repeat(" ", indent)}, {s, l}}
		if i == 0 {
			spans = append(slices.Clone(lead), span{s, l})
		}
		if used := indent + width(l); i == len(lines)-1 && used+2+width(left) <= p.width {
			right := max(min(p.width, defaultWidth), used+2+width(left))
			spans = append(spans, span{plain, strings.Repeat(" ", right-used-width(left))}, span{dim, left})
			left = ""
		}
		p.line(spans...)
	}
	if left != "" {
		p.line(span{plain, strings.Repeat(" ", max(p.width-width(left), 0))}, span{dim, left})
	}
	_, err := w.Write(p.buf.Bytes())
	return err
}

func leftText(s *bisect.Search) string {
	kernels, steps := s.Left()
	if kernels == 0 {
		return ""
	}
	return fmt.Sprintf("%d left, about %s", kernels, count(steps, "step"))
}

// BisectText writes what a bisection found: the boundaries, the changes that
// Debian's changelogs list between them, and how far the answers reach.
func BisectText(w io.Writer, r *bisect.Report, s Summary, o Options) error {
	p := newPrinter(o)
	if len(r.Search.Asked()) > 0 {
		p.line() // between the steps and this
	}
	for i, b := range r.Search.Boundaries() {
		bisectBoundary(p, r, b)
		if b.Inside && len(b.Unasked) == 0 {
			bisectChanges(p, r.Search.Kernels()[b.Newer], r.Excerpts[i])
		}
		p.line()
	}
	verdict, warnings := bisectVerdict(r), r.Search.Warnings()
	if verdict != "" {
		p.para(0, strong, verdict)
	}
	for _, warning := range warnings {
		p.para(0, bad, "warning: "+warning)
	}
	if verdict != "" || len(warnings) > 0 {
		p.line()
	}
	bisectCounts(p, r, s)
	_, err := w.Write(p.buf.Bytes())
	return err
}

// bisectVerdict says in a sentence what no boundary says.
func bisectVerdict(r *bisect.Report) string {
	kernels := r.Search.Kernels()
	switch {
	case r.Cut && len(r.Search.Boundaries()) > 0:
		return "Interrupted: this is as narrow as it was by then."
	case r.Cut:
		return "Interrupted before a change was found."
	case r.Outcome() == bisect.Changed:
		return ""
	case r.Outcome() == bisect.Undecided:
		return "Undecided: there are too few answers."
	case r.Search.All():
		return fmt.Sprintf("Nothing changes: the value is the same on every kernel that answered, %s.", valueText(r.Search.Value(0)))
	case len(r.Search.Series()) > 1:
		return fmt.Sprintf("The value is the same at both ends of every series: %s. One that flips and flips back in between is not seen; --all asks every kernel.", valueText(r.Search.Value(0)))
	}
	return fmt.Sprintf("The value is the same on %s and %s: %s. One that flips and flips back in between is not seen; --all asks every kernel.",
		kernels[0].Version, kernels[len(kernels)-1].Version, valueText(r.Search.Value(0)))
}

// bisectBoundary writes where a change is, with both values.
func bisectBoundary(p *printer, r *bisect.Report, b bisect.Boundary) {
	older, newer := r.Search.Kernels()[b.Older], r.Search.Kernels()[b.Newer]
	if b.Inside {
		p.para(0, boundary, fmt.Sprintf("inside %s, between %s and %s", branch(older.Series), older.Version, newer.Version))
	} else {
		p.para(0, boundary, fmt.Sprintf("between %s and %s", branch(older.Series), branch(newer.Series)))
	}
	g := grid{indent: 2}
	for _, i := range []int{b.Older, b.Newer} {
		k := r.Search.Kernels()[i]
		g.add(span{strong, k.Version}, span{dim, k.Release}, span{plain, valueText(r.Search.Value(i))})
	}
	g.write(p)
	if !b.Inside {
		p.para(2, dim, "These are the oldest of both that answered. The change came somewhere on the way from one series to the other: no package can be named for it.")
	}
	if notes := r.Notes(b); len(notes) > 0 {
		p.para(2, plain, "explained: "+reasons(&r.Book, notes))
	}
	if n := len(b.Unasked); n > 0 {
		p.para(2, bad, fmt.Sprintf("%s in between not asked", count(n, "kernel")))
	}
	for _, s := range bisectSkipped(r.Search, b) {
		p.brief(2, bad, "in between could not be asked: "+s)
	}
}

// bisectSkipped names the kernels inside a boundary that gave no answer, those
// for one reason together.
func bisectSkipped(s *bisect.Search, b bisect.Boundary) []string {
	var reasons []string
	versions := map[string][]string{}
	for _, i := range b.Skipped {
		reason := skipReason(s.Value(i))
		if versions[reason] == nil {
			reasons = append(reasons, reason)
		}
		versions[reason] = append(versions[reason], s.Kernels()[i].Version)
	}
	var out []string
	for _, reason := range reasons {
		out = append(out, strings.Join(versions[reason], ", ")+": "+reason)
	}
	return out
}

// skipReason is why a kernel gave no answer. That it is missing goes without
// saying.
func skipReason(v table.Value) string {
	if v.Status == table.Missing {
		return cmp.Or(v.Text, noReason)
	}
	return valueText(v)
}

// bisectChanges writes an excerpt from the newer package's changelog.
func bisectChanges(p *printer, newer bisect.Kernel, x bisect.Excerpt) {
	p.line()
	about := "netfilter"
	if len(x.Topics) > 0 {
		about += ", " + strings.Join(x.Topics, ", ")
	}
	switch {
	case x.Missing != "":
		p.para(2, bad, "no changelog of "+newer.Version+": "+x.Missing)
		return
	case x.Versions == 0:
		p.para(2, plain, "The changelog of "+newer.Version+" has nothing that the older package lacks: both are built of one version.")
		return
	case len(x.Entries) == 0:
		p.para(2, plain, fmt.Sprintf("The changelog of %s has nothing about %s: %s left out.", newer.Version, about, count(x.LeftOut, "other change")))
		return
	}
	p.para(2, plain, fmt.Sprintf("The changelog of %s since then, as far as it is about %s:", newer.Version, about))
	for _, e := range x.Entries {
		p.line()
		p.line(span{plain, "  "}, span{strong, fmt.Sprintf("%s (%s)", e.Source, e.Version)}, span{dim, " " + e.Suite})
		var above []string
		for _, c := range e.Changes {
			bisectAbove(p, above, c.Under)
			above = c.Under
			bisectItem(p, bisectIndent(c.Under), plain, c.Text)
		}
	}
	if x.LeftOut > 0 {
		p.line()
		p.para(2, dim, count(x.LeftOut, "other change")+" left out")
	}
}

// bisectAbove writes the lines that a change stands below, unless the one before
// stands there too.
func bisectAbove(p *printer, before, under []string) {
	for i, u := range under {
		if i >= len(before) || !slices.Equal(before[:i+1], under[:i+1]) {
			bisectItem(p, bisectIndent(under[:i]), dim, u)
		}
	}
}

// bisectIndent is where a line stands, as Debian writes it: what is below an
// address stands in the same column.
func bisectIndent(under []string) int {
	indent := 4
	for _, u := range under {
		if !isAddress(u) {
			indent += 2
		}
	}
	return indent
}

func isAddress(text string) bool {
	return strings.Contains(text, "://") && !strings.Contains(text, " ")
}

// bisectItem writes a line of a changelog, folded behind a mark. An address has
// none, and is not folded: it could not be followed.
func bisectItem(p *printer, indent int, s style, text string) {
	pad := span{plain, strings.Repeat(" ", indent)}
	if isAddress(text) {
		p.line(pad, span{s, text})
		return
	}
	mark := "- "
	if indent == 4 {
		mark = "* "
	}
	for _, l := range (cell{s, []string{text}}).folded(max(p.width-indent-len(mark), leastColumn)) {
		p.line(pad, span{dim, mark}, span{s, l})
		mark = "  "
	}
}

func bisectCounts(p *printer, r *bisect.Report, s Summary) {
	skipped := 0
	for _, i := range r.Search.Asked() {
		if !r.Search.Value(i).Status.Behaviour() {
			skipped++
		}
	}
	parts := []string{fmt.Sprintf("%d of %s asked", len(r.Search.Asked()), count(len(r.Search.Kernels()), "kernel"))}
	if skipped > 0 {
		parts = append(parts, fmt.Sprintf("%d skipped", skipped))
	}
	n := len(r.Search.Boundaries())
	parts = append(parts, count(n, "change"))
	if s.Elapsed > 0 {
		parts = append(parts, seconds(s.Elapsed))
	}
	p.para(0, strong, strings.Join(parts, " · "))
	if s.Dir != "" {
		p.line(span{dim, "results in "}, span{plain, s.Dir})
	}
}
