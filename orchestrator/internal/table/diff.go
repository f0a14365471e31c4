package table

// Difference is how table B differs from table A, column by column.
type Difference struct {
	A, B  *Table
	Pairs []Pair // columns that are compared, by B
	OnlyA []int  // columns of A without a partner
	OnlyB []int  // columns of B without a partner
	// Rows differ in at least one pair; by name.
	Rows []DiffRow
	// Vanished and New are rows of probes that both sides recorded, which only
	// A or only B has.
	Vanished, New []string
	Residue       []Uncompared
}

// Pair is a column of A and one of B that are compared, and why.
type Pair struct {
	A, B int
	By   Match
}

// Match says what made a pair.
type Match string

// The matches, in the order in which they are tried.
const (
	ByVersion Match = "version" // the same build
	ByRef     Match = "ref"     // the same ref, which has moved on since
	BySeries  Match = "series"  // the only ones of a series on both sides
	ByChoice  Match = "choice"  // each side has only this one
)

// DiffRow is one row's values, old and new, parallel to Difference.Pairs.
type DiffRow struct {
	Name, Probe string
	Old, New    []Value
}

// Uncompared is a probe that one side of some pairs gives no behaviour for.
type Uncompared struct {
	Probe    string
	Pairs    []int // indexes of Difference.Pairs
	Old, New Value // of the first of them
}

// Diff compares two tables: the same kernel under the same variant, by version,
// else by ref, else by series. Where each side has a single column, these are
// compared whatever they are: that is how two kernels of one run are.
func Diff(a, b *Table) *Difference { return &Difference{A: a, B: b} }
