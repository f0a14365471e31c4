package baseline

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/table"
)

// Options say what of a run is blessed.
type Options struct {
	Kernels func(c results.Cell) bool // nil for all of the run's
	Probes  func(name string) bool    // nil for all of the run's
	// Incomplete blesses what was answered where not all was. The rest stays as it
	// was blessed; of a kernel that has moved on since it is forgotten.
	Incomplete bool
	// Prune forgets the kernels and probes that the run did not ask.
	Prune bool
}

// Refusal is why a run is not blessed: a line for each reason, and how to mend it.
type Refusal struct{ Reasons []string }

func (r *Refusal) Error() string { return strings.Join(r.Reasons, "\n") }

// mostReasons is how many are told; the others are counted.
const mostReasons = 10

func refuse(reasons []string, mend string) error {
	if more := len(reasons) - mostReasons; more > 0 {
		reasons = append(reasons[:mostReasons:mostReasons], fmt.Sprintf("and %d more", more))
	}
	return &Refusal{append(slices.Clip(reasons), mend)}
}

// Bless returns the baseline that old becomes when a run is blessed; old stays as
// it is. What the run did not ask, or what is not chosen of it, stays. The error is
// a *Refusal where the run has cells, probes or rows that are no behaviour, and
// where a kernel has moved on and not all of its probes are blessed anew.
func Bless(old *Baseline, run *table.Table, o Options) (*Baseline, error) {
	b := &blessing{Options: o, old: old, run: run}
	if failed := b.failures(); len(failed) > 0 && !o.Incomplete {
		return nil, refuse(failed, "not blessed: run it again, or bless the rest with --incomplete")
	}
	out := &Baseline{}
	took := map[int]int{} // columns of the run, by cells of old
	for _, p := range table.Judge(old.Table(), run, nil).Pairs {
		if p.By == table.ByVersion || p.By == table.ByRef {
			took[p.A] = p.B
		}
	}
	used := map[int]bool{}
	for i := range old.Cells {
		switch col, ok := took[i]; {
		case ok && b.chosen(col):
			used[col] = true
			out.Cells = append(out.Cells, b.renew(old.Cells[i], col))
		case !o.Prune:
			out.Cells = append(out.Cells, old.Cells[i])
		}
	}
	if len(b.mixed) > 0 {
		return nil, refuse(b.mixed, "not blessed: bless all probes of these kernels, or forget the others with --prune")
	}
	for col := range run.Columns {
		if fresh := b.answered(col); b.chosen(col) && !used[col] && len(fresh.Probes) > 0 {
			fresh.ID = out.name(fresh.Cell)
			out.Cells = append(out.Cells, fresh)
		}
	}
	out.Cells = slices.DeleteFunc(out.Cells, func(c results.CellRows) bool { return len(c.Probes) == 0 })
	if len(out.Cells) > maxColumns {
		return nil, refuse(nil, fmt.Sprintf("not blessed: %d kernels, and a baseline has at most %d: bless fewer", len(out.Cells), maxColumns))
	}
	out.sort()
	return out, nil
}

// blessing is one Bless.
type blessing struct {
	Options
	old   *Baseline
	run   *table.Table
	mixed []string // kernels that would be partly of an older build
}

// chosen reports whether a column of the run is blessed.
func (b *blessing) chosen(col int) bool {
	return b.Kernels == nil || b.Kernels(b.run.Columns[col].Cell)
}

// wants reports whether a probe is blessed.
func (b *blessing) wants(probe string) bool { return b.Probes == nil || b.Probes(probe) }

// failures are what is chosen of the run and is no behaviour.
func (b *blessing) failures() []string {
	var out []string
	for col, c := range b.run.Columns {
		if b.chosen(col) && c.Outcome != results.CellOK {
			out = append(out, fmt.Sprintf("%s %s: %s", c.Label, c.Outcome, cmp.Or(c.Reason, "no reason given")))
		}
	}
	for _, p := range b.run.Probes {
		for col, v := range p.Outcomes {
			// Of a cell that failed the above says so; the others may not have been asked.
			quiet := v.Status == table.Missing && b.run.Columns[col].Outcome != results.CellOK || b.run.Unasked(v, col)
			if b.chosen(col) && b.wants(p.Name) && !v.Status.Behaviour() && !quiet {
				out = append(out, strings.TrimSuffix(fmt.Sprintf("%s %s on %s: %s", p.Name, v.Status, b.run.Columns[col].Label, v.Text), ": "))
			}
		}
	}
	for _, u := range b.run.Unstable {
		for _, c := range u.Columns {
			if u.Row != u.Probe && b.chosen(c.Column) && b.wants(u.Probe) {
				out = append(out, fmt.Sprintf("%s unstable on %s: %s", u.Row, b.run.Columns[c.Column].Label, table.Tally(c.Seen)))
			}
		}
	}
	for i := range out {
		out[i] = observe.Bounded(out[i])
	}
	return out
}

// answered is what a column of the run says of the probes that are blessed: those
// that were recorded, in all of their rows, or are unsupported.
func (b *blessing) answered(col int) results.CellRows {
	c := b.run.Columns[col]
	out := results.CellRows{Cell: results.Cell{Kernel: c.Kernel, Variant: c.Variant, Outcome: results.CellOK}}
	out.Guest.Clock = c.Guest.Clock
	rows := map[string][]table.Row{} // by probe
	for _, r := range b.run.Rows {
		rows[r.Probe] = append(rows[r.Probe], r)
	}
	for _, p := range b.run.Probes {
		v := p.Outcomes[col]
		unsteady := slices.ContainsFunc(rows[p.Name], func(r table.Row) bool { return r.Values[col].Status == table.Unstable })
		if !b.wants(p.Name) || !v.Status.Behaviour() || unsteady {
			continue
		}
		probe := results.Probe{Name: p.Name, Outcome: observe.Outcome(v.Status)}
		if v.Status == table.Unsupported {
			probe.Reason = v.Text
		}
		for _, r := range rows[p.Name] {
			if value := r.Values[col]; value.Status == table.Recorded {
				out.Rows = append(out.Rows, observe.Row{Name: r.Name, Kind: value.Kind, Value: value.Text})
				probe.Rows++
			}
		}
		out.Probes = append(out.Probes, probe)
	}
	sortFacts(&out)
	return out
}

// sortFacts puts probes and rows in the order of their names.
func sortFacts(c *results.CellRows) {
	slices.SortFunc(c.Probes, func(x, y results.Probe) int { return cmp.Compare(x.Name, y.Name) })
	slices.SortFunc(c.Rows, func(x, y observe.Row) int { return cmp.Compare(x.Name, y.Name) })
}

// renew is a kernel of the baseline after a column of the run is blessed. It keeps
// its name, and its ref where the run named the same build otherwise. One that said
// nothing stays as it was.
func (b *blessing) renew(old results.CellRows, col int) results.CellRows {
	out := b.answered(col)
	if len(out.Probes) == 0 {
		return old
	}
	out.ID = old.ID
	moved := !sameKernel(old.Kernel, out.Kernel)
	if !moved {
		out.Kernel.Ref = old.Kernel.Ref
	}
	var stay []string
	for _, p := range old.Probes {
		asked := b.wants(p.Name) && b.asked(p.Name, col)
		switch {
		case slices.ContainsFunc(out.Probes, func(q results.Probe) bool { return q.Name == p.Name }):
		case !asked && b.Prune:
		case asked && moved: // incomplete, and the old answer is another kernel's
		default:
			stay = append(stay, p.Name)
			out.Probes = append(out.Probes, p)
			for _, r := range old.Rows {
				if r.Probe() == p.Name {
					out.Rows = append(out.Rows, r)
				}
			}
		}
	}
	if moved && len(stay) > 0 {
		b.mixed = append(b.mixed, fmt.Sprintf("%s: %s is blessed, the run has %s, and would leave of the former %s",
			old.ID, old.Kernel.VersionName(), out.Kernel.VersionName(), some(stay)))
	}
	sortFacts(&out)
	return out
}

// asked reports whether a column of the run was asked a probe, whatever it said.
func (b *blessing) asked(probe string, col int) bool {
	return slices.ContainsFunc(b.run.Probes, func(p table.Probe) bool {
		return p.Name == probe && !b.run.Unasked(p.Outcomes[col], col)
	})
}

// some names the first few.
func some(names []string) string {
	const most = 3
	if more := len(names) - most; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), more)
	}
	return strings.Join(names, ", ")
}

// sameKernel reports whether two are of one build. A version names one of
// Debian's; what else calls itself a release may have been built again.
func sameKernel(a, b results.Kernel) bool {
	return a.VersionName() == b.VersionName() && (a.Source == "debian" && b.Source == "debian" || a.Digest == b.Digest)
}
