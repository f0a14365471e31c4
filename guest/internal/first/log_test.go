package first

import "testing"

func TestComplaint(t *testing.T) {
	for record, want := range map[string]string{
		"3,845,12345678,-;Out of memory: Killed process 77 (ctagent)\n SUBSYSTEM=x\n": "[   12.345678] Out of memory: Killed process 77 (ctagent)",
		"4,1,5,-;a warning\n":                               "[    0.000005] a warning",
		"6,1,5,-;only a remark\n":                           "",
		"12,1,5,-;of a program, at the level of warnings\n": "[    0.000005] of a program, at the level of warnings",
		"4,1,5,-;an \x1b[2J escape\n":                       "[    0.000005] an \\x1b[2J escape",
		"nonsense":                                          "", "4;text": "", "x,1,2;text": "", "4,1,x;text": "", "": "",
	} {
		if got := complaint([]byte(record)); got != want {
			t.Errorf("%q is told as %q, want %q", record, got, want)
		}
	}
}
