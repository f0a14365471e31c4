package render

import (
	"slices"
	"testing"
)

// Columns share the room, and none breaks its longest word while there is room
// for those of all.
func TestShare(t *testing.T) {
	for name, c := range map[string]struct {
		natural, words []int
		room           int
		want           []int
	}{
		"room for all":         {[]int{5, 10, 20}, []int{5, 3, 7}, 40, []int{5, 10, 20}},
		"the rest is split":    {[]int{5, 50, 60}, []int{5, 3, 7}, 45, []int{5, 20, 20}},
		"a long word":          {[]int{32, 50, 60}, []int{32, 11, 11}, 72, []int{32, 20, 20}},
		"two long words":       {[]int{33, 70, 40}, []int{10, 60, 30}, 100, []int{10, 60, 30}},
		"no room for words":    {[]int{40, 40, 40}, []int{40, 40, 40}, 60, []int{20, 20, 20}},
		"nothing in a column":  {[]int{0, 40}, []int{0, 10}, 30, []int{1, 29}},
		"less room than there": {[]int{9, 9, 9}, []int{9, 9, 9}, 2, []int{1, 1, 1}},
	} {
		if got := share(c.natural, c.words, c.room); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
