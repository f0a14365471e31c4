package changelog

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// sample is shaped like the changelog of a signed package, with what people
// write into changelogs.
const sample = `linux-signed-amd64 (6.1.192+2~deb11u1) bullseye-security; urgency=high

  * Sign kernel from linux 6.1.192-2~deb11u1

  * Rebuild for bullseye:
    - Revert "Compile with gcc-12
      on all architectures"

 -- Somebody <s@example.org>  Mon, 16 Nov 2026 11:17:40 +0100

linux (6.1.192-1) bookworm-security; urgency=high

  * New upstream stable update:
    https://www.kernel.org/pub/linux/kernel/v6.x/ChangeLog-6.1.191
    - io_uring: one
    - netfilter: nf_tables: a title that is longer than a line and so goes on
      in the next (CVE-2026-99228)
    https://www.kernel.org/pub/linux/kernel/v6.x/ChangeLog-6.1.192
    - [arm64] two

  [ Somebody ]
  * [amd64] Enable:
    + three
      - four
    + five
  * six, as https://example.org
    says:
    https://example.org/six

 -- Somebody <s@example.org>  Mon, 09 Nov 2026 11:17:40 +0100

linux (6.1.190-1) bookworm bookworm-security; urgency=high

  * seven
`

func TestParse(t *testing.T) {
	const address = "https://www.kernel.org/pub/linux/kernel/v6.x/ChangeLog-6.1."
	update := "New upstream stable update:"
	want := []Entry{
		{"linux-signed-amd64", "6.1.192-2~deb11u1", "bullseye-security", []Change{
			{nil, "Sign kernel from linux 6.1.192-2~deb11u1"},
			{[]string{"Rebuild for bullseye:"}, `Revert "Compile with gcc-12 on all architectures"`},
		}},
		{"linux", "6.1.192-1", "bookworm-security", []Change{
			{[]string{update, address + "191"}, "io_uring: one"},
			{[]string{update, address + "191"}, "netfilter: nf_tables: a title that is longer than a line and so goes on in the next (CVE-2026-99228)"},
			{[]string{update, address + "192"}, "[arm64] two"},
			{[]string{"[amd64] Enable:", "three"}, "four"},
			{[]string{"[amd64] Enable:"}, "five"},
			{nil, "six, as https://example.org says:"},
		}},
		{"linux", "6.1.190-1", "bookworm bookworm-security", []Change{{nil, "seven"}}},
	}
	if diff := cmp.Diff(want, Parse([]byte(sample))); diff != "" {
		t.Error(diff)
	}
}

// What is no changelog, and what is damaged, gives what can be read of it.
func TestParseTolerates(t *testing.T) {
	for text, want := range map[string]int{
		"":                                  0,
		"\x00\xff\n":                        0,
		"  * an item of nothing\n":          0,
		"linux (6.1) x; y":                  1,
		"linux (6.1) x; y\n  *\n  *  \n - ": 1,
		"linux 6.1 x; y\n  * a\n":           0,
		"linux (6.1) x; y\r\n  * a\r\n":     1,
	} {
		if got := Parse([]byte(text)); len(got) != want {
			t.Errorf("%q: %d entries, want %d", text, len(got), want)
		}
	}
	long := "linux (6.1-1) x; y\n  * " + strings.Repeat("a", 2*maxText) + "\n    " + strings.Repeat("b", maxText) + "\n"
	if c := Parse([]byte(long))[0].Changes; len(c) != 1 || len(c[0].Text) != maxText {
		t.Errorf("a change of %d bytes, want %d", len(c[0].Text), maxText)
	}
	deep := "linux (6.1-1) x; y\n"
	for n := range 100 {
		deep += strings.Repeat(" ", n+1) + "* a\n"
	}
	if c := Parse([]byte(deep))[0].Changes; len(c[len(c)-1].Under) != maxUnder {
		t.Errorf("a change below %d lines, want %d", len(c[len(c)-1].Under), maxUnder)
	}
	if got := Parse([]byte(strings.Repeat("linux (6.1-1) x; y\n", maxEntries+5))); len(got) != maxEntries {
		t.Errorf("%d entries, want %d", len(got), maxEntries)
	}
}

func TestSince(t *testing.T) {
	entries := func(versions ...string) []Entry {
		var out []Entry
		for _, v := range versions {
			out = append(out, Entry{Version: v})
		}
		return out
	}
	for _, tt := range []struct {
		name, older string
		have, want  []Entry
	}{
		{"the next", "6.1.190-1", entries("6.1.192-1", "6.1.190-1", "6.1.187-1"), entries("6.1.192-1")},
		{"several", "6.1.187-1", entries("6.1.192-1", "6.1.190-1", "6.1.187-1"), entries("6.1.192-1", "6.1.190-1")},
		{"one that was never in this suite", "6.1.188-1", entries("6.1.192-1", "6.1.190-1", "6.1.187-1"), entries("6.1.192-1", "6.1.190-1")},
		{
			"a rebuild, from what it is a rebuild of", "6.12.105-1",
			entries("6.12.107-1~deb12u1", "6.12.107-1", "6.12.105-1"), entries("6.12.107-1~deb12u1", "6.12.107-1"),
		},
		{
			"from a rebuild, which has what it is a rebuild of", "6.12.105-1~deb12u1",
			entries("6.12.107-1", "6.12.105-1", "6.12.101-1"), entries("6.12.107-1"),
		},
		{
			"from a backport", "6.12.105-1~bpo12+1",
			entries("6.12.107-1", "6.12.105-1", "6.12.101-1"), entries("6.12.107-1"),
		},
		{"from a rebuild to its own original", "6.12.107-1~deb12u1", entries("6.12.107-1", "6.12.105-1"), entries()},
		{
			"from a release candidate", "7.3~rc7-1~exp1",
			entries("7.3.4-1~bpo13+1", "7.3.4-1", "7.3.1-1~exp1", "7.3~rc7-1~exp1", "7.2.6-1"),
			entries("7.3.4-1~bpo13+1", "7.3.4-1", "7.3.1-1~exp1"),
		},
	} {
		have := slices.Clone(tt.have)
		if diff := cmp.Diff(tt.want, Since(tt.have, tt.older), cmp.Transformer("none", func(e []Entry) []Entry {
			if len(e) == 0 {
				return nil
			}
			return e
		})); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
		if !cmp.Equal(have, tt.have) {
			t.Errorf("%s: the entries were changed", tt.name)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(sample))
	f.Add([]byte("linux (6.1) x; y\n  * a\n    http://x\n    - b\n\n      c\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		size := 0
		for _, e := range Parse(text) {
			for _, c := range e.Changes {
				size += len(c.Text)
				if len(c.Text) > maxText || strings.ContainsAny(c.Text, "\n") {
					t.Errorf("change %q", c.Text)
				}
			}
			Since([]Entry{e}, e.Version)
		}
		if size > len(text) {
			t.Errorf("%d bytes of changes out of %d", size, len(text))
		}
	})
}
