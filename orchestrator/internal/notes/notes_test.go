package notes

import (
	"path"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
)

const file = `# what is known
notes:
  - rows: [table-full/syn*/log.text, "limits"]
    since: {mainline: 6.17, "6.12": "6.12.90..6.12.96", 6.10: 6.10.3-2}
    reason: the line names
      the namespace
    commit: "netfilter: conntrack: name it"
    link: https://example.org/1
    expires: 2027-01-31
  - rows: [loose/ack]
    since: {"6.1": 6.1.100}
    reason: a backport of its own
`

func read(t *testing.T, text string) []Note {
	t.Helper()
	out, err := Read("notes.yaml", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestRead(t *testing.T) {
	want := []Note{{
		Rows: []string{"table-full/syn*/log.text", "limits"},
		// To YAML an unquoted 6.10 is the number 6.1. Here it is what it says.
		Since:  map[string]Point{Mainline: {With: "6.17"}, "6.12": {"6.12.90", "6.12.96"}, "6.10": {With: "6.10.3-2"}},
		Reason: "the line names the namespace", Commit: "netfilter: conntrack: name it", Link: "https://example.org/1",
		Expires: time.Date(2027, 1, 31, 0, 0, 0, 0, time.UTC), File: "notes.yaml", Line: 3,
	}, {
		Rows: []string{"loose/ack"}, Since: map[string]Point{"6.1": {With: "6.1.100"}},
		Reason: "a backport of its own", File: "notes.yaml", Line: 10,
	}}
	if diff := cmp.Diff(want, read(t, file)); diff != "" {
		t.Errorf("notes (-want +got):\n%s", diff)
	}
	for _, empty := range []string{"", "# none yet\n", "notes: []\n", "notes:\n"} {
		if got := read(t, empty); len(got) != 0 {
			t.Errorf("%q gave %v", empty, got)
		}
	}
}

func TestReadFaults(t *testing.T) {
	note := func(text string) string { return "notes:\n  - " + text + "\n" }
	for text, want := range map[string]string{
		"notes: 3\n":                  "notes.yaml:1: notes is no list: write notes: [",
		"note: []\n":                  `notes.yaml:1: unknown key "note": known are notes`,
		"- a\n":                       "notes.yaml:1: the file is no mapping",
		"a: b: c\n":                   "notes.yaml: yaml: ",
		"notes: []\n---\nnotes: []\n": "more than one document",
		note(`reason: x`):             "notes.yaml:2: a note without rows",
		note(`{rows: [a], since: {mainline: "6.1"}}`):                      "a note without a reason",
		note(`{rows: [a], reason: x}`):                                     "a note without since",
		note(`{rows: a, reason: x}`):                                       "rows is no list",
		note(`{rows: ["a/["], reason: x}`):                                 `"a/[" is no pattern of rows`,
		note(`{rows: [a/b/c/d], reason: x}`):                               `"a/b/c/d" is no pattern of rows`,
		note(`{rows: [a], rows: [b]}`):                                     "twice",
		note(`{rows: [a], since: {mainline: soon}, reason: x}`):            `"soon" is no kernel's version`,
		note(`{rows: [a], since: {mainline: "..6.1"}, reason: x}`):         `"" is no kernel's version`,
		note(`{rows: [a], since: {mainline: "6.1.."}, reason: x}`):         `"" is no kernel's version`,
		note(`{rows: [a], since: {"6.12": 6.1.3}, reason: x}`):             `6.1.3 is not of the branch 6.12: write "6.1": 6.1.3`,
		note(`{rows: [a], since: {main: 6.1.3}, reason: x}`):               `6.1.3 is not of the branch main`,
		note(`{rows: [a], since: {mainline: 6.1}, reason: ""}`):            "reason is no text",
		note(`{rows: [a], since: {mainline: 6.1}, reason: x, expires: 5}`): `"5" is no day: write 2027-06-30`,
		note(`{rows: [a], since: [b], reason: x}`):                         "since is no mapping",
		note(`{rows: [a], why: x}`):                                        `unknown key "why": known are rows, since`,
	} {
		got, err := Read("notes.yaml", strings.NewReader(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, %v; want an error with %q", text, got, err, want)
		}
	}
}

func kernelOf(version string) results.Kernel { return results.Kernel{Version: version} }

func TestHas(t *testing.T) {
	n := read(t, file)[0]
	for version, want := range map[string]answer{
		"5.10.262-1":         no,
		"6.10.3-1":           no,
		"6.10.3-2":           yes,
		"6.12.90-1":          no,
		"6.12.90-1~deb12u1":  no,
		"6.12.91-1":          perhaps,
		"6.12.96-1~deb12u1":  yes,
		"6.12.117-1":         yes,
		"6.16.12-1~bpo13+1":  no, // newer than 6.12.96, and of another branch
		"6.17~rc3-1~exp1":    no,
		"6.17.0-rc3":         no,
		"6.17.8-1~bpo13+1":   yes,
		"7.3.4-1~bpo13+1":    yes,
		"6.18.0+mine-g12345": yes,
	} {
		if got := n.has(kernelOf(version)); got != want {
			t.Errorf("has(%s) = %v, want %v", version, got, want)
		}
	}
	own := read(t, file)[1]
	for version, want := range map[string]answer{"6.1.99-1": no, "6.1.100-1": yes, "6.12.1-1": no} {
		if got := own.has(kernelOf(version)); got != want {
			t.Errorf("a note without mainline: has(%s) = %v, want %v", version, got, want)
		}
	}
}

func TestCovers(t *testing.T) {
	n := read(t, file)[0]
	day := time.Date(2027, 1, 31, 23, 0, 0, 0, time.UTC)
	const row = "table-full/syn@child/log.text"
	for _, c := range []struct {
		row, from, to string
		day           time.Time
		want          bool
	}{
		{row, "6.16.12-1", "6.17.8-1", day, true},
		{row, "6.17.8-1", "6.16.12-1", day, true},
		{row, "6.12.90-1", "6.12.94-1", day, true}, // perhaps there
		{row, "6.12.94-1", "6.12.95-1", day, true},
		{row, "6.12.96-1", "6.12.97-1", day, false},
		{row, "6.12.117-1", "6.16.3-1", day, true}, // it has it by a backport, and the newer series forked before
		{row, "6.12.117-1", "7.3.4-1", day, false},
		{row, "6.16.12-1", "6.17.8-1", day.Add(time.Hour), false}, // the next day
		{"table-full/ack/log.text", "6.16.12-1", "6.17.8-1", day, false},
		{"table-full/syn@child/log.level", "6.16.12-1", "6.17.8-1", day, false},
		{"table-full/syn@child", "6.16.12-1", "6.17.8-1", day, false}, // the pattern names rows
		{"limits/defaults/max.per-bucket", "6.16.12-1", "6.17.8-1", day, true},
		{"limits/defaults", "6.16.12-1", "6.17.8-1", day, true},
	} {
		if got := n.Covers(c.row, kernelOf(c.from), kernelOf(c.to), c.day); got != c.want {
			t.Errorf("%s, %s → %s: %v", c.row, c.from, c.to, got)
		}
	}
}

// FuzzMatches holds it to what its comment says, in the fewest words.
func FuzzMatches(f *testing.F) {
	for _, pattern := range []string{"", "a", "a/b", "a/b/c.d", "a/b*", "a*/b/c.?", "a/[bc]/d", `a/\b`, "a/[", "/", "a/", "*"} {
		for _, name := range []string{"", "a", "a/b", "a/b/c.d", "ab/b/c.d", "a/b/c/d", "/", "a//"} {
			f.Add(pattern, name)
		}
	}
	f.Fuzz(func(t *testing.T, pattern, name string) {
		parts := strings.Split(name, "/")
		most := strings.Count(pattern, "/") + 1
		want, err := path.Match(pattern, strings.Join(parts[:min(len(parts), most)], "/"))
		if want = want && err == nil; Matches(pattern, name) != want {
			t.Errorf("Matches(%q, %q) = %v", pattern, name, !want)
		}
	})
}

func FuzzRead(f *testing.F) {
	f.Add(file)
	f.Add("notes: [{rows: [a], since: {mainline: 1.2..1.3}, reason: x}]")
	f.Fuzz(func(t *testing.T, text string) {
		list, err := Read("f", strings.NewReader(text))
		if err != nil {
			if strings.ContainsAny(err.Error(), "\n") {
				t.Errorf("an error of several lines: %q", err)
			}
			return
		}
		for _, n := range list {
			if len(n.Rows) == 0 || len(n.Since) == 0 || n.Reason == "" {
				t.Errorf("incomplete: %+v", n)
			}
			n.Covers("a/b/c", kernelOf("6.1.2-1"), kernelOf("6.12.3-1"), time.Time{})
		}
	})
}
