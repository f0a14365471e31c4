package cli

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
)

// total counts the cells of a run. It may be used concurrently, and holds its lock
// for no call of others.
type total struct {
	mu     sync.Mutex
	cells  int
	ended  int
	cached int // came from the cache as a whole
	wrong  int // failed, crashed or were interrupted

	runs map[int]bool // by number: those that have a guest now

	until time.Time // when the run is guessed to end; zero where it cannot be
	last  time.Time // when plain output was told last, or might first have been
	told  bool
	final bool // the end of all cells that there are was told, if it had to be
}

// totalEvery is how often plain output is told of the whole.
const totalEvery = 30 * time.Second

// state counts that the i-th cell is in a state of sched.Progress, and says
// whether it has ended.
func (t *total) state(i int, cell results.Cell, state string) (ended bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch state {
	case "waits":
		t.cells++
		t.final = false
		return false
	case "boots":
		if t.runs == nil {
			t.runs = map[int]bool{}
		}
		t.runs[i] = true
		return false
	case "fetches", "fetched", "runs":
		return false
	case "ends":
		delete(t.runs, i)
		return false
	case "kept":
		t.cells++
	case string(results.CellOK):
		if len(cell.Cached) > 0 && !cell.Booted() {
			t.cached++
		}
	default:
		t.wrong++
	}
	delete(t.runs, i)
	t.ended++
	return true
}

// left sets when the run is guessed to end; 0 says that nobody knows.
func (t *total) left(d time.Duration, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.until = time.Time{}
	if d > 0 {
		t.until = now.Add(d)
	}
}

// due says whether plain output should be told: now and then, and in the end of
// what was told before or came from the cache.
func (t *total) due(now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended == t.cells {
		first := !t.final
		t.final = true
		return first && (t.told || t.cached > 0)
	}
	if t.last.IsZero() {
		t.last = now
	}
	if now.Sub(t.last) < totalEvery {
		return false
	}
	t.last, t.told = now, true
	return true
}

// text is the whole in a line.
func (t *total) text(now time.Time) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	parts := []string{fmt.Sprintf("%d/%d cells", t.ended, t.cells)}
	if n := len(t.runs); n > 0 {
		parts = append(parts, fmt.Sprintf("%d run", n))
	}
	if t.cached > 0 {
		parts = append(parts, fmt.Sprintf("%d from the cache", t.cached))
	}
	if t.wrong > 0 {
		parts = append(parts, fmt.Sprintf("%d not ok", t.wrong))
	}
	if t.ended < t.cells && !t.until.IsZero() {
		parts = append(parts, leftText(t.until.Sub(now)))
	}
	return strings.Join(parts, " · ")
}

// leftText rounds so that it promises no more than a guess can.
func leftText(d time.Duration) string {
	switch {
	case d < time.Minute:
		return "less than a minute left"
	case d < 100*time.Minute:
		return fmt.Sprintf("about %.0f min left", d.Minutes())
	}
	return fmt.Sprintf("about %.0f h left", d.Hours())
}
