package shell

import (
	"bytes"
	"strings"
	"testing"
)

func TestFilter(t *testing.T) {
	for name, c := range map[string]struct{ in, out, undo string }{
		"plain":             {"abc\r\n", "abc\r\n", ""},
		"utf-8":             {"é … ¢ ©", "é … ¢ ©", ""},
		"colour":            {"\x1b[31mred\x1b[0m", "\x1b[31mred\x1b[0m", ""},
		"colour left":       {"\x1b[1;31mred", "\x1b[1;31mred", "\x1b[m"},
		"title":             {"a\x1b]0;title\x07b", "ab", ""},
		"title by ST":       {"a\x1b]0;title\x1b\\b", "ab", ""},
		"clipboard by C1":   {"a\xc2\x9d52;c;aGk=\xc2\x9cb", "ab", ""},
		"DCS, APC, PM, SOS": {"\x1bPq\x1b\\1\x1b_x\x1b\\2\x1b^x\x1b\\3\x1bXx\x1b\\4", "1234", ""},
		"string cut short":  {"\x1b]0;x\x1b[31my", "\x1b[31my", "\x1b[m"},
		"title's report":    {"\x1b[21tx\x1b[5iy", "xy", ""},
		"cursor's place":    {"\x1b[6n", "\x1b[6n", ""},
		"paste":             {"\x1b[?2004h", "\x1b[?2004h", "\x1b[?2004l"},
		"paste and back":    {"\x1b[?2004h\x1b[?2004l", "\x1b[?2004h\x1b[?2004l", ""},
		"cursor hidden":     {"\x1b[?25l", "\x1b[?25l", "\x1b[?25h"},
		"editor":            {"\x1b[?1049h\x1b[?1h\x1b=\x1b[1;20r", "\x1b[?1049h\x1b[?1h\x1b=\x1b[1;20r", "\x1b7\x1b[r\x1b8\x1b[?1l\x1b[?1049l\x1b>"},
		"mice together":     {"\x1b[?1000;1006h", "\x1b[?1000;1006h", "\x1b[?1000l\x1b[?1006l"},
		"unknown mode":      {"\x1b[?4242h", "\x1b[?4242h", ""},
		"control inside":    {"\x1b[3\n1m", "\n\x1b[31m", "\x1b[m"},
		"too long":          {"\x1b[" + strings.Repeat("1;", maxSequence) + "mx", "", ""},
		"charset":           {"\x1b(B\x1b(0", "\x1b(B\x1b(0", ""},
	} {
		for _, step := range []int{1, 2, 1 << 20} {
			var out bytes.Buffer
			f := newFilter(&out)
			for in := []byte(c.in); len(in) > 0; {
				n := min(step, len(in))
				if got, err := f.Write(in[:n]); got != n || err != nil {
					t.Fatalf("%s: wrote %d of %d, %v", name, got, n, err)
				}
				in = in[n:]
			}
			if name == "too long" {
				if strings.Contains(out.String(), "\x1b") {
					t.Errorf("%s: %q", name, out.String())
				}
				continue
			}
			if out.String() != c.out || f.undo() != c.undo {
				t.Errorf("%s, %d at a time: %q, want %q; undone by %q, want %q", name, step, out.String(), c.out, f.undo(), c.undo)
			}
		}
	}
}

// Whatever comes, in whatever pieces: no string of control gets through, and the
// pieces do not matter.
func FuzzFilter(f *testing.F) {
	for _, s := range []string{"abc", "\x1b]0;t\x07x", "\xc2\x9d52;c;x\x1b\\", "\x1b[?1049h\x1b[?25l", "\x1b\x1b]x", "\xc2\xc2\x90", "\x1bP\xc2\x1b[m", "\xc2\x1b\x9d0;t\x07", "\xe2\x82\xac\x9d", "\xc1\x9d"} {
		f.Add([]byte(s), uint8(1))
	}
	f.Fuzz(func(t *testing.T, data []byte, step uint8) {
		var whole, pieces bytes.Buffer
		a, b := newFilter(&whole), newFilter(&pieces)
		_, _ = a.Write(data) // a buffer takes everything
		for rest := data; len(rest) > 0; {
			n := min(int(step)+1, len(rest))
			_, _ = b.Write(rest[:n])
			rest = rest[n:]
		}
		if whole.String() != pieces.String() || a.undo() != b.undo() {
			t.Fatalf("%q at once, %q in pieces", whole.String(), pieces.String())
		}
		for i := range whole.Bytes() { // a control that stands alone
			if c := whole.Bytes()[i]; c >= 0x80 && c <= 0x9f && (i == 0 || whole.Bytes()[i-1] < 0x80) {
				t.Fatalf("%#x came through of %q as %q", c, data, whole.String())
			}
		}
		for _, bad := range []string{"\x1b]", "\x1bP", "\x1b_", "\x1b^", "\x1bX", "\xc2\x9d", "\xc2\x90", "\xc2\x9b"} {
			if strings.Contains(whole.String(), bad) {
				t.Fatalf("%q came through of %q as %q", bad, data, whole.String())
			}
		}
	})
}
