// Package e2e runs the whole of ctmatrix against real kernels and checks what
// it finds against values measured by hand.
package e2e

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/cli"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
)

// shipped are the kernels of the shipped matrix; kernels are the oldest and the
// newest of them.
var (
	shipped = []string{"debian:5.10", "debian:6.1", "debian:6.12", "debian:7.3"}
	kernels = []string{shipped[0], shipped[3]}
)

// real says that the test starts QEMU and fetches kernels: only `make test` has
// put everything in place for that.
func real(t *testing.T) {
	t.Helper()
	if os.Getenv("CTMATRIX_REAL_TESTS") == "" {
		t.Skip("boots real kernels: run `make test`")
	}
}

// run runs ctmatrix over the kernels and returns what it found and printed.
func run(t *testing.T, args ...string) (*results.Run, string) {
	t.Helper()
	return runOn(t, kernels, args...)
}

// runOn is run over other kernels.
func runOn(t *testing.T, kernels []string, args ...string) (*results.Run, string) {
	t.Helper()
	out := t.TempDir()
	args = append([]string{"run", "--no-cache", "--width", "100", "--out", out}, args...)
	for _, k := range kernels {
		args = append(args, "--kernel", k)
	}
	var stdout, stderr bytes.Buffer
	status := cli.Main(context.Background(), args, &stdout, &stderr)
	if status != cli.ExitSame && status != cli.ExitChanged {
		t.Fatalf("ctmatrix %s: exit status %d\n%s%s", strings.Join(args, " "), status, &stdout, &stderr)
	}
	r, err := results.Open(filepath.Join(out, results.LatestLink))
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Cells) != len(kernels) {
		t.Fatalf("%d cells, want %d", len(r.Cells), len(kernels))
	}
	return r, stdout.String()
}

// TestRealFounding boots two kernels, asks both the founding experiments, and
// compares with values that were found by hand on 5.10, 6.1, 6.12 and 7.3. They
// stand here and not in the guest: a probe expects nothing.
func TestRealFounding(t *testing.T) {
	real(t)
	ordered, printed := run(t)
	t.Logf("printed:\n%s", printed)
	if *update {
		writeRowNames(t, ordered)
	}
	want := readGolden(t, "founding.golden")
	lacking := readGolden(t, "unsupported.golden")
	for _, cell := range ordered.Cells {
		names := rowNames(t)
		for _, p := range cell.Probes {
			if p.Outcome == observe.Unsupported && slices.Contains(lacking, cell.Kernel.SeriesName()+"\t"+p.Name) {
				names = slices.DeleteFunc(names, func(row string) bool { return strings.HasPrefix(row, p.Name+"/") })
				continue
			}
			if p.Outcome != observe.Recorded {
				t.Errorf("%s: %s is %s: %s", cell.Kernel.Label, p.Name, p.Outcome, p.Reason)
			}
		}
		var gotNames, got []string
		for _, r := range cell.Rows {
			gotNames = append(gotNames, r.Name)
			if line := r.Name + "\t" + r.Value; belongs(r.Name, want) {
				got = append(got, line)
			}
		}
		if diff := cmp.Diff(names, gotNames); diff != "" {
			t.Errorf("%s: names of rows (-want +got):\n%s", cell.Kernel.Label, diff)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: values (-want +got):\n%s", cell.Kernel.Label, diff)
		}
	}

	// Between 5.10 and 7.3 the kernel's defaults moved, and a run must say so.
	for _, row := range []string{"limits/defaults", "max.per-bucket", "automatic-helpers.errno"} {
		if !strings.Contains(printed, row) {
			t.Errorf("the table does not show %s", row)
		}
	}

	// The same kernels give the same table: in whatever order they are asked,
	// whether their guests were booted or restored, and whatever chance did when
	// they booted.
	for _, args := range [][]string{{"--shuffle=7", "--cold"}, {"--seed", "2", "--shuffle=8"}} {
		same(t, ordered, args...)
	}
}

// same runs the kernels again and holds every row to what it was.
func same(t *testing.T, want *results.Run, args ...string) {
	t.Helper()
	got, _ := run(t, args...)
	for i, cell := range got.Cells {
		if diff := cmp.Diff(want.Cells[i].Rows, cell.Rows); diff != "" {
			t.Errorf("%s: rows with %q (-before +now):\n%s", cell.Kernel.Label, args, diff)
		}
		if cold := slices.Contains(args, "--cold"); cell.Guest.Restored == cold {
			t.Errorf("%s: with %q, guests were restored: %v", cell.Kernel.Label, args, cell.Guest.Restored)
		}
	}
}

// TestRealFreshGuests gives each probe of two families a guest of its own. None
// may depend on what ran before it.
func TestRealFreshGuests(t *testing.T) {
	real(t)
	families := []string{"--probe", "table-full", "--probe", "enable"}
	together, _ := run(t, families...)
	same(t, together, append(families, "--fresh-guest")...)
}

// TestRealRaces asks on two CPUs what takes several: chance is told, and nothing is
// compared.
func TestRealRaces(t *testing.T) {
	real(t)
	config := filepath.Join(t.TempDir(), "matrix.yaml")
	if err := os.WriteFile(config, []byte("guest: {cpus: 2, clock: host}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	r, printed := run(t, "--config", config, "--probe", "races")
	for _, cell := range r.Cells {
		var got []string
		for _, row := range cell.Rows {
			got = append(got, row.Name)
			if row.Kind != observe.Chance {
				t.Errorf("%s: %s is of kind %s", cell.Kernel.Label, row.Name, row.Kind)
			}
		}
		want := slices.DeleteFunc(rowNames(t), func(name string) bool { return !strings.HasPrefix(name, "races/") })
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: rows (-want +got):\n%s", cell.Kernel.Label, diff)
		}
	}
	if !strings.Contains(printed, "by chance") || !strings.Contains(printed, " 0 changes") {
		t.Errorf("printed:\n%s", printed)
	}
}

// belongs reports whether the golden lines have a value for the row.
func belongs(row string, golden []string) bool {
	return slices.ContainsFunc(golden, func(line string) bool { return strings.HasPrefix(line, row+"\t") })
}

// update has TestRealFounding write what kernels record into the suite's list of
// rows, after probes were added or changed.
var update = flag.Bool("update", false, "write the names of the rows that kernels record into "+rowsFile)

var rowsFile = filepath.Join("..", "..", "guest", "internal", "suite", "rows.txt")

// writeRowNames writes the rows of any of the run's kernels. Those of a probe that
// none of them was asked stay.
func writeRowNames(t *testing.T, r *results.Run) {
	t.Helper()
	var names []string
	recorded := map[string]bool{}
	for _, cell := range r.Cells {
		for _, row := range cell.Rows {
			names = append(names, row.Name)
			recorded[row.Probe()] = true
		}
	}
	for _, name := range rowNames(t) {
		if !recorded[path.Dir(name)] {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	text := strings.Join(slices.Compact(names), "\n") + "\n"
	if err := os.WriteFile(rowsFile, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// rowNames are the rows that the suite says it records on a kernel that lacks
// nothing.
func rowNames(t *testing.T) []string {
	t.Helper()
	return readLines(t, rowsFile)
}

// readGolden returns the lines of a file in testdata.
func readGolden(t *testing.T, name string) []string {
	t.Helper()
	return readLines(t, filepath.Join("testdata", name))
}

func readLines(t *testing.T, name string) []string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
	if len(lines) < 2 {
		t.Fatal(fmt.Errorf("%s is all but empty", name))
	}
	return lines
}
