package table

// Compared returns the edges over which a probe as a whole is compared: the
// neighbours in the table that has only the columns with an answer, without those
// whose clocks keep them apart. Single rows may be compared over others, where a
// column has no answer for them.
func (t *Table) Compared(p Probe) []Edge {
	var columns []int
	for i, v := range p.Outcomes {
		if v.Status.Behaviour() {
			columns = append(columns, i)
		}
	}
	var out []Edge
	for _, e := range t.edges(columns) {
		if !t.apart(p.Name, e) {
			out = append(out, e)
		}
	}
	return out
}
