package bisect

import (
	"fmt"
	"math/bits"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/table"
)

// history is what kernels would answer: a letter is a value, - gives no answer,
// u is a probe that is not supported, | ends a series.
func history(text string) (kernels []Kernel, answers []table.Value) {
	series, point := 0, 0
	for _, r := range text {
		if r == '|' {
			series, point = series+1, 0
			continue
		}
		kernels = append(kernels, Kernel{Version: fmt.Sprintf("6.%d.%d-1", series, point), Series: fmt.Sprintf("6.%d", series)})
		point++
		v := table.Value{Status: table.Recorded, Kind: observe.Text, Text: string(r)}
		switch r {
		case '-':
			v = table.Value{Status: table.Crashed, Text: "Oops"}
		case 'u':
			v = table.Value{Status: table.Unsupported}
		}
		answers = append(answers, v)
	}
	return kernels, answers
}

// run searches a history to its end and returns how many rounds that took.
func run(t *testing.T, text string, all bool) (s *Search, rounds int) {
	t.Helper()
	kernels, answers := history(text)
	s = New(kernels, all)
	for next := s.Next(); len(next) > 0; next = s.Next() {
		left, _ := s.Left()
		if left < len(next) {
			t.Fatalf("%s: asks %d kernels where %d are left", text, len(next), left)
		}
		for _, i := range next {
			if s.values[i].Status != "" {
				t.Fatalf("%s: asks %d again", text, i)
			}
			s.Answer(i, answers[i])
		}
		rounds++
	}
	if left, steps := s.Left(); left != 0 || steps != 0 {
		t.Errorf("%s: %d kernels and %d steps are left at the end", text, left, steps)
	}
	return s, rounds
}

// told writes boundaries as "2<5" inside a series, with what was skipped in
// between behind a colon, and as "2|5" between series.
func told(s *Search) string {
	var out []string
	for _, b := range s.Boundaries() {
		text := fmt.Sprintf("%d|%d", b.Older, b.Newer)
		if b.Inside {
			text = fmt.Sprintf("%d<%d", b.Older, b.Newer)
		}
		if len(b.Skipped) > 0 {
			text += fmt.Sprint(":", b.Skipped)
		}
		if len(b.Unasked) > 0 {
			text += fmt.Sprint("?", b.Unasked)
		}
		out = append(out, text)
	}
	return fmt.Sprint(out)
}

func TestSearch(t *testing.T) {
	for _, tt := range []struct {
		history string
		want    string
		outcome Outcome
		asked   int
	}{
		{"aaaaaaaa", "[]", Same, 2},
		{"abbbbbbb", "[0<1]", Changed, 4},
		{"aaaaaaab", "[6<7]", Changed, 5},
		{"ab", "[0<1]", Changed, 2},
		{"aabbabbb", "[1<2]", Changed, 5}, // flips back and forth: one flip is found
		{"aaabbbaa", "[]", Same, 2},       // and none if the ends agree
		{"uuuuaaaa", "[3<4]", Changed, 5}, // unsupported is an answer
		{"aaaccbbb", "[2<3 4<5]", Changed, 7},
		{"-aaabbb-", "[3<4]", Changed, 6},
		{"aaa--bbb", "[2<5:[3 4]]", Changed, 6},
		{"a------b", "[0<7:[1 2 3 4 5 6]]", Changed, 8},
		{"--------", "[]", Undecided, 8},
		{"a-------", "[]", Undecided, 8},
		{"aaaaaaa-", "[]", Undecided, 3},
		{"aaaa|aaaa|aaaa", "[]", Same, 6},
		{"aaaa|bbbb|bbbb", "[0|4]", Changed, 6},
		{"aabb|bbbb|bbbb", "[1<2 0|4]", Changed, 8},
		{"aabb|aaab|bbbb", "[1<2 6<7 4|8]", Changed, 10},
		{"aaaa|----|bbbb", "[0|8]", Changed, 8},
		{"aaaa|----|aaaa", "[]", Undecided, 8},
		{"aaaa|-aaa|aaaa", "[]", Same, 7},
		{"a|b", "[0|1]", Changed, 2},
	} {
		s, _ := run(t, tt.history, false)
		if got := told(s); got != tt.want || s.Outcome() != tt.outcome || len(s.Asked()) != tt.asked {
			t.Errorf("%s: %s, %s, asked %d: %v; want %s, %s, %d",
				tt.history, got, s.Outcome(), len(s.Asked()), s.Asked(), tt.want, tt.outcome, tt.asked)
		}
	}
}

// Both ends are asked at the same time, and so are all series.
func TestRounds(t *testing.T) {
	_, rounds := run(t, "aaaaaaab|aaaaaaab|abbbbbbb", false)
	if rounds != 4 {
		t.Errorf("%d rounds, want 4", rounds)
	}
	if _, rounds = run(t, "aaaabbab|abcabc", true); rounds != 1 {
		t.Errorf("%d rounds where everything is asked, want 1", rounds)
	}
}

func TestWarnings(t *testing.T) {
	for history, want := range map[string][]string{
		"aaab":     nil,
		"-aaab":    {"6.0.0-1 could not be asked: 6.0.1-1 stands for it as the oldest of 6.0.y"},
		"aaab-":    {"6.0.4-1 could not be asked: 6.0.3-1 stands for it as the newest of 6.0.y"},
		"aacbb":    {"6.0.2-1: a value that neither end of 6.0.y has, so it changed more than once"},
		"aa|--|aa": {"6.1.y: none of its kernels could be asked"},
	} {
		s, _ := run(t, history, false)
		if got := s.Warnings(); !slices.Equal(got, want) {
			t.Errorf("%s: warnings %q, want %q", history, got, want)
		}
	}
}

// An interrupted search says how far it came.
func TestInterrupted(t *testing.T) {
	kernels, answers := history("aaaabbbb")
	s := New(kernels, false)
	s.Answer(0, answers[0])
	if s.Outcome() != Undecided || told(s) != "[]" {
		t.Errorf("with one end: %s, %s", s.Outcome(), told(s))
	}
	s.Answer(7, answers[7])
	s.Answer(3, answers[3])
	if got, want := told(s), "[3<7?[4 5 6]]"; got != want {
		t.Errorf("boundaries %s, want %s", got, want)
	}
	if left, steps := s.Left(); left != 3 || steps != 2 {
		t.Errorf("%d left, %d steps, want 3 and 2", left, steps)
	}
}

// random makes histories out of a seed that a failure names.
func random(t *testing.T, times int, try func(*testing.T, *rand.Rand)) {
	for seed := range uint64(times) {
		r := rand.New(rand.NewPCG(seed, 1))
		if try(t, r); t.Failed() {
			t.Fatalf("with seed %d", seed)
		}
	}
}

// oneFlip is a history of n kernels whose value flips before kernel flip, and in
// which kernels give no answer as often as skip says.
func oneFlip(r *rand.Rand, n int, skip float64) (text string, flip int) {
	flip = 1 + r.IntN(n-1)
	for i := range n {
		switch {
		case r.Float64() < skip:
			text += "-"
		case i < flip:
			text += "a"
		default:
			text += "b"
		}
	}
	return text, flip
}

// One flip is found, and no more kernels are asked than halving takes.
func TestOneFlip(t *testing.T) {
	random(t, 2000, func(t *testing.T, r *rand.Rand) {
		text, flip := oneFlip(r, 2+r.IntN(120), 0)
		s, _ := run(t, text, false)
		if want := fmt.Sprintf("[%d<%d]", flip-1, flip); told(s) != want {
			t.Errorf("%s: %s, want %s", text, told(s), want)
		}
		if limit := 2 + bits.Len(uint(len(text)-1)); len(s.Asked()) > limit { // 2 + ⌈log₂ n⌉
			t.Errorf("%s: asked %d kernels, more than %d", text, len(s.Asked()), limit)
		}
	})
}

// With kernels that give no answer the flip lies between what is told, and what
// lies in between was tried in vain, every one.
func TestFlipAmongSkipped(t *testing.T) {
	random(t, 4000, func(t *testing.T, r *rand.Rand) {
		text, flip := oneFlip(r, 2+r.IntN(120), []float64{0.1, 0.3, 0.7, 0.95}[r.IntN(4)])
		s, _ := run(t, text, false)
		_, answers := history(text)
		older, newer := -1, -1 // the nearest to the flip that answer
		for i, v := range answers {
			switch {
			case !v.Status.Behaviour():
			case i < flip:
				older = i
			case newer < 0:
				newer = i
			}
		}
		bs := s.Boundaries()
		if older < 0 || newer < 0 {
			if len(bs) > 0 || s.Outcome() != Undecided {
				t.Errorf("%s: %s, %s where one value alone is seen", text, told(s), s.Outcome())
			}
			return
		}
		if len(bs) != 1 || bs[0].Older != older || bs[0].Newer != newer || len(bs[0].Unasked) > 0 || len(bs[0].Skipped) != newer-older-1 {
			t.Errorf("%s: %s, want %d<%d", text, told(s), older, newer)
		}
	})
}

// A bad region around the middle is left behind at once, unless the flip is
// beside it.
func TestBadRegion(t *testing.T) {
	for flip := 1; flip < 32; flip++ {
		text := strings.Repeat("a", flip) + strings.Repeat("b", 40-flip) + strings.Repeat("-", 40) + strings.Repeat("b", 40)
		s, _ := run(t, text, false)
		if want := fmt.Sprintf("[%d<%d]", flip-1, flip); told(s) != want || len(s.Asked()) > 12 {
			t.Errorf("%s, asked %v; want %s and at most 12 asked", told(s), s.Asked(), want)
		}
	}
}

// randomSeries is a history of several series of arbitrary values.
func randomSeries(r *rand.Rand) string {
	text := ""
	for n := range 1 + r.IntN(4) {
		if n > 0 {
			text += "|"
		}
		for range 1 + r.IntN(30) {
			text += string("aaabbc-u"[r.IntN(8)])
		}
	}
	return text
}

// With all, every flip inside a series is found, whatever the history.
func TestAll(t *testing.T) {
	random(t, 2000, func(t *testing.T, r *rand.Rand) {
		text := randomSeries(r)
		s, rounds := run(t, text, true)
		kernels, answers := history(text)
		if rounds != 1 || len(s.Asked()) != len(kernels) {
			t.Errorf("%s: asked %d in %d rounds", text, len(s.Asked()), rounds)
		}
		var want, got [][2]int
		last := -1
		for i, v := range answers {
			if last >= 0 && kernels[last].Series != kernels[i].Series {
				last = -1
			}
			if !v.Status.Behaviour() {
				continue
			}
			if last >= 0 && !v.Equal(answers[last]) {
				want = append(want, [2]int{last, i})
			}
			last = i
		}
		for _, b := range s.Boundaries() {
			if b.Inside {
				got = append(got, [2]int{b.Older, b.Newer})
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: flips %v, want %v", text, got, want)
		}
	})
}

// Whatever the history, what halving tells is true: the two kernels answered
// differently, nothing between them was left unasked, and a series whose ends
// differ has a boundary.
func TestHalvingIsTrue(t *testing.T) {
	random(t, 4000, func(t *testing.T, r *rand.Rand) {
		text := randomSeries(r)
		s, _ := run(t, text, false)
		kernels, answers := history(text)
		inside := map[string]bool{}
		for _, b := range s.Boundaries() {
			if answers[b.Older].Equal(answers[b.Newer]) || !answers[b.Older].Status.Behaviour() || !answers[b.Newer].Status.Behaviour() {
				t.Errorf("%s: %d and %d do not differ", text, b.Older, b.Newer)
			}
			if b.Inside {
				inside[kernels[b.Older].Series] = true
				if len(b.Unasked) > 0 || kernels[b.Older].Series != kernels[b.Newer].Series {
					t.Errorf("%s: %s", text, told(s))
				}
				continue
			}
			for _, end := range []int{b.Older, b.Newer} {
				for i := end - 1; i >= 0 && kernels[i].Series == kernels[end].Series; i-- {
					if answers[i].Status.Behaviour() {
						t.Errorf("%s: %d is compared between series, and %d is older", text, end, i)
					}
				}
			}
		}
		for _, sp := range s.series {
			ends := s.those(sp.from, sp.to, func(i int) bool { return answers[i].Status.Behaviour() })
			if len(ends) == 0 {
				continue
			}
			differ := !answers[ends[0]].Equal(answers[ends[len(ends)-1]])
			if differ && !inside[kernels[sp.from].Series] {
				t.Errorf("%s: nothing told of %s, whose ends differ", text, kernels[sp.from].Series)
			}
		}
	})
}

func TestNearest(t *testing.T) {
	names := []string{"loose/on", "loose/off", "table-full/syn", "table-full/syn@child"}
	if got, want := Nearest("table-ful/syn", names), []string{"table-full/syn", "table-full/syn@child", "loose/on"}; !slices.Equal(got, want) {
		t.Errorf("nearest %q, want %q", got, want)
	}
	for _, tt := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"kitten", "sitting", 3}, {"ab", "ba", 2}, {"loose", "loose", 0}} {
		if got := edits(tt.a, tt.b); got != tt.want {
			t.Errorf("edits(%q, %q) = %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
}
