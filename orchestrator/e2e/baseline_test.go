package e2e

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ctmatrix/ctmatrix/orchestrator/internal/cli"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
)

// TestRealBaseline blesses what a kernel does, and then holds it to that, and to
// another value in the place of one that it was seen to have.
func TestRealBaseline(t *testing.T) {
	real(t)
	out, dir := t.TempDir(), filepath.Join(t.TempDir(), "baseline")
	loose := []string{"--kernel", "debian:6.1", "--probe", "loose/*"}
	only(t, out, append(loose, "--no-baseline")...)
	ctmatrix := func(want int, args ...string) string {
		t.Helper()
		var stdout, stderr bytes.Buffer
		if status := cli.Main(t.Context(), append(args, "--out", out, "--baseline", dir, "--width=200"), &stdout, &stderr); status != want {
			t.Fatalf("ctmatrix %q: exit status %d, want %d\n%s%s", args, status, want, &stdout, &stderr)
		}
		return stdout.String()
	}
	printed := ctmatrix(cli.ExitSame, "bless", results.LatestLink)
	t.Logf("printed:\n%s", printed)
	run := append([]string{"run"}, loose...)
	if printed := ctmatrix(cli.ExitSame, run...); !strings.Contains(printed, "As blessed: ") {
		t.Errorf("printed:\n%s", printed)
	}

	name := filepath.Join(dir, "loose.rows")
	before, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	const row = "loose/on/ack.class class "
	after := strings.Replace(string(before), row+`"10 new"`, row+`"10 invalid"`, 1)
	if after == string(before) {
		t.Fatalf("no row %s in\n%s", row, before)
	}
	if err := os.WriteFile(name, []byte(after), 0o644); err != nil {
		t.Fatal(err)
	}
	printed = ctmatrix(cli.ExitChanged, run...)
	for _, want := range []string{"loose/on  not @child", "ack.class │ 10 invalid │ 10 new", "1 change · 0 vanished · 0 new · "} {
		if !strings.Contains(printed, want) {
			t.Errorf("%q is not in\n%s", want, printed)
		}
	}
	if printed := ctmatrix(cli.ExitSame, "bless"); !strings.Contains(printed, " 0 added · 1 changed · 0 vanished") {
		t.Errorf("printed:\n%s", printed)
	}
	if again, err := os.ReadFile(name); err != nil || !bytes.Equal(again, before) {
		t.Errorf("blessed again it is other than it was, %v:\n%s", err, again)
	}
}
