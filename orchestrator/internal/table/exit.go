package table

// The exit statuses of a comparison.
const (
	ExitSame    = 0 // nothing that is not explained
	ExitChanged = 1 // behaviour changed
	ExitFailed  = 2 // something could not be compared: the tool or a cell failed
)

// ExitStatus turns what was found into the exit status of the command. A
// failure weighs more than a change, since more changes may hide behind it.
func ExitStatus(changes int, failed bool) int {
	switch {
	case failed:
		return ExitFailed
	case changes > 0:
		return ExitChanged
	}
	return ExitSame
}
