package sched

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
)

// FuzzHistory reads how long cells took. Whatever the file says, a guess is no
// more than a guess, and what is added is kept.
func FuzzHistory(f *testing.F) {
	f.Add([]byte(`[{"kernel":"fake:6.1.1","series":"6.1","variant":"default","probes":10,"took_ns":10000000000,"at":"2026-11-01T12:00:00Z"}]`))
	f.Add([]byte(`[{"probes":-9223372036854775808,"took_ns":9223372036854775807,"variant":"default"},{"probes":9223372036854775807,"took_ns":-1,"variant":"default"}]`))
	f.Add([]byte(`[`))
	f.Fuzz(func(t *testing.T, data []byte) {
		cache := t.TempDir()
		path := filepath.Join(cache, "host", "durations.json")
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		h := OpenHistory(cache)
		if d, _ := h.estimate(cellOf("6.1.1", "6.1"), 10); d < 0 {
			t.Fatalf("a guess of %s", d)
		}
		h.add(cellOf("6.1.2", "6.1"), 10, time.Second)
		if err := h.save(); err != nil {
			t.Fatal(err)
		}
		if d, exact := OpenHistory(cache).estimate(cellOf("6.1.2", "6.1"), 10); d != time.Second || !exact {
			t.Fatalf("%s, exact %v, of a cell that was added", d, exact)
		}
	})
}

// FuzzCellsOf reads how a run's cells were planned, from a directory that may come
// from elsewhere.
func FuzzCellsOf(f *testing.F) {
	planned, err := Plan([]Cell{cellOf("6.1.1", "6.1")})
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(planned[0].Spec))
	f.Add([]byte(`{"guest":{"memory":"1P","cpus":-1}}`))
	f.Fuzz(func(t *testing.T, spec []byte) {
		run := &results.Run{Cells: make([]results.CellRows, 1), Plan: results.Plan{Cells: []results.Planned{{Spec: json.RawMessage(spec)}}}}
		cells, err := CellsOf(run)
		if err == nil && (len(cells) != 1 || cells[0].Guest.Check() != nil) {
			t.Fatalf("%+v", cells)
		}
	})
}
