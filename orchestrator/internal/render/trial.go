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
		flips := span{plain, count(b.FlipCount(), "flip")}
		switch n := b.FlipCount(); {
		case !b.Compared():
			flips = span{dim, "nothing to compare with"}
		case n > 0:
			flips.style = bad
		}
		g.add(
			span{strong, b.Label}, span{plain, b.Kernel.Version},
			span{plain, fmt.Sprintf("%s × %s", count(b.Rows, "row"), count(len(b.Recordings), "run"))},
			flips, span{dim, tr.values(b)},
		)
	}
	g.write(tr.p)
}

func (tr *trial) values(b table.Build) string {
	var parts []string
	if b.Compared() {
		parts = append(parts, "in "+count(b.Values, "value"))
	}
	if c := b.Guest.Clock; c != "" && c != usualClock && !strings.Contains(b.Label, c) {
		parts = append(parts, c+" clock")
	}
	return strings.Join(parts, "; ")
}

// flips writes each row that flipped, its values, and who saw them.
func (tr *trial) flips() {
	for _, b := range tr.t.Builds {
		if len(b.Flips) == 0 {
			continue
		}
		tr.p.blank()
		tr.p.line(span{bad, "differs on " + b.Label})
		for _, f := range b.Flips {
			tr.p.para(2, name, f.Row)
			g := grid{indent: 4}
			for i, s := range f.Seen {
				g.add(span{plain, fmt.Sprintf("%d×", len(s.In))}, span{plain, s.Value.Quoted()}, span{dim, tr.who(b, i, s.In)})
			}
			g.write(tr.p)
		}
	}
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

// conditions writes under which different conditions kernels were compared, and
// which recordings of a kernel were not compared with each other.
func (tr *trial) conditions() {
	var lines []string
	for _, b := range tr.t.Builds {
		for _, c := range b.Conditions {
			lines = append(lines, fmt.Sprintf("%s: compared across different %s: %s", b.Label, c.Name, strings.Join(c.Values, " and ")))
		}
	}
	if len(tr.t.Apart()) > 0 {
		lines = append(lines, "counted apart, not compared with each other: "+strings.Join(tr.t.Apart(), ", "))
	}
	if len(lines) == 0 {
		return
	}
	tr.p.blank()
	for _, l := range lines {
		tr.p.brief(0, boundary, l)
	}
}

// totals writes the last lines.
func (tr *trial) totals(s Summary) {
	tr.p.blank()
	if !tr.t.Compared() {
		tr.p.para(0, strong, "No kernel ran more than once: nothing compared.")
	} else {
		tr.p.para(0, strong, totalsText(tr.t)+elapsedText(s))
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
func totalsText(t *table.Trial) string {
	values, kernels, rows, runs, upTo := 0, 0, 0, 0, ""
	for _, b := range t.Builds {
		if !b.Compared() {
			continue
		}
		if kernels > 0 && (b.Rows != rows || len(b.Recordings) != runs) {
			upTo = "up to "
		}
		kernels++
		values, rows, runs = values+b.Values, max(rows, b.Rows), max(runs, len(b.Recordings))
	}
	if rows*runs*kernels != values {
		upTo = "up to "
	}
	return fmt.Sprintf("%s in %s (%s%s × %s × %s)", count(t.FlipCount(), "flip"), count(values, "value"),
		upTo, count(rows, "row"), count(runs, "run"), count(kernels, "kernel"))
}
