package ct

import (
	"slices"
	"testing"
)

func TestStatsText(t *testing.T) {
	for want, s := range map[string]Stats{
		"none":                                   {},
		"invalid 1":                              {Invalid: 1},
		"found 3, insert_failed 2, early_drop 9": {Found: 3, InsertFailed: 2, EarlyDrop: 9},
	} {
		if got := s.String(); got != want {
			t.Errorf("%+v is written %q, want %q", s, got, want)
		}
	}
}

// The attributes of one CPU, in network order.
func TestStatsMessage(t *testing.T) {
	invalid := []byte{8, 0, 4, 0, 0, 0, 1, 2}
	chain := []byte{8, 0, 15, 0, 0, 0, 0, 3}
	unknown := []byte{8, 0, 99, 0, 0, 0, 0, 9}
	var s Stats
	for range 2 { // two CPUs
		if err := s.add(slices.Concat(invalid, unknown, chain)); err != nil {
			t.Fatal(err)
		}
	}
	if want := (Stats{Invalid: 2 * 258, ChainTooLong: 6}); s != want {
		t.Errorf("got %v, want %v", s, want)
	}
	if got, want := s.Sub(Stats{Invalid: 500, ChainTooLong: 6}), (Stats{Invalid: 16}); got != want {
		t.Errorf("the difference is %v, want %v", got, want)
	}
	for _, bad := range [][]byte{{3, 0, 4, 0}, {9, 0, 4, 0}} {
		if err := s.add(bad); err == nil {
			t.Errorf("%v was understood", bad)
		}
	}
}

func FuzzStats(f *testing.F) {
	f.Add([]byte{8, 0, 4, 0, 0, 0, 1, 2})
	f.Fuzz(func(t *testing.T, b []byte) {
		var s Stats
		if err := s.add(b); err == nil && len(b) < 4 {
			t.Errorf("%v was understood", b)
		}
	})
}
