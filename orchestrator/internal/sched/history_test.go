package sched

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ctmatrix/ctmatrix/images/kernel"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/matrix"
)

func cellOf(version, series string) Cell {
	return Cell{
		Kernel:  kernel.Candidate{Ref: "fake:" + version, Version: version, Series: series},
		Variant: matrix.Variant{Name: "default"},
	}
}

func TestEstimate(t *testing.T) {
	cache := t.TempDir()
	h := OpenHistory(cache)
	if got, _ := h.estimate(cellOf("6.1.1", "6.1"), 10); got != 0 {
		t.Errorf("of nothing: %s", got)
	}
	h.add(cellOf("6.1.1", "6.1"), 10, 10*time.Second)
	h.add(cellOf("6.1.1", "6.1"), 100, 50*time.Second)
	h.add(cellOf("6.1.2", "6.1"), 10, 20*time.Second)
	h.add(cellOf("7.3.1", "7.3"), 10, 60*time.Second)
	h.add(cellOf("6.1.1", "6.1"), 10, 12*time.Second) // the later counts
	if err := h.save(); err != nil {
		t.Fatal(err)
	}
	h = OpenHistory(cache)
	other := cellOf("6.1.1", "6.1")
	other.Variant.Name = "small"
	for _, tt := range []struct {
		what   string
		cell   Cell
		probes int
		want   time.Duration
	}{
		{"the same", cellOf("6.1.1", "6.1"), 10, 12 * time.Second},
		{"nearly as many", cellOf("6.1.1", "6.1"), 80, 50 * time.Second},
		{"its series", cellOf("6.1.9", "6.1"), 10, 16 * time.Second},
		{"of any", cellOf("5.10.1", "5.10"), 10, 92 * time.Second / 3},
		{"another variant", other, 10, 0},
	} {
		got, exact := h.estimate(tt.cell, tt.probes)
		if got != tt.want || exact != (tt.probes == 10 && got > 0) {
			t.Errorf("%s: %s, exact %v; want %s", tt.what, got, exact, tt.want)
		}
	}
}

// What cannot be read is as good as nothing, and is replaced.
func TestHistoryIsDamaged(t *testing.T) {
	cache := t.TempDir()
	path := filepath.Join(cache, "host", "durations.json")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(`[{"kernel": 7`), 0o600); err != nil {
		t.Fatal(err)
	}
	h := OpenHistory(cache)
	if got, _ := h.estimate(cellOf("1", "1"), 1); got != 0 {
		t.Errorf("estimates %s", got)
	}
	h.add(cellOf("1", "1"), 1, time.Second)
	if err := h.save(); err != nil {
		t.Fatal(err)
	}
	if got, _ := OpenHistory(cache).estimate(cellOf("1", "1"), 1); got != time.Second {
		t.Errorf("after that it estimates %s", got)
	}
}

func TestHistoryIsBounded(t *testing.T) {
	cache := t.TempDir()
	for round := range 2 {
		h := OpenHistory(cache)
		for i := range mostPast {
			h.add(cellOf(fmt.Sprint(round, "-", i), "1"), 1, time.Second)
		}
		if err := h.save(); err != nil {
			t.Fatal(err)
		}
	}
	h := OpenHistory(cache)
	if len(h.past) != mostPast || h.past[0].Kernel != fmt.Sprint("fake:1-", mostPast-1) {
		t.Errorf("keeps %d, the first of %s", len(h.past), h.past[0].Kernel)
	}
}

func TestOutlook(t *testing.T) {
	var told time.Duration
	start := time.Unix(1000, 0)
	at := func(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }
	const s = time.Second
	o := newOutlook([]time.Duration{10 * s, 10 * s, 10 * s, 10 * s, 30 * s}, 2, func(d time.Duration) { told = d })
	check := func(want time.Duration) {
		t.Helper()
		if told != want {
			t.Errorf("%s left, want %s", told, want)
		}
	}
	o.end(0, at(0)) // from the cache: guesses are as good as before
	check(30 * s)   // the longest
	o.begin(1, at(0))
	o.begin(2, at(0))
	o.end(1, at(20)) // twice as long as was guessed
	check(60 * s)
	o.begin(4, at(20))
	o.end(2, at(20))
	check(60 * s)
	o.begin(3, at(20))
	o.end(3, at(40))
	check(40 * s) // the last has run for 20 s
	o.end(4, at(80))
	check(0)

	// Without any guess the cells of the run itself tell.
	o = newOutlook(make([]time.Duration, 4), 1, func(d time.Duration) { told = d })
	o.end(0, at(0))
	check(0)
	o.begin(1, at(0))
	o.end(1, at(7))
	check(14 * s)
}
