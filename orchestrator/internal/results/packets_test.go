package results

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Every probe has a file of its own, inside the cell's directory.
func TestPacketsFile(t *testing.T) {
	seen := map[string]string{}
	for _, probe := range []string{"table-full/syn", "table-full/syn@child", "table/full-syn", "a.b/c=d", "../x", "A/b"} {
		file := PacketsFile(probe)
		if !filepath.IsLocal(file) || filepath.Dir(file) != PacketsDir {
			t.Errorf("%s lies at %s", probe, file)
		}
		if other, twice := seen[file]; twice {
			t.Errorf("%s and %s lie at %s", probe, other, file)
		}
		seen[file] = probe
		name := strings.TrimSuffix(filepath.Base(file), ".pcapng")
		if got := strings.ReplaceAll(name, slash, "/"); got != probe {
			t.Errorf("%s is the file of %s, not of %s", file, got, probe)
		}
	}
}

func TestPutPackets(t *testing.T) {
	w, err := Create(t.TempDir(), "run", Plan{Cells: []Planned{{Kernel: Kernel{Label: "6.1.192"}}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, data := range []string{"first", "second"} {
		if err := w.PutPackets(0, "a/b", []byte(data)); err != nil {
			t.Fatal(err)
		}
	}
	half := filepath.Join(w.CellDir(0), PacketsDir, ".a~b.pcapng-123")
	if err := os.WriteFile(half, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := w.Continue(time.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(half); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what was half written is still there: %v", err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	run, err := Open(w.Dir())
	if err != nil {
		t.Fatal(err)
	}
	if data, err := run.Packets(run.Cells[0], "a/b"); err != nil || string(data) != "second" {
		t.Errorf("%q, %v", data, err)
	}
	var where *FileError
	if _, err := run.Packets(run.Cells[0], "a/c"); !errors.Is(err, fs.ErrNotExist) || !errors.As(err, &where) {
		t.Errorf("packets of a probe that has none: %v", err)
	}
}
