package table

// Boundary is an edge over which a row's value differs. Where columns between
// the two could not be compared, Skipped names them.
type Boundary struct {
	Edge
	Skipped []int `json:"skipped,omitempty"`
}

// Change is one row that differs over at least one edge.
type Change struct {
	Row        Row        `json:"row"`
	Boundaries []Boundary `json:"boundaries"` // by To
}

// Group is changes of one probe that look alike: the same boundaries, and the
// same runs of equal values over the columns.
type Group struct {
	Probe      string     `json:"probe"`
	Boundaries []Boundary `json:"boundaries"`
	Starts     []int      `json:"starts"` // columns at which a run of equal values starts; the first is 0
	Changes    []Change   `json:"changes"`
}

// Residue is what could not be compared, and why.
type Residue struct {
	Cells  []int        `json:"cells"`  // columns whose outcome is not ok
	Probes []Unanswered `json:"probes"` // of columns whose outcome is ok
	Absent []AbsentRow  `json:"absent"`
}

// Unanswered is a probe that gave no behaviour in some columns, for one reason.
type Unanswered struct {
	Probe   string `json:"probe"`
	Status  Status `json:"status"` // broken, crashed or missing
	Reason  string `json:"reason,omitempty"`
	Columns []int  `json:"columns"`
}

// AbsentRow is a row that a probe recorded on some kernels, but not on these.
type AbsentRow struct {
	Row     string `json:"row"`
	Columns []int  `json:"columns"`
}

// Empty reports whether everything could be compared.
func (r Residue) Empty() bool { return len(r.Cells)+len(r.Probes)+len(r.Absent) == 0 }
