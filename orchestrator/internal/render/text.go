package render

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/table"
)

// report is one Text being written.
type report struct {
	page
	t      *table.Table
	asides *asides
}

func newReport(t *table.Table, o Options) *report {
	var probes []string
	for _, p := range t.Probes {
		probes = append(probes, p.Name)
	}
	return &report{page: newPage(o, t.Heads, probes), t: t, asides: newAsides(t.Heads)}
}

// items puts what changed into words.
func (r *report) items(groups []table.Group) []item {
	var out []item
	for _, g := range groups {
		l := look{where: r.boundaryNames(g.Boundaries), rank: 1 + g.Boundaries[0].To}
		for _, run := range g.Runs {
			if len(g.Runs) <= mostRuns {
				l.heads = append(l.heads, r.runName(run))
			}
		}
		for _, c := range g.Changes {
			it := item{probe: g.Probe, label: rowLabel(c.Row), look: l}
			it.look.note = joinNotes(r.skippedText(c), r.partText(c), besideText(r.asides.change(r.t, c)))
			if c.Whole() {
				it.look.rank = 0
			}
			if len(g.Runs) > mostRuns {
				it.track = r.track(r.t.Line(c.Row))
			} else {
				for _, run := range g.Runs {
					it.values = append(it.values, valueText(c.Row.Values[run[0]]))
				}
			}
			out = append(out, it)
		}
	}
	return out
}

// mostRuns is how many columns a grid may have; more are told along the history.
const mostRuns = 4

// rowLabel is the part of a row's name that follows its probe's.
func rowLabel(row table.Row) string {
	if row.Name == row.Probe {
		return wholeProbe
	}
	return strings.TrimPrefix(row.Name, row.Probe+"/")
}

// noReason stands where a reason is missing.
const noReason = "no reason given"

const wholeProbe = "the whole probe"

// valueText is what a reader sees of a value: never nothing.
func valueText(v table.Value) string {
	switch {
	case v.Kind != "" && v.Text == "":
		return `""`
	case v.Kind != "":
		return v.Text
	case v.Text != "":
		return string(v.Status) + ": " + v.Text
	}
	return string(v.Status)
}

func (r *report) label(column int) string { return r.t.Columns[column].Label }

func (r *report) labels(columns []int) string { return strings.Join(labelsOf(r.t, columns), ", ") }

// mostBoundaries is how many are worth naming; of more, the columns tell.
const mostBoundaries = 6

func (r *report) boundaryNames(bs []table.Boundary) []string {
	var out []string
	if len(bs) > mostBoundaries {
		return []string{fmt.Sprintf("%d boundaries", len(bs))}
	}
	for _, b := range bs {
		out = append(out, r.boundaryName(b))
	}
	return slices.Compact(out) // variants change alike
}

// boundaryName says where a change is. An arrow is between neighbours of one
// series. Of two series only the oldest are compared, and neither follows the
// other, so these are named by series.
func (r *report) boundaryName(b table.Boundary) string {
	switch {
	case b.Kind == table.Inside:
		return r.label(b.From) + " → " + r.label(b.To)
	case b.Kind == table.Builds || b.Older == b.Newer:
		return r.label(b.From) + " and " + r.label(b.To)
	}
	text := "between " + branch(b.Older) + " and " + branch(b.Newer)
	if b.Backport {
		text += ", or in " + branch(b.Older) + " before " + r.label(b.From)
	}
	return text
}

// runName names a run by its ends; in between nothing differs.
func (r *report) runName(run []int) string {
	if len(run) < 3 {
		return r.labels(run)
	}
	return r.label(run[0]) + " … " + r.label(run[len(run)-1])
}

// skippedText names the kernels that a change passes over, and why.
func (r *report) skippedText(c table.Change) string {
	var columns []int
	for _, b := range c.Boundaries {
		columns = append(columns, b.Skipped...)
	}
	slices.Sort(columns)
	var silent, unstable []int
	for _, col := range slices.Compact(columns) {
		if c.Row.Values[col].Status == table.Unstable {
			unstable = append(unstable, col)
		} else {
			silent = append(silent, col)
		}
	}
	var parts []string
	if len(silent) > 0 {
		parts = append(parts, "no answer from "+r.labels(silent))
	}
	if len(unstable) > 0 {
		parts = append(parts, "unstable on "+r.labels(unstable))
	}
	return strings.Join(parts, "; ")
}

// mostKernels is how many have a line each; of more, each series has one.
const mostKernels = 12

// kernels writes the columns of the table, oldest first.
func (r *report) kernels() {
	g := r.kernelLines()
	g.write(r.p)
}

// kernelLines are the columns of the table, or of more than a few the series.
func (r *report) kernelLines() grid {
	if len(r.t.Columns) > mostKernels {
		return r.seriesLines()
	}
	g := grid{}
	for _, c := range r.t.Columns {
		k := c.Kernel
		state := span{dim, remarks(c)}
		if c.Outcome != results.CellOK {
			state = span{bad, string(c.Outcome)}
		}
		g.add(span{strong, c.Label}, span{plain, k.Version}, span{plain, k.Release}, span{dim, k.Ref}, state)
	}
	return g
}

// remarks are what a reader should know of a column's run: how often it ran, and
// warnings.
func remarks(c table.Column) string {
	if c.Runs < 2 {
		return strings.Join(c.Warnings, "; ")
	}
	return strings.Join(append([]string{count(c.Runs, "run")}, c.Warnings...), "; ")
}

// usualClock is the one that goes without saying.
const usualClock = "virtual"

// clocks says on which clock kernels ran, unless all did on the usual.
func (r *report) clocks() {
	columns := map[string][]int{}
	for i, c := range r.t.Columns {
		if c.Guest.Clock != "" {
			columns[c.Guest.Clock] = append(columns[c.Guest.Clock], i)
		}
	}
	names := slices.Sorted(maps.Keys(columns))
	switch {
	case len(names) == 0 || len(names) == 1 && names[0] == usualClock:
	case len(names) == 1:
		r.p.para(0, dim, "all on the "+names[0]+" clock")
	default:
		for _, n := range names {
			r.p.para(0, dim, "on the "+n+" clock: "+r.labels(columns[n]))
		}
	}
}

// verdict says in a sentence what a reader who sees no block must know.
func (r *report) verdict(groups []table.Group, residue table.Residue) {
	if len(groups) > 0 {
		return
	}
	r.p.blank()
	r.p.para(0, strong, r.verdictText(residue))
}

// verdictText says what there is to say where nothing differs.
func (r *report) verdictText(residue table.Residue) string {
	rows := count(len(r.t.Rows), "row")
	switch {
	case len(r.t.Rows) == 0:
		return "Nothing was recorded."
	case len(r.t.Columns) == 1 && r.t.Columns[0].Runs > 1 && residue.Empty():
		return fmt.Sprintf("One kernel: %s, the same in all %d runs.", rows, r.t.Columns[0].Runs)
	case len(r.t.Columns) == 1:
		return "One kernel: " + rows + " recorded, and nothing to compare them with."
	case len(r.t.Edges()) == 0:
		return "No two kernels have a variant in common: " + rows + " recorded, nothing compared."
	case !residue.Empty():
		return "Nothing differs in what could be compared."
	}
	return fmt.Sprintf("Nothing differs: %s, the same on all %d kernels.", rows, len(r.t.Columns))
}

// residue writes what could not be compared.
func (r *report) residue(residue table.Residue) {
	if len(residue.Cells)+len(residue.Probes)+len(residue.Absent)+len(residue.Clocks) == 0 {
		return
	}
	r.p.blank()
	r.p.line(span{bad, "not compared"})
	for _, same := range r.alike(residue.Cells) {
		if c := r.t.Columns[same[0]]; len(same) > 1 {
			r.p.para(2, bad, fmt.Sprintf("%s %s: %s", r.labels(same), c.Outcome, cmp.Or(c.Reason, noReason)))
		} else {
			r.failedCell(same[0])
		}
	}
	g := grid{indent: 2}
	for _, u := range gather(residue) {
		g.add(span{bad, u.status}, span{strong, r.labels(u.columns)}, span{plain, u.reason})
		g.add(span{}, span{}, span{dim, joinNames(u.names)})
	}
	g.write(r.p)
}

// consoleLines is how much of a dead guest's console is shown; the rest is in
// its file.
const consoleLines = 8

// alike brings together cells of which there is the same to say and no more: an
// interrupt leaves a pool of them.
func (r *report) alike(columns []int) [][]int {
	var out [][]int
	for _, i := range columns {
		c := r.t.Columns[i]
		at := slices.IndexFunc(out, func(same []int) bool {
			o := r.t.Columns[same[0]]
			return len(c.Console)+len(o.Console) == 0 && c.Outcome == o.Outcome && c.Reason == o.Reason
		})
		if at < 0 {
			out = append(out, []int{i})
		} else {
			out[at] = append(out[at], i)
		}
	}
	return out
}

func (r *report) failedCell(i int) {
	c := r.t.Columns[i]
	none := 0
	for _, p := range r.t.Probes {
		if !p.Outcomes[i].Status.Behaviour() {
			none++
		}
	}
	r.p.brief(2, bad, fmt.Sprintf("%s %s: %s", c.Label, c.Outcome, cmp.Or(c.Reason, noReason)))
	if none > 0 && none < len(r.t.Probes) {
		r.p.para(4, dim, fmt.Sprintf("%d of %s have no answer", none, count(len(r.t.Probes), "probe")))
	}
	g := grid{indent: 4}
	for _, l := range c.Console[max(len(c.Console)-consoleLines, 0):] {
		g.add(span{dim, "│"}, span{dim, l})
	}
	g.write(r.p)
}

// unanswered is residue for one reason: probes, or rows that were not recorded.
type unanswered struct {
	status, reason string
	columns        []int
	names          []string
}

// gather brings together what has the same status, reason and kernels.
func gather(residue table.Residue) []unanswered {
	var out []unanswered
	add := func(u unanswered) {
		for i := range out {
			o := &out[i]
			if o.status == u.status && o.reason == u.reason && slices.Equal(o.columns, u.columns) {
				o.names = append(o.names, u.names...)
				return
			}
		}
		out = append(out, u)
	}
	for _, p := range residue.Probes {
		add(unanswered{string(p.Status), cmp.Or(p.Reason, noReason), p.Columns, []string{p.Probe}})
	}
	for _, a := range residue.Absent {
		add(unanswered{string(table.Absent), "recorded without a row that other kernels have", a.Columns, []string{a.Row}})
	}
	for _, c := range residue.Clocks {
		add(unanswered{"clock", clocksReason, []int{c.From, c.To}, []string{c.Probe}})
	}
	return out
}

// joinNames lists probes and rows, a probe's places behind the probe.
func joinNames(names []string) string {
	var out []string
	last := ""
	for _, n := range names {
		b, place := base(n)
		if b == last && place != "" {
			n = place
		}
		out, last = append(out, n), b
	}
	return strings.Join(out, ", ")
}

// unsupported writes what no kernel supports: nothing differs, and yet the
// reader may believe it was tested.
func (r *report) unsupported() {
	for i, u := range r.unsupportedEverywhere() {
		if i == 0 {
			r.p.blank()
		}
		r.p.para(0, dim, fmt.Sprintf("unsupported everywhere, %s: %s", u.reason, joinNames(u.names)))
	}
}

// unsupportedEverywhere are the probes that no kernel supports, by reason.
func (r *report) unsupportedEverywhere() []unanswered {
	var out []unanswered
	for _, p := range r.t.Probes {
		if len(p.Outcomes) == 0 || slices.ContainsFunc(p.Outcomes, func(v table.Value) bool { return v.Status != table.Unsupported }) {
			continue
		}
		reason := cmp.Or(p.Outcomes[0].Text, noReason)
		at := slices.IndexFunc(out, func(u unanswered) bool { return u.reason == reason })
		if at < 0 {
			at = len(out)
			out = append(out, unanswered{status: string(table.Unsupported), reason: reason})
		}
		out[at].names = append(out[at].names, p.Name)
	}
	return out
}

// countParts sum the table up.
func (r *report) countParts(s Summary) []string {
	n := countTable(r.t)
	parts := []string{count(n.Kernels, "kernel")}
	if n.Kernels != n.Cells {
		parts = append(parts, count(n.Cells, "cell"))
	}
	parts = append(parts, count(n.Probes, "probe"), count(n.Rows, "row"),
		changesText(n.Changes, n.Explained), fmt.Sprintf("%d broken", n.Broken))
	if n.Crashed > 0 {
		parts = append(parts, fmt.Sprintf("%d crashed", n.Crashed))
	}
	if n.Missing > 0 {
		parts = append(parts, fmt.Sprintf("%d missing", n.Missing))
	}
	if n.Unstable > 0 {
		parts = append(parts, fmt.Sprintf("%d unstable", n.Unstable))
	}
	if n.Failed > 0 {
		parts = append(parts, count(n.Failed, "cell")+" incomplete")
	}
	if s.Elapsed > 0 {
		parts = append(parts, seconds(s.Elapsed))
	}
	return parts
}

// counts writes the last lines.
func (r *report) counts(s Summary) {
	parts := r.countParts(s)
	r.p.blank()
	r.p.para(0, strong, strings.Join(parts, " · "))
	r.origins(s)
}

// origins says what was not measured again, and where the results are.
func (r *report) origins(s Summary) {
	if s.Cached > 0 {
		r.p.line(span{dim, fmt.Sprintf("%s from the cache, %d booted", count(s.Cached, "cell"), s.Booted)})
	}
	if s.Dir != "" {
		r.p.line(span{dim, "results in "}, span{plain, s.Dir})
	}
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func seconds(d time.Duration) string {
	if d < 2*time.Minute {
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return d.Round(time.Second).String()
}
