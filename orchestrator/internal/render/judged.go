package render

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/ctmatrix/ctmatrix/orchestrator/internal/table"
)

// Judged says how a judgement is told.
type Judged struct {
	Summary
	Blessed    string // directory of what was blessed
	Neighbours bool   // whether also what differs between neighbours is told in full
}

// JudgedText writes what differs between a run and what was blessed, in the look
// of DiffText; then how kernels that were never blessed differ from their
// neighbours, and what could not be compared.
func JudgedText(w io.Writer, j *table.Judgement, s Judged, o Options) error {
	r := newReport(j.B, o)
	r.heads = append(r.heads, j.A.Heads...)
	df := &difference{page: r.page, d: j.Difference}
	df.pairs()
	r.partners(j)
	df.differences()
	r.asBlessed(j)
	df.names(boundary, "vanished", j.Vanished)
	r.fresh(df, j)
	df.names(dim, "probes that were blessed, and that the run did not ask", j.ProbesA)
	r.below(j)
	if s.Neighbours {
		r.neighbours()
	}
	r.unstable(j.Gaps.Unstable)
	r.chance()
	df.residue()
	r.residue(j.Gaps)
	r.unsupported()
	r.stale(&j.Book, j.Stale())
	r.judgedCounts(j, s)
	_, err := w.Write(r.p.buf.Bytes())
	return err
}

// partners names the kernels of one side.
func (r *report) partners(j *table.Judgement) {
	if len(j.OnlyA) > 0 {
		r.p.para(0, dim, "blessed, and not in the run: "+strings.Join(labelsOf(j.A, j.OnlyA), ", "))
	}
	for _, i := range j.OnlyB {
		text := "never blessed: " + r.label(i)
		if parent := j.B.Columns[i].Parent; parent >= 0 {
			text += ", compared with its neighbour " + r.label(parent)
		} else {
			text += ", and none below it to compare it with"
		}
		r.p.para(0, boundary, text)
	}
}

// asBlessed says in a sentence that nothing differs from what was blessed.
func (r *report) asBlessed(j *table.Judgement) {
	if j.Changes()+j.Fresh() > 0 {
		return
	}
	text := fmt.Sprintf("As blessed: %s on %s.", count(len(j.B.Rows), "row"), count(len(j.Pairs), "kernel"))
	switch {
	case len(j.Pairs) == 0:
		text = "No kernel of the run was blessed."
	case j.Failed():
		text = "As blessed, in what could be compared."
	}
	r.p.blank()
	r.p.para(0, strong, text)
}

// fresh lists what is asked of blessed kernels, and was not blessed.
func (r *report) fresh(df *difference, j *table.Judgement) {
	df.names(boundary, "new", j.New)
	if len(j.Pairs) > 0 {
		df.names(boundary, "new probes", j.ProbesB)
	}
	var order []string
	probes := map[string][]string{} // by kernels
	for _, u := range j.Unblessed {
		var where []string
		for _, p := range u.Pairs {
			where = append(where, pairLabel(j.Difference, p))
		}
		key := strings.Join(where, ", ")
		if probes[key] == nil {
			order = append(order, key)
		}
		probes[key] = append(probes[key], u.Probe)
	}
	for _, kernels := range order {
		df.names(boundary, "new on "+kernels, probes[kernels])
	}
}

// below writes how kernels that were never blessed differ from their neighbours.
func (r *report) below(j *table.Judgement) {
	if len(j.Below) == 0 {
		return
	}
	r.heading("never blessed, compared with the neighbour below")
	open, explained := splitGroups(j.B.GroupsOf(j.Below))
	r.blocks(r.items(open))
	r.explained(explained)
}

// neighbours writes what differs between neighbours, as a run without a baseline
// tells it.
func (r *report) neighbours() {
	groups := r.t.Groups()
	if len(groups) == 0 {
		return
	}
	r.heading("between neighbours")
	open, explained := splitGroups(groups)
	r.blocks(r.items(open))
	r.explained(explained)
}

// judgedCounts writes the last lines.
func (r *report) judgedCounts(j *table.Judgement, s Judged) {
	found := j.Findings()
	explained := found[table.FoundExplained]
	parts := []string{
		count(len(j.Pairs), "kernel") + " compared with " + s.Blessed, count(len(j.B.Rows), "row"),
		changesText(explained+found[table.FoundUnexplained], explained),
		fmt.Sprintf("%d vanished", found[table.FoundVanished]), fmt.Sprintf("%d new", found[table.FoundNew]),
	}
	for _, f := range []table.Finding{table.FoundUnstable, table.FoundBroken, table.FoundCrashed, table.FoundMissing, table.FoundUncompared} {
		if found[f] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", found[f], f))
		}
	}
	if s.Elapsed > 0 {
		parts = append(parts, seconds(s.Elapsed))
	}
	r.p.blank()
	r.p.para(0, strong, strings.Join(parts, " · "))
	if changes := r.t.Changes(); len(changes) > 0 && !s.Neighbours {
		between := changesText(len(changes), len(changes)-table.Unexplained(changes))
		r.p.para(0, dim, "between neighbours: "+between+"; --neighbours tells which")
	}
	r.origins(s.Summary)
}

// JudgedReport is what JudgedJSON writes: what differs from what was blessed, as
// DiffReport has it, and the rest.
type JudgedReport struct {
	DiffReport
	Baseline  string         `json:"baseline"`  // directory of what was blessed
	Unblessed []UnblessedGap `json:"unblessed"` // probes that some kernels were not asked when they were blessed
	Below     []Change       `json:"below"`     // of kernels that were never blessed, against their neighbours
	Run       Report         `json:"run"`       // the run by itself
}

// UnblessedGap is a probe, and the pairs in which it was not blessed.
type UnblessedGap struct {
	Probe string   `json:"probe"`
	Pairs []string `json:"pairs"`
}

// JudgedJSON writes the same as JudgedText for a program: one JudgedReport.
func JudgedJSON(w io.Writer, j *table.Judgement, s Judged) error {
	rep := JudgedReport{
		DiffReport: diffReport(j.Difference), Baseline: s.Blessed, Unblessed: []UnblessedGap{},
		Below: []Change{}, Run: reportOf(j.B, s.Summary),
	}
	for _, u := range j.Unblessed {
		gap := UnblessedGap{Probe: u.Probe}
		for _, p := range u.Pairs {
			gap.Pairs = append(gap.Pairs, pairLabel(j.Difference, p))
		}
		rep.Unblessed = append(rep.Unblessed, gap)
	}
	for _, c := range j.Below {
		rep.Below = append(rep.Below, changeOf(j.B, c))
	}
	return encode(w, rep)
}

// BlessedText writes how a baseline moves from the older one of a judgement to the
// newer: which kernels, and which rows. Of these it tells a few, since git tells
// all. Back is the judgement the other way round. Dry says that nothing was written.
func BlessedText(w io.Writer, j, back *table.Judgement, dir string, dry bool, o Options) error {
	d := j.Difference
	df := &difference{page: newPage(o, nil, nil), d: d}
	g := grid{}
	for i, p := range d.Pairs {
		x, y := d.A.Columns[p.A].Kernel.Version, d.B.Columns[p.B].Kernel.Version
		if x != y {
			g.add(span{strong, pairLabel(d, i)}, span{plain, x + " → " + y})
		}
	}
	for _, i := range d.OnlyB {
		g.add(span{strong, d.B.Columns[i].Label}, span{plain, "new: " + d.B.Columns[i].Kernel.Version})
	}
	for _, i := range d.OnlyA {
		g.add(span{strong, d.A.Columns[i].Label}, span{plain, "forgotten: " + d.A.Columns[i].Kernel.Version})
	}
	g.write(df.p)
	added, vanished := moved(d.B, d.New, d.ProbesB, j.Unblessed), moved(d.A, d.Vanished, d.ProbesA, back.Unblessed)
	df.few("changed", df.changes())
	df.few("added", added)
	df.few("vanished", vanished)
	df.p.blank()
	df.p.para(0, strong, fmt.Sprintf("%s · %s · %s · %d added · %d changed · %d vanished",
		count(len(d.B.Columns), "kernel"), count(len(d.B.Probes), "probe"), count(len(d.B.Rows), "row"),
		len(added), len(d.Rows), len(vanished)))
	if dry {
		df.p.line(span{dim, "not written to "}, span{plain, dir})
	} else {
		df.p.line(span{dim, "blessed in "}, span{plain, dir})
	}
	_, err := w.Write(df.p.buf.Bytes())
	return err
}

// moved are rows that only one side has: some, those of probes, and those of probes
// that some kernels have only there.
func moved(t *table.Table, rows, probes []string, some []table.Unblessed) []string {
	whole := map[string]bool{}
	for _, p := range probes {
		whole[p] = true
	}
	for _, u := range some {
		whole[u.Probe] = true
	}
	out := slices.Clone(rows)
	for _, r := range t.Rows {
		if whole[r.Probe] {
			out = append(out, r.Name)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// changes are the rows that differ, in words.
func (df *difference) changes() []string {
	var out []string
	for _, r := range df.d.Rows {
		text := r.Name
		for i, differs := range r.Differs {
			if differs {
				text += "  " + df.d.B.Columns[df.d.Pairs[i].B].Label + " " + valueText(r.Old[i]) + " → " + valueText(r.New[i])
			}
		}
		out = append(out, text)
	}
	return out
}

// mostMoved is how many rows of a kind are told.
const mostMoved = 10

// few writes the first of a list, and how many more there are.
func (df *difference) few(title string, lines []string) {
	if len(lines) == 0 {
		return
	}
	df.heading(title)
	for _, l := range lines[:min(len(lines), mostMoved)] {
		df.p.brief(2, plain, l)
	}
	if more := len(lines) - mostMoved; more > 0 {
		df.p.para(2, dim, fmt.Sprintf("%d more", more))
	}
}
