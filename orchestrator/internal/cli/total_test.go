package cli

import (
	"bytes"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vbauerster/mpb/v8"

	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
)

var (
	booted = results.Cell{Steps: []results.Step{{Name: "boot"}}}
	cached = results.Cell{Cached: []results.Origin{{Probes: []string{"a/b"}}}}
)

func TestTotal(t *testing.T) {
	var sum total
	now := time.Unix(1000, 0)
	check := func(want string) {
		t.Helper()
		if got := sum.text(now); got != want {
			t.Errorf("%q\n want %q", got, want)
		}
	}
	for i := range 7 {
		sum.state(i, results.Cell{}, "waits")
	}
	sum.state(7, booted, "kept")
	check("1/8 cells")
	sum.state(0, cached, "ok")
	sum.state(1, results.Cell{}, "boots")
	sum.state(1, results.Cell{}, "runs")
	sum.state(2, results.Cell{}, "boots")
	sum.left(9*time.Minute+20*time.Second, now)
	check("2/8 cells · 2 run · 1 from the cache · about 9 min left")
	sum.state(1, booted, "ok")
	sum.state(2, booted, "crashed")
	sum.state(3, results.Cell{}, "failed") // no kernel
	now = now.Add(9 * time.Minute)
	check("5/8 cells · 1 from the cache · 2 not ok · less than a minute left")
	now = now.Add(9 * time.Minute)
	check("5/8 cells · 1 from the cache · 2 not ok · less than a minute left")
	sum.left(5*time.Hour, now)
	check("5/8 cells · 1 from the cache · 2 not ok · about 5 h left")
	for i := 4; i < 7; i++ {
		sum.state(i, booted, "ok")
	}
	check("8/8 cells · 1 from the cache · 2 not ok")
}

// The screen is drawn while cells change and lines are written: nobody waits for
// the other for ever.
func TestBarsOnATerminal(t *testing.T) {
	var screen bytes.Buffer
	b := &bars{out: io.Discard, cells: map[int]*cellLine{}, probes: 3}
	b.progress = mpb.New(mpb.WithOutput(&screen), mpb.WithAutoRefresh(), mpb.WithRefreshRate(time.Millisecond))
	var all sync.WaitGroup
	const workers, each = 10, 100
	for i := range workers * each {
		b.State(i, booted, "waits")
	}
	for w := range workers {
		all.Go(func() {
			for i := w * each; i < (w+1)*each; i++ {
				b.State(i, booted, "boots")
				b.Left(time.Hour)
				b.State(i, booted, "runs")
				b.Ended(i, booted, results.Probe{})
				b.State(i, booted, "ok")
			}
			b.line("a word")
		})
	}
	all.Wait()
	b.Close()
	if got := b.total.text(time.Now()); got != "1000/1000 cells" || len(b.cells) > 0 {
		t.Errorf("in the end: %q, %d lines", got, len(b.cells))
	}
	if n := strings.Count(screen.String(), "ctmatrix: a word\n"); n != workers {
		t.Errorf("%d lines of %d are on the screen", n, workers)
	}
}

// Plain output is told of the whole now and then, and in the end if it was told
// before, or if something came from the cache.
func TestTotalIsDue(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  results.Cell
		gap  time.Duration
		want []bool
	}{
		{"quick", booted, time.Second, []bool{false, false, false}},
		{"slow", booted, 20 * time.Second, []bool{false, false, true, false, true, true}},
		{"from the cache", cached, time.Second, []bool{false, false, true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var sum total
			now := time.Unix(1000, 0)
			for i := range tt.want {
				sum.state(i, results.Cell{}, "waits")
			}
			for i, want := range tt.want {
				sum.state(i, tt.end, "ok")
				if got := sum.due(now); got != want {
					t.Errorf("at the end of cell %d: %v, want %v", i, got, want)
				}
				now = now.Add(tt.gap)
			}
		})
	}
}
