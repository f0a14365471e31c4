package sched

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
)

// Each probe is told of once, when it ends in a guest: not those from before, nor
// those that never ran.
func TestEnded(t *testing.T) {
	whole := stream(t, "1-cloud")
	died := script{stream: upTo(t, whole, `"begin"`, 2), execErr: errors.New("connection lost"), death: "Kernel panic - not syncing: Fatal exception"}
	r := newRig(t, map[string]script{"1": died, "2": {bootErr: errors.New("no guest")}})
	var mu sync.Mutex
	var told []string
	r.Ended = func(i int, cell results.Cell, p results.Probe) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, fmt.Sprint(i, " ", cell.Kernel.Version, " ", p.Name, " ", p.Outcome, " ", p.Rows))
	}
	r.run(t.Context(), t)
	slices.Sort(told)
	want := "0 1 a/one recorded 1, 0 1 a/two crashed 0, 0 1 b/one recorded 1"
	if got := strings.Join(told, ", "); got != want {
		t.Errorf("told %s\nwant %s", got, want)
	}
}
