package ct

import "testing"

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
