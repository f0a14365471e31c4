package cli

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
)

// TestRealStability compares a kernel with itself on both clocks, one of them
// with two CPUs.
func TestRealStability(t *testing.T) {
	if os.Getenv("CTMATRIX_REAL_TESTS") == "" {
		t.Skip("boots real kernels: run `make test`")
	}
	t.Chdir(t.TempDir())
	file := "kernels: [\"debian:6.1\"]\nprobes: [\"limits/*\"]\nguest: {accel: tcg}\n" +
		"variants: [{name: default}, {name: smp, clock: host, cpus: 2}]\n"
	if err := os.WriteFile("matrix.yaml", []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	status := Main(t.Context(), []string{"stability", "--repeat", "2"}, &stdout, &stderr)
	if status != ExitSame || !strings.Contains(stdout.String(), "\n0 flips in ") {
		t.Fatalf("exit status %d\n%s%s", status, &stdout, &stderr)
	}
	run, err := results.Open(filepath.Join("runs", results.LatestLink))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range run.Cells {
		got = append(got, fmt.Sprint(c.Dir, " ", c.Guest.Clock, " ", c.Guest.CPUs, " ", c.Repeat))
	}
	slices.Sort(got)
	for i, want := range []string{"virtual 1 1", "host 2 1", "host 2 2", "virtual 1 2"} {
		if !strings.HasSuffix(got[i], want) {
			t.Errorf("cells %q, want the %d. to be %s", got, i+1, want)
		}
	}
	if again := Main(t.Context(), []string{"stability", "latest"}, &stdout, &stderr); again != ExitSame {
		t.Errorf("exit status %d of the same run read back\n%s%s", again, &stdout, &stderr)
	}
}
