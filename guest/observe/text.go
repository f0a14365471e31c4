package observe

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// Escape returns s with everything a terminal might act on written out the way
// Go writes it in a string: control characters, invalid UTF-8, characters that
// have no width or turn the direction of writing. A newline becomes \n in two
// characters. Backslashes stay as they are, so that Escape(Escape(s)) is
// Escape(s); the result is for comparing and reading, not for decoding.
func Escape(s string) string {
	if harmless(s) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		piece := s[i : i+size]
		if size == 1 && r == utf8.RuneError || !strconv.IsPrint(r) {
			quoted := strconv.Quote(piece)
			piece = quoted[1 : len(quoted)-1]
		}
		b.WriteString(piece)
		i += size
	}
	return b.String()
}

// harmless reports whether s is its own escaped form.
func harmless(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if !strconv.IsPrint(r) {
			return false
		}
	}
	return true
}

// Bounded returns Escape(s), cut to MaxValue bytes: what a stream takes as a
// reason, a note or a log line. A text that was cut ends in an ellipsis.
func Bounded(s string) string {
	// What is beyond the bound cannot come back by escaping, which only grows.
	long := len(s) > MaxValue
	if long {
		s = s[:MaxValue]
	}
	s = Escape(s)
	if !long && len(s) <= MaxValue {
		return s
	}
	const mark = "…"
	end := min(len(s), MaxValue-len(mark))
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + mark
}
