package suite

import (
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/ctmatrix/ctmatrix/guest/internal/probe"
)

// Each row belongs to a probe, says what it means in one line, and no word stands
// in the tables that no row uses.
func TestMeanings(t *testing.T) {
	names := strings.Split(strings.TrimSuffix(rowNames, "\n"), "\n")
	if !slices.IsSorted(names) {
		t.Error("rows.txt is not sorted")
	}
	probes := map[string]bool{}
	for _, c := range probe.Cases(All()) {
		probes[c.Name()] = true
		if len(rowsOf(c.Name())) == 0 {
			t.Errorf("%s has no row in rows.txt", c.Name())
		}
	}
	unusedAttributes, unusedWords := map[string]bool{}, map[string]bool{}
	for a := range attributes {
		unusedAttributes[a] = true
	}
	for w := range words {
		unusedWords[w] = true
	}
	for _, name := range names {
		if !probes[path.Dir(name)] {
			t.Errorf("%s is a row of no probe", name)
		}
		m := meaning(name)
		if strings.HasSuffix(m, ": ") || strings.HasPrefix(m, ":") || strings.Contains(m, "\n") {
			t.Errorf("%s means %q", name, m)
		}
		family, _, _ := strings.Cut(name, "/")
		subject, attr, _ := strings.Cut(path.Base(name), ".")
		delete(unusedAttributes, attr)
		for _, side := range []string{"", "v4-", "v6-", "orig-", "reply-"} {
			if rest, ok := strings.CutPrefix(subject, side); ok {
				delete(unusedWords, family+" "+rest)
				delete(unusedWords, " "+rest)
			}
		}
	}
	for a := range unusedAttributes {
		t.Errorf("no row has the attribute %q", a)
	}
	for w := range unusedWords {
		t.Errorf("no row has the subject %q", w)
	}
	for _, p := range particular {
		if !slices.ContainsFunc(names, func(n string) bool { ok, _ := path.Match(p.row, n); return ok }) {
			t.Errorf("no row is called %s", p.row)
		}
	}
}

func TestPhrase(t *testing.T) {
	for row, want := range map[string]string{
		"tcp-rst/in-established/orig-past-edge.outcome": "a RST one past the end of the window (client): " + attributes["outcome"],
		"icmp/errors/v6-too-big.outcome":                "too big (IPv6): " + attributes["outcome"],
		"sysctl/inherited/acct.value":                   "acct: whether a new namespace has the initial one's value or its own",
		"table-full/syn@child/table.drop":               "the statistics: " + attributes["drop"],
	} {
		if got := meaning(row); got != want {
			t.Errorf("%s means %q, want %q", row, got, want)
		}
	}
}
