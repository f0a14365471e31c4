package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/ctmatrix/ctmatrix/images/kernel"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/cli"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/render"
)

// flip is a row that changes inside a series, as it was found by asking every
// kernel of the series and looking at their rows.
type flip struct {
	series, with string // with is the first release that has it
	row          string
	before, now  string
}

// flips are in the order in which they are tried: an archive keeps the releases
// of a series for a while only.
var flips = []flip{
	{"6.12", "6.12.117", "tcp-rst/in-window/rst.timeout", "1 10", "1 300"},
	{"6.12", "6.12.94", "tcp-rst/behind-own-syn/rst.class", "1 established", "1 invalid"},
	{"6.1", "6.1.176", "tcp-rst/behind-own-syn/rst.class", "1 established", "1 invalid"},
}

// around returns the packages of a flip's series that are offered: at most so
// many before it, and after it.
func (f flip) around(t *testing.T, most int) (before, after []kernel.Candidate) {
	t.Helper()
	catalog, err := kernel.New(kernel.Options{CacheDir: os.Getenv("CTMATRIX_CACHE")})
	if err != nil {
		t.Fatal(err)
	}
	all, err := catalog.Resolve(t.Context(), "debian:"+f.series+".*")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range all {
		if kernel.CompareVersions(c.Version, f.with) < 0 {
			before = append(before, c)
		} else {
			after = append(after, c)
		}
	}
	return before[max(0, len(before)-most):], after[:min(len(after), most)]
}

// chosen is the first flip of which both sides are offered.
func chosen(t *testing.T, most int) (f flip, before, after []kernel.Candidate) {
	t.Helper()
	for _, f := range flips {
		if before, after := f.around(t, most); len(before) > 0 && len(after) > 0 {
			return f, before, after
		}
	}
	t.Fatal("no flip has both sides in the archive: find another by `ctmatrix run --kernel 'debian:*'`")
	return flip{}, nil, nil
}

// command runs ctmatrix and returns its exit status and what it printed.
func command(t *testing.T, args ...string) (int, string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	status := cli.Main(context.Background(), args, &stdout, &stderr)
	t.Logf("ctmatrix %s: exit status %d\n%s%s", strings.Join(args, " "), status, &stdout, &stderr)
	return status, stdout.String()
}

// TestRealHistory asks the two sides of a change inside a series and one kernel
// of another, and has it placed, drawn and explained.
func TestRealHistory(t *testing.T) {
	real(t)
	f, before, after := chosen(t, 1)
	probe, _ := f.rowParts()
	out := t.TempDir()
	args := []string{"run", "--out", out, "--probe", probe, "--kernel", before[0].Exact(), "--kernel", after[0].Exact(), "--kernel", "debian:7.3"}
	status, printed := command(t, append(args, "--no-cache")...)
	if arrow := before[0].Upstream + " → " + after[0].Upstream; status != cli.ExitChanged || !strings.Contains(printed, arrow) {
		t.Errorf("exit status %d, want 1 and the boundary %s", status, arrow)
	}

	status, printed = command(t, "timeline", "--out", out, "--width", "200", f.row)
	line := f.row + "   A " + f.before + "   B " + f.now + "   " + f.series + ".y A to " + before[0].Upstream + ", B from " + after[0].Upstream
	if status != cli.ExitChanged || !strings.Contains(printed, line) {
		t.Errorf("exit status %d, want 1 and the line %s", status, line)
	}

	// Notes cover it, and what was measured is not measured again.
	status, printed = command(t, append(args, "--notes", "../../notes.yaml")...)
	if status != cli.ExitSame || !strings.Contains(printed, "all explained") || !strings.Contains(printed, "3 cells from the cache, 0 booted") {
		t.Errorf("exit status %d, want 0, all explained and nothing booted", status)
	}
}

// rowParts splits a row into its probe and the rest.
func (f flip) rowParts() (probe, rest string) {
	at := strings.LastIndexByte(f.row, '/')
	return f.row[:at], f.row[at+1:]
}

// TestRealBisect finds the same change by halving, and its cause in the newer
// package's changelog.
func TestRealBisect(t *testing.T) {
	real(t)
	f, before, after := chosen(t, 2)
	last := after[len(after)-1]
	status, printed := command(t, "bisect", "--json", "--out", t.TempDir(), "--notes", "../../notes.yaml",
		"--row", f.row, "--from", before[0].Exact(), "--to", last.Exact())
	var found render.Bisection
	if err := json.Unmarshal([]byte(printed), &found); err != nil {
		t.Fatal(err)
	}
	if status != cli.ExitChanged || len(found.Boundaries) != 1 {
		t.Fatalf("exit status %d and %d boundaries, want 1 and 1", status, len(found.Boundaries))
	}
	b := found.Boundaries[0]
	if older := before[len(before)-1]; b.Kind != "inside" || b.Older.Kernel != older.Version || b.Newer.Kernel != after[0].Version {
		t.Errorf("%s, between %s and %s, want inside, between %s and %s", b.Kind, b.Older.Kernel, b.Newer.Kernel, older.Version, after[0].Version)
	}
	if *b.Older.Value != f.before || *b.Newer.Value != f.now {
		t.Errorf("from %s to %s, want %s and %s", *b.Older.Value, *b.Newer.Value, f.before, f.now)
	}
	if len(b.Notes) == 0 {
		t.Fatal("no note explains it")
	}
	// The note has the commit's id and title; the changelog has the title.
	_, title, _ := strings.Cut(b.Notes[0].Commit, " ")
	changes, err := json.Marshal(b.Changes)
	if err != nil || !strings.Contains(string(changes), title) {
		t.Errorf("the changelog does not show %q: %v", title, err)
	}
}
