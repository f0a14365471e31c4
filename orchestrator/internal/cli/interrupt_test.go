package cli

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
)

// trigger calls do when text is written to it.
type trigger struct {
	text string
	do   func()

	mu  sync.Mutex
	buf bytes.Buffer
}

func (t *trigger) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n, err := t.buf.Write(p)
	if strings.Contains(t.buf.String(), t.text) {
		t.do()
	}
	return n, err
}

// TestRealInterrupt interrupts a run while a guest runs the suite: nothing of it
// stays behind but what it had found.
func TestRealInterrupt(t *testing.T) {
	if os.Getenv("CTMATRIX_REAL_TESTS") == "" {
		t.Skip("boots a real kernel: run `make test`")
	}
	t.Chdir(t.TempDir()) // no matrix.yaml
	ctx, cancel := context.WithCancel(t.Context())
	stderr := &trigger{text: `"state":"runs"`, do: cancel}
	var stdout bytes.Buffer
	status := Main(ctx, []string{"run", "--no-cache", "--kernel", "debian:6.1", "--out", "runs", "--json-events", "-"}, &stdout, stderr)
	if status != ExitFailed {
		t.Errorf("exit status %d, want %d\n%s%s", status, ExitFailed, &stdout, &stderr.buf)
	}
	run, err := results.Open(filepath.Join("runs", results.LatestLink))
	if err != nil {
		t.Fatal(err)
	}
	if c := run.Cells[0]; c.Outcome != results.CellMissing || !strings.HasPrefix(c.Reason, "interrupted") {
		t.Errorf("the cell is %s: %s", c.Outcome, c.Reason)
	}
	if run.Plan.Finished != nil {
		t.Error("the run says that it was finished")
	}
	if left := children(t); len(left) > 0 {
		t.Errorf("still running: %s", strings.Join(left, ", "))
	}
}

// children are the names of the processes that this one has started.
func children(t *testing.T) []string {
	t.Helper()
	lists, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil || len(lists) == 0 {
		t.Fatalf("the kernel does not list children: %v", err)
	}
	var names []string
	for _, list := range lists {
		pids, err := os.ReadFile(list)
		if err != nil {
			continue // the thread has ended
		}
		for _, pid := range strings.Fields(string(pids)) {
			name, _ := os.ReadFile(filepath.Join("/proc", pid, "comm")) // empty if it has ended
			names = append(names, pid+" "+strings.TrimSpace(string(name)))
		}
	}
	return names
}
