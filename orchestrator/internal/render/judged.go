package render

import (
	"fmt"
	"io"
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
	df := &difference{page: r.page, d: j.Difference, asides: r.asides}
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
