package e2e

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
)

// selftests is what the kernel's own tests assert, in rows of ours.
type selftests struct {
	Tests []struct {
		Test    string
		Asserts []assertion
		Not     []unmapped
	}
	Not []unmapped
}

type assertion struct {
	Says  string
	Since string            // the oldest series that agrees; all, if empty
	Rows  map[string]string // globs over names, and what values must be
}

type unmapped struct{ Test, Says, Why string }

func readSelftests(t *testing.T) selftests {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", "selftests.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var s selftests
	d := yaml.NewDecoder(f)
	d.KnownFields(true)
	if err := d.Decode(&s); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestSelftestsMapped holds the map itself: every test is in it once, what is not
// mapped has a reason, and what is has rows.
func TestSelftestsMapped(t *testing.T) {
	s := readSelftests(t)
	names := rowNames(t)
	seen := map[string]bool{}
	for _, test := range s.Tests {
		if seen[test.Test] || len(test.Asserts) == 0 {
			t.Errorf("%s is there twice, or without an assertion", test.Test)
		}
		seen[test.Test] = true
		for _, a := range test.Asserts {
			for pattern := range a.Rows {
				if len(rowsOf(pattern, names)) == 0 {
					t.Errorf("%s: no row is called %s", test.Test, pattern)
				}
			}
			if a.Says == "" || len(a.Rows) == 0 {
				t.Errorf("%s: an assertion says nothing, or of no row", test.Test)
			}
		}
		for _, n := range test.Not {
			if n.Says == "" || n.Why == "" {
				t.Errorf("%s: what is not mapped, and why?", test.Test)
			}
		}
	}
	for _, n := range s.Not {
		if seen[n.Test] || n.Why == "" {
			t.Errorf("%s is there twice, or without a reason", n.Test)
		}
		seen[n.Test] = true
	}
}

// TestRealSelftests compares our rows with what the kernel's own tests assert, on
// the kernels of the shipped matrix.
func TestRealSelftests(t *testing.T) {
	real(t)
	s := readSelftests(t)
	var args, probes []string
	for _, test := range s.Tests {
		for _, a := range test.Asserts {
			for pattern := range a.Rows {
				probes = append(probes, path.Dir(pattern))
			}
		}
	}
	slices.Sort(probes)
	for _, p := range slices.Compact(probes) {
		args = append(args, "--probe", p)
	}
	r, _ := runOn(t, shipped, args...)
	for _, cell := range r.Cells {
		values := map[string]string{}
		for _, row := range cell.Rows {
			values[row.Name] = row.Value
		}
		for _, test := range s.Tests {
			for _, a := range test.Asserts {
				checkAssertion(t, cell.Kernel, test.Test, a, values)
			}
		}
	}
}

func checkAssertion(t *testing.T, kernel results.Kernel, test string, a assertion, values map[string]string) {
	t.Helper()
	var names []string
	for name := range values {
		names = append(names, name)
	}
	agrees := true
	for pattern, want := range a.Rows {
		matching := rowsOf(pattern, names)
		if len(matching) == 0 {
			t.Errorf("%s: %s: no row %s", kernel.Label, test, pattern)
		}
		for _, name := range matching {
			if !regexp.MustCompile("^(?:" + want + ")$").MatchString(values[name]) {
				agrees = false
				if holds(a, kernel) {
					t.Errorf("%s: %s: %s: %s is %q, want %q", kernel.Label, test, a.Says, name, values[name], want)
				}
			}
		}
	}
	if agrees && !holds(a, kernel) {
		t.Errorf("%s: %s: %s: agrees, though said to do so only since %s", kernel.Label, test, a.Says, a.Since)
	}
}

// holds reports whether an assertion is said to hold on a kernel.
func holds(a assertion, kernel results.Kernel) bool {
	return a.Since == "" || results.CompareVersions(kernel.VersionName(), a.Since) >= 0
}

// rowsOf are the names that a glob covers, in which a star stops at a slash.
func rowsOf(pattern string, names []string) []string {
	var out []string
	for _, name := range names {
		if ok, err := path.Match(pattern, strings.TrimSpace(name)); err == nil && ok {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}
