package observe

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestEscape(t *testing.T) {
	for in, want := range map[string]string{
		"10 tcp SYN_SENT": "10 tcp SYN_SENT",
		"größe → 世界":      "größe → 世界",
		`back\slash`:      `back\slash`,
		"a\nb\tc\x00":     `a\nb\tc\x00`,
		"\x1b[31mred":     `\x1b[31mred`,
		"\x9b31m\xff":     `\x9b31m\xff`,
		"left\u202eright": `left\u202eright`,
		"zero\u200bwidth": `zero\u200bwidth`,
		"a\u00a0b":        `a\u00a0b`,
		"already \\x1b":   `already \x1b`,
	} {
		if got := Escape(in); got != want {
			t.Errorf("Escape(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestBoundedCutsBetweenCharacters(t *testing.T) {
	for _, s := range []string{
		strings.Repeat("ö", MaxValue), strings.Repeat("a", MaxValue+1), strings.Repeat("\x1b", MaxValue),
	} {
		got := Bounded(s)
		if len(got) > MaxValue || !utf8.ValidString(got) || !strings.HasSuffix(got, "…") {
			t.Errorf("Bounded of %d bytes: %d bytes, ends in %q", len(s), len(got), got[len(got)-6:])
		}
	}
	if got := Bounded(strings.Repeat("a", MaxValue)); len(got) != MaxValue || strings.HasSuffix(got, "…") {
		t.Errorf("Bounded cuts what fits: %d bytes", len(got))
	}
}

func FuzzEscape(f *testing.F) {
	for _, s := range []string{"", "10 new", "\x1b[2J", "\xff\xfe", "\u202e\u200b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		e := Escape(s)
		if Escape(e) != e || !harmless(e) {
			t.Fatalf("Escape(%q) = %q, which is not its own escaped form", s, e)
		}
		if b := Bounded(s); len(b) > MaxValue || !harmless(b) {
			t.Fatalf("Bounded(%q) = %q", s, b)
		}
	})
}
