package render

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/ctmatrix/ctmatrix/orchestrator/internal/table"
)

// trial is one StabilityText being written.
type trial struct {
	p *printer
	t *table.Trial
}

// StabilityText writes how the kernels of t compare with themselves: a line for
// each, what differed in which runs, what could not be compared, and a line of
// totals.
func StabilityText(w io.Writer, t *table.Trial, s Summary, o Options) error {
	tr := &trial{p: newPrinter(o), t: t}
	tr.builds()
	tr.flips()
	tr.residue()
	tr.conditions()
	tr.totals(s)
	_, err := w.Write(tr.p.buf.Bytes())
	return err
}

// builds writes a line for each kernel.
func (tr *trial) builds() {
	g := grid{}
	for _, b := range tr.t.Builds {
		flips := span{plain, fmt.Sprintf("%s in %s", count(b.FlipCount(), "flip"), count(b.Values, "value"))}
		switch n := b.FlipCount(); {
		case !b.Compared():
			flips = span{dim, "nothing to compare with"}
		case n > 0:
			flips.style = bad
		}
		clock := ""
		if c := b.Guest.Clock; c != "" && c != usualClock && !strings.Contains(b.Label+" ", c+" clock ") {
			clock = c + " clock"
		}
		g.add(
			span{strong, b.Label},
			span{plain, fmt.Sprintf("%s × %s", count(b.Rows, "row"), count(len(b.Recordings), "run"))},
			flips, span{dim, clock},
		)
	}
	g.write(tr.p)
}

// flips writes each row that flipped, its values, and who saw them.
func (tr *trial) flips() {
	for _, b := range tr.t.Builds {
		if len(b.Flips) == 0 {
			continue
		}
		tr.p.blank()
		tr.p.line(span{bad, "differs on " + b.Label})
		for _, f := range sameFlips(b.Flips) {
			tr.p.para(2, name, joinNames(f.rows))
			g := grid{indent: 4}
			for i, s := range f.seen {
				g.add(span{plain, fmt.Sprintf("%d×", len(s.In))}, span{plain, s.Value.Quoted()}, span{dim, tr.who(b, i, s.In)})
			}
			g.write(tr.p)
		}
	}
}

// sameFlip is rows that had the same values in the same runs.
type sameFlip struct {
	rows []string
	seen []table.Seen
}

func sameFlips(flips []table.Flip) []sameFlip {
	var out []sameFlip
	same := func(a, b table.Seen) bool { return a.Value == b.Value && slices.Equal(a.In, b.In) }
	for _, f := range flips {
		at := slices.IndexFunc(out, func(o sameFlip) bool { return slices.EqualFunc(o.seen, f.Seen, same) })
		if at < 0 {
			at = len(out)
			out = append(out, sameFlip{seen: f.Seen})
		}
		out[at].rows = append(out[at].rows, f.Row)
	}
	return out
}

// mostNamed is how many runs are named that saw the most common value; those of
// the others all are.
const mostNamed = 3

func (tr *trial) who(b table.Build, rank int, in []int) string {
	if rank == 0 && len(in) > mostNamed {
		return "the other runs"
	}
	return recordingNames(b, in)
}

func recordingNames(b table.Build, in []int) string {
	var out []string
	for _, i := range in {
		out = append(out, b.Recordings[i].Name)
	}
	return strings.Join(out, ", ")
}

// residue writes what could not be compared.
func (tr *trial) residue() {
	if !slices.ContainsFunc(tr.t.Builds, func(b table.Build) bool { return len(b.Failed)+len(b.Unanswered) > 0 }) {
		return
	}
	tr.p.blank()
	tr.p.line(span{bad, "not compared"})
	g := grid{indent: 2}
	for _, b := range tr.t.Builds {
		for _, i := range b.Failed {
			r := b.Recordings[i]
			tr.p.brief(2, bad, fmt.Sprintf("%s %s: %s", r.Name, r.Outcome, cmp.Or(r.Reason, noReason)))
		}
		for _, u := range gather(table.Residue{Probes: b.Unanswered}) {
			g.add(span{bad, u.status}, span{strong, b.Label}, span{plain, u.reason})
			g.add(span{}, span{}, span{dim, joinNames(u.names)})
		}
	}
	g.write(tr.p)
}

// conditions writes which different conditions were compared, and which were
// not: those of several kernels in one line.
func (tr *trial) conditions() {
	var all []table.Condition
	for _, b := range tr.t.Builds {
		all = append(all, b.Conditions...)
	}
	across, apart := sameConditions(all), sameConditions(tr.t.Apart)
	if len(across)+len(apart) > 0 {
		tr.p.blank()
	}
	for _, c := range across {
		tr.p.brief(0, boundary, fmt.Sprintf("compared across %s (%s): %s", c.Name, strings.Join(c.Values, " / "), c.Kernel))
	}
	for _, c := range apart {
		tr.p.brief(0, boundary, fmt.Sprintf("not compared, %s differ (%s): %s", c.Name, strings.Join(c.Values, " / "), c.Kernel))
	}
}

// sameConditions puts kernels together of which the same differs.
func sameConditions(all []table.Condition) []table.Condition {
	var out []table.Condition
	for _, c := range all {
		at := slices.IndexFunc(out, func(o table.Condition) bool { return o.Name == c.Name && slices.Equal(o.Values, c.Values) })
		if at < 0 {
			out = append(out, c)
			continue
		}
		out[at].Kernel += ", " + c.Kernel
	}
	return out
}

// totals writes the last lines.
func (tr *trial) totals(s Summary) {
	tr.p.blank()
	if n := tr.t.Totals(); n.Kernels == 0 {
		tr.p.para(0, strong, "No kernel has rows of two runs: nothing compared.")
	} else {
		tr.p.para(0, strong, totalsText(n)+elapsedText(s))
	}
	if s.Dir != "" {
		tr.p.line(span{dim, "results in "}, span{plain, s.Dir})
	}
}

func elapsedText(s Summary) string {
	if s.Elapsed == 0 {
		return ""
	}
	return " · " + seconds(s.Elapsed)
}

// totalsText is "0 flips in 75900 values (759 rows × 25 runs × 4 kernels)", with
// "up to" where kernels differ in rows or runs.
func totalsText(n table.Totals) string {
	upTo := ""
	if !n.Even {
		upTo = "up to "
	}
	return fmt.Sprintf("%s in %s (%s%s × %s × %s)", count(n.Flips, "flip"), count(n.Values, "value"),
		upTo, count(n.Rows, "row"), count(n.Runs, "run"), count(n.Kernels, "kernel"))
}
