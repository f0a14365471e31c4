package cli

import (
	"bytes"
	"errors"
	"path/filepath"
	"strings"
	"testing"

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
			err := (&app{stdout: &out, width: 80}).report(dir, table.Book{}, 0, false)
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
