package cli

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ctmatrix/ctmatrix/orchestrator/internal/table"
)

// What differs on the same kernel is no change, and not success either.
func TestReportOfRepetitions(t *testing.T) {
	for name, c := range map[string]struct {
		values []string
		status int
		says   string
	}{
		"steady":   {[]string{"7", "7", "7"}, ExitSame, "One kernel: 2 rows, the same in all 3 runs."},
		"unstable": {[]string{"7", "8", "7"}, ExitFailed, `2× "7" · 1× "8"`},
		"crashed":  {[]string{"7", "7", "crashed"}, ExitFailed, "run 3 of 3: the kernel died"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "run")
			if err := writeRun(dir, "6.1.176-1", "virtual", true, c.values); err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			err := (&app{stdout: &out, width: 80}).report(dir, judging{fail: table.FailOnDefault()}, 0, false)
			status := ExitSame
			if e := (exit{}); errors.As(err, &e) {
				status = e.status
			} else if err != nil {
				t.Fatal(err)
			}
			if status != c.status || !strings.Contains(out.String(), c.says) {
				t.Errorf("exit status %d, want %d and %q in\n%s", status, c.status, c.says, &out)
			}
		})
	}
}

// TestRealReport holds what report tells of a stored run to what run said when it
// made it.
func TestRealReport(t *testing.T) {
	if os.Getenv("CTMATRIX_REAL_TESTS") == "" {
		t.Skip("boots real kernels: run `make test`")
	}
	t.Chdir(t.TempDir())
	args := []string{"--kernel", "debian:5.10", "--kernel", "debian:7.3", "--probe", "limits"}
	for format, run := range map[string][]string{"text": {"run"}, "json": {"run", "--json"}} {
		var said, told, stderr bytes.Buffer
		if status := Main(t.Context(), append(run, args...), &said, &stderr); status != ExitChanged {
			t.Fatalf("exit status %d\n%s%s", status, &said, &stderr)
		}
		if status := Main(t.Context(), []string{"report", "--format", format}, &told, &stderr); status != ExitSame {
			t.Fatalf("exit status %d\n%s", status, &stderr)
		}
		// The one counts until the table is made, the other until the last cell.
		elapsed := regexp.MustCompile(`("elapsed_s": |· )[0-9.]+( s)?`)
		if diff := cmp.Diff(elapsed.ReplaceAllString(said.String(), ""), elapsed.ReplaceAllString(told.String(), "")); diff != "" {
			t.Errorf("%s (-run +report):\n%s", format, diff)
		}
	}
}
