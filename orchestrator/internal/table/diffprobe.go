package table

import "github.com/ctmatrix/ctmatrix/orchestrator/internal/results"

// probeDiff is one probe being compared that both sides have.
type probeDiff struct {
	*Difference
	a, b  Probe
	apart []bool // pairs in which the clocks differ and the probe depends on them
}

func (d *Difference) compareProbe(a, b Probe) {
	p := probeDiff{Difference: d, a: a, b: b, apart: d.apart(a.Name)}
	for i := range d.Pairs {
		p.addResidue(i)
	}
	p.compareRow(Row{Name: a.Name, Probe: a.Name, Values: a.Outcomes}, b.Outcomes)
	rowsA, rowsB := d.A.rowsOf(a.Name), d.B.rowsOf(a.Name)
	for len(rowsA) > 0 || len(rowsB) > 0 {
		switch {
		case len(rowsB) == 0 || len(rowsA) > 0 && rowsA[0].Name < rowsB[0].Name:
			p.onlyA(rowsA[0])
			rowsA = rowsA[1:]
		case len(rowsA) == 0 || rowsB[0].Name < rowsA[0].Name:
			p.onlyB(rowsB[0])
			rowsB = rowsB[1:]
		default:
			p.compareRow(rowsA[0], rowsB[0].Values)
			rowsA, rowsB = rowsA[1:], rowsB[1:]
		}
	}
}

// apart says in which pairs a probe is not compared.
func (d *Difference) apart(probe string) []bool {
	out := make([]bool, len(d.Pairs))
	if d.A.timed(probe) || d.B.timed(probe) {
		for i := range out {
			_, _, out[i] = d.Clocks(i)
		}
	}
	return out
}

// rowsFit reports whether the rows of a pair may be compared.
func (p *probeDiff) rowsFit(pair int) bool {
	at := p.Pairs[pair]
	return !p.apart[pair] && p.a.Outcomes[at.A].Status == Recorded && p.b.Outcomes[at.B].Status == Recorded
}

// onlyA notes a row that B lacks, if some pair has it in A, and B recorded its
// probe.
func (p *probeDiff) onlyA(row Row) {
	gone := false
	for i, at := range p.Pairs {
		gone = gone || p.rowsFit(i) && row.Values[at.A].Status == Recorded
		p.leaveUnstable(i, row, row.Values[at.A], Value{Status: Absent})
	}
	if gone {
		p.Vanished = append(p.Vanished, row.Name)
	}
}

// onlyB is onlyA the other way round.
func (p *probeDiff) onlyB(row Row) {
	come := false
	for i, at := range p.Pairs {
		come = come || p.rowsFit(i) && row.Values[at.B].Status == Recorded
		p.leaveUnstable(i, row, Value{Status: Absent}, row.Values[at.B])
	}
	if come {
		p.New = append(p.New, row.Name)
	}
}

// compareRow notes a row, or the probe as a whole, that differs in some pair.
func (p *probeDiff) compareRow(a Row, b []Value) {
	whole := a.Name == a.Probe
	r := DiffRow{Name: a.Name, Probe: a.Probe}
	differs := false
	for i, at := range p.Pairs {
		old, new := a.Values[at.A], b[at.B]
		both := old.Status == Recorded && new.Status == Recorded
		if whole {
			both = old.Status.Behaviour() && new.Status.Behaviour()
		} else {
			p.leaveUnstable(i, a, old, new)
		}
		differ := both && !old.Equal(new)
		// A row that the other side recorded without is gone or new there.
		differ = differ || !whole && old.Status == Recorded && new.Status == Absent
		differ = differ || !whole && old.Status == Absent && new.Status == Recorded
		differ = differ && !p.apart[i]
		r.Old, r.New, r.Differs = append(r.Old, old), append(r.New, new), append(r.Differs, differ)
		differs = differs || differ
	}
	if differs {
		p.Rows = append(p.Rows, r)
	}
}

// addResidue notes the probe where a pair does not compare it.
func (p *probeDiff) addResidue(pair int) {
	at := p.Pairs[pair]
	old, new := p.a.Outcomes[at.A], p.b.Outcomes[at.B]
	cells := p.A.Columns[at.A].Outcome == results.CellOK && p.B.Columns[at.B].Outcome == results.CellOK
	if !p.apart[pair] && old.Status.Behaviour() && new.Status.Behaviour() {
		return
	}
	if !cells && !said(old) && !said(new) {
		return // never ran, and Cells says why
	}
	p.leave(Uncompared{Probe: p.a.Name, Pairs: []int{pair}, Old: old, New: new, Clocks: p.apart[pair]})
}

// said reports whether v tells of a failure of the probe itself.
func said(v Value) bool {
	return v.Status == Broken || v.Status == Crashed || v.Status == Unstable
}

// leaveUnstable adds a row to the residue that one side of a pair did not answer
// the same way every time.
func (p *probeDiff) leaveUnstable(pair int, row Row, old, new Value) {
	if p.rowsFit(pair) && (old.Status == Unstable || new.Status == Unstable) {
		p.leave(Uncompared{Probe: row.Probe, Row: row.Name, Pairs: []int{pair}, Old: old, New: new})
	}
}

// leave adds to the residue, pairs of the same answers together.
func (p *probeDiff) leave(u Uncompared) {
	for i := len(p.Residue) - 1; i >= 0 && p.Residue[i].Probe == u.Probe; i-- {
		if o := &p.Residue[i]; o.Row == u.Row && o.Old == u.Old && o.New == u.New && o.Clocks == u.Clocks {
			o.Pairs = append(o.Pairs, u.Pairs...)
			return
		}
	}
	p.Residue = append(p.Residue, u)
}
