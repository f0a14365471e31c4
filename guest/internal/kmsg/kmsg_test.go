package kmsg

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ctmatrix/ctmatrix/guest/observe"
)

func TestParse(t *testing.T) {
	// 12 is facility user, severity 4: <facility * 8 + severity>.
	got, err := Parse([]byte("12,339,5140900,-;nf_conntrack: table full, dropping packet; really\n SUBSYSTEM=net\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := observe.Log{Level: 4, AtUS: 5140900, Text: "nf_conntrack: table full, dropping packet; really"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, bad := range []string{"", "no header", "6,1;text", "x,1,2,-;text", "6,1,x,-;text"} {
		if line, err := Parse([]byte(bad)); err == nil {
			t.Errorf("Parse(%q) = %+v, want an error", bad, line)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("6,339,5140900,-;text\n KEY=value\n"))
	f.Add([]byte("6,339,5140900,c,more;\x1b[31m"))
	f.Fuzz(func(t *testing.T, b []byte) {
		line, err := Parse(b)
		if err == nil && (line.Level < 0 || line.Level > 7) {
			t.Errorf("Parse(%q) has severity %d", b, line.Level)
		}
	})
}
