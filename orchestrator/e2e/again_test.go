package e2e

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ctmatrix/ctmatrix/orchestrator/internal/cli"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
)

// asProgram has the test's program be ctmatrix, so that it can be killed.
const asProgram = "CTMATRIX_E2E_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Exit(cli.Main(cli.Interruptible(), os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// only runs ctmatrix and returns its one cell.
func only(t *testing.T, out string, args ...string) results.CellRows {
	t.Helper()
	args = append([]string{"run", "--out", out}, args...)
	var stdout, stderr bytes.Buffer
	if status := cli.Main(t.Context(), args, &stdout, &stderr); status != cli.ExitSame {
		t.Fatalf("ctmatrix %q: exit status %d\n%s%s", args, status, &stdout, &stderr)
	}
	t.Logf("ctmatrix %q:\n%s%s", args, &stdout, &stderr)
	return latest(t, out)
}

func latest(t *testing.T, out string) results.CellRows {
	t.Helper()
	r, err := results.Open(filepath.Join(out, results.LatestLink))
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Cells) != 1 {
		t.Fatalf("%d cells, want one", len(r.Cells))
	}
	return r.Cells[0]
}

// TestRealAgain measures a kernel, has it from the cache, and then kills a run in
// the middle of its suite and goes on with it. The rows are the same each time.
func TestRealAgain(t *testing.T) {
	real(t)
	out := t.TempDir()
	loose := []string{"--kernel", "debian:6.1", "--probe", "loose/*"}
	measured := only(t, out, append(loose, "--no-cache")...)
	if !measured.Booted() || len(measured.Rows) == 0 {
		t.Fatalf("measured %d rows, booted %v", len(measured.Rows), measured.Booted())
	}

	cached := only(t, out, loose...)
	if cached.Booted() || len(cached.FromCache()) != len(cached.Probes) {
		t.Errorf("the second time it booted: %v; from the cache are %q", cached.Booted(), cached.FromCache())
	}
	if diff := cmp.Diff(measured.Rows, cached.Rows); diff != "" {
		t.Errorf("rows from the cache (-measured +cached):\n%s", diff)
	}

	kill(t, out, append(loose, "--no-cache"))
	cut := latest(t, out)
	if cut.Outcome != results.CellMissing || len(cut.Rows) == 0 || len(cut.Rows) == len(measured.Rows) {
		t.Fatalf("killed in the middle, the cell is %s with %d of %d rows", cut.Outcome, len(cut.Rows), len(measured.Rows))
	}
	whole := only(t, out, "--resume")
	if whole.Outcome != results.CellOK || len(whole.Cached) > 0 || whole.Dir != cut.Dir {
		t.Errorf("gone on with, the cell is %s, from the cache are %q", whole.Outcome, whole.FromCache())
	}
	if diff := cmp.Diff(measured.Rows, whole.Rows); diff != "" {
		t.Errorf("rows of the run that was killed (-measured +resumed):\n%s", diff)
	}
	w, run, err := results.Resume(filepath.Join(out, results.LatestLink))
	if err != nil || run.Plan.Finished == nil {
		t.Fatalf("the run that was gone on with has not ended, or is in use: %v", err)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
}

// kill runs ctmatrix in a process of its own and kills it as soon as the run
// has a row.
func kill(t *testing.T, out string, args []string) {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	var printed bytes.Buffer
	cmd := exec.CommandContext(ctx, program, append([]string{"run", "--out", out}, args...)...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &printed, &printed, 10*time.Second
	before, err := os.Readlink(filepath.Join(out, results.LatestLink))
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for !hasRows(out, before) && ctx.Err() == nil {
		time.Sleep(5 * time.Millisecond)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Errorf("kill: %v", err)
	}
	if err := cmd.Wait(); err == nil || ctx.Err() != nil {
		t.Fatalf("it was not killed in the middle: %v, %v\n%s", err, ctx.Err(), &printed)
	}
}

// hasRows says whether a run that is not the one before has recorded anything.
func hasRows(out, before string) bool {
	if now, err := os.Readlink(filepath.Join(out, results.LatestLink)); err != nil || now == before {
		return false
	}
	files, err := filepath.Glob(filepath.Join(out, results.LatestLink, "*", results.CellFile))
	return err == nil && len(files) > 0
}
