package apt

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

// byText orders versions as text, which is enough here.
func byText(a, b string) int { return strings.Compare(a, b) }

func p(name, version, needs, provides string) Package {
	return Package{Name: name, Version: version, Needs: needs, Provides: provides}
}

func universe(t *testing.T, indexes ...[]Package) *Universe {
	t.Helper()
	u, err := NewUniverse(byText, indexes...)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestParseRelations(t *testing.T) {
	got, err := ParseRelations("libc6 (>= 2.38), awk | gawk:any (<< 5), python3:any,  libx (=1-2) ,")
	want := [][]Relation{
		{{"libc6", ">=", "2.38"}}, {{"awk", "", ""}, {"gawk", "<<", "5"}}, {{"python3", "", ""}}, {{"libx", "=", "1-2"}},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
	for _, bad := range []string{"Upper", "a (2)", "a (>= )", "a (>= 1", "a b", "| a", "a |"} {
		if got, err := ParseRelations(bad); err == nil {
			t.Errorf("%q: %v", bad, got)
		}
	}
}

func TestClosure(t *testing.T) {
	base := []Package{
		p("bash", "5", "libc (>= 2), base-files", ""),
		p("libc", "2", "libgcc", ""),
		p("libgcc", "1", "libc (>= 2)", ""), // a ring
		p("base-files", "1", "awk", ""),
		p("gawk", "1", "libc", "awk"), p("mawk", "1", "libc", "awk"), p("original-awk", "1", "", "awk"),
		p("tool", "1", "nonesuch | mawk | gawk, api (>= 2)", ""),
		p("impl", "9", "", "api (= 1), other"), p("impl2", "9", "", "api (= 2)"),
		p("old", "1", "libc (<< 2)", ""),
	}
	security := []Package{p("libc", "2.1", "libgcc", ""), p("bash", "4", "nonesuch", "")}
	u := universe(t, base, security)
	for name, c := range map[string]struct{ roots, without, want string }{
		"newest of all suites":   {"libc", "", "libc=2.1 libgcc=1"},
		"first who provides":     {"bash", "", "base-files=1 bash=5 gawk=1 libc=2.1 libgcc=1"},
		"one that is chosen":     {"mawk bash", "", "base-files=1 bash=5 libc=2.1 libgcc=1 mawk=1"},
		"without":                {"bash", "base-files", "bash=5 libc=2.1 libgcc=1"},
		"without who provides":   {"bash", "mawk", "base-files=1 bash=5 libc=2.1 libgcc=1"},
		"without what is needed": {"bash", "awk", "base-files=1 bash=5 libc=2.1 libgcc=1"},
		"a version provided":     {"tool", "libc", "impl2=9 mawk=1 tool=1"},
	} {
		got, err := u.Closure(strings.Fields(c.roots), strings.Fields(c.without))
		var words []string
		for _, p := range got {
			words = append(words, p.Name+"="+p.Version)
		}
		if s := strings.Join(words, " "); err != nil || s != c.want {
			t.Errorf("%s: %s, %v; want %s", name, s, err, c.want)
		}
	}
	for _, root := range []string{"nonesuch", "old"} {
		if got, err := u.Closure([]string{root}, nil); !errors.Is(err, ErrUnmet) || !strings.Contains(err.Error(), root) {
			t.Errorf("%s: %v, %v", root, got, err)
		}
	}
}

func TestParseIndex(t *testing.T) {
	got, err := ParseIndex(strings.NewReader("Package: a\nVersion: 1\nPre-Depends: b\nDepends: c | d\nProvides: e (= 1)\nFilename: pool/a.deb\nSHA256: " + someHash + "\n"))
	if err != nil || len(got) != 1 || got[0].Needs != "b, c | d" || got[0].Provides != "e (= 1)" {
		t.Errorf("%+v, %v", got, err)
	}
}

// Whatever an index says of packages, the search ends, and what it returns was
// asked for.
func FuzzClosure(f *testing.F) {
	f.Add("b, c | d", "c (>= 1), x", "a")
	f.Add("a", "a | b", "b (= 1)")
	f.Fuzz(func(t *testing.T, needsA, needsB, provides string) {
		u, err := NewUniverse(byText, []Package{p("a", "1", needsA, ""), p("b", "1", needsB, provides), p("c", "2", "", "d")})
		if err != nil {
			return
		}
		got, err := u.Closure([]string{"a"}, nil)
		if err == nil && (len(got) == 0 || got[0].Name != "a" || len(got) > 3) {
			t.Fatalf("%v", got)
		}
	})
}
