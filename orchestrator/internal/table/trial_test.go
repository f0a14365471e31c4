package table

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
)

// recordings are of cells that ran on the same host.
func recordings(cells []results.CellRows) []Recording {
	var out []Recording
	for i, c := range cells {
		c.Kernel.Digest, c.Guest.Agent, c.Guest.Clock, c.Guest.QEMU = "ab", "agent1", "virtual", "7.2"
		out = append(out, Recording{Name: fmt.Sprint("run", i), CellRows: c})
	}
	return out
}

// trialText writes a trial in short.
func trialText(t *Trial) string {
	var out []string
	for _, b := range t.Builds {
		s := fmt.Sprintf("%s %d×%d %d/%d", b.Label, b.Rows, len(b.Recordings), b.FlipCount(), b.Values)
		for _, f := range b.Flips {
			s += " " + f.Row + "=" + Tally(f.Seen)
		}
		for _, c := range b.Conditions {
			s += fmt.Sprint(" ", c.Name, c.Values)
		}
		if len(b.Failed)+len(b.Unanswered) > 0 {
			s += fmt.Sprint(" failed", b.Failed, len(b.Unanswered))
		}
		out = append(out, s)
	}
	return strings.Join(out, "; ")
}

func TestStability(t *testing.T) {
	for name, c := range map[string]struct {
		cells, want string
		failed      bool
	}{
		"steady":      {"6.1.1-1=1 7.3.1-1=2 6.1.1-1=1 7.3.1-1=2", "6.1.1 1×2 0/2; 7.3.1 1×2 0/2", false},
		"one flips":   {"6.1.1-1=1 6.1.1-1=1 6.1.1-1=2", `6.1.1 1×3 1/3 a/b/x.y=2× "1" · 1× "2"`, false},
		"all flip":    {"6.1.1-1=3 6.1.1-1=1 6.1.1-1=2", `6.1.1 1×3 2/3 a/b/x.y=1× "1" · 1× "2" · 1× "3"`, false},
		"outcome":     {"6.1.1-1=1 6.1.1-1=1 6.1.1-1=!broken", "6.1.1 1×3 1/2 a/b=2× recorded · 1× broken: because 6.1.1-1", false},
		"broken":      {"6.1.1-1=!broken 6.1.1-1=!broken", "6.1.1 0×2 0/0 failed[] 1", true},
		"unsupported": {"6.1.1-1=!unsupported 6.1.1-1=!unsupported", "6.1.1 0×2 0/0", true},
		"broken once": {"6.1.1-1=!broken 7.3.1-1=1 7.3.1-1=1", "6.1.1 0×1 0/0; 7.3.1 1×2 0/2", false},
		"once":        {"6.1.1-1=1 7.3.1-1=1", "6.1.1 1×1 0/0; 7.3.1 1×1 0/0", true},
		"nothing":     {"", "", true},
	} {
		t.Run(name, func(t *testing.T) {
			trial := Stability(recordings(run(c.cells)))
			if got := trialText(trial); got != c.want || trial.Failed() != c.failed {
				t.Errorf("failed %t, got %s\nwant %s", trial.Failed(), got, c.want)
			}
		})
	}
}

func TestStabilityOfOtherSelections(t *testing.T) {
	recs := recordings(run("6.1.1-1=1 6.1.1-1=1 6.1.1-1=1"))
	for i, rows := range [][]string{{"c/d/x.y"}, {}, nil} {
		if rows == nil {
			continue // c/d was not selected
		}
		recs[i].Probes = append(recs[i].Probes, results.Probe{Name: "c/d", Outcome: observe.Recorded, Rows: len(rows)})
		for _, r := range rows {
			recs[i].Rows = append(recs[i].Rows, observe.Row{Name: r, Kind: observe.Flag, Value: "yes"})
		}
	}
	want := `6.1.1 2×3 1/5 c/d/x.y=1× absent · 1× "yes"`
	if got := trialText(Stability(recs)); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestStabilityKeepsApartWhatIsNotTheSame(t *testing.T) {
	recs := recordings(run("6.1.1-1=1 6.1.1-1=1 6.1.1-1=2 6.1.1-1=2 7.3.1-1=1 7.3.1-1=1"))
	recs[2].Guest.Clock, recs[3].Guest.Clock = "host", "host"
	recs[5].Guest.Agent = "agent2-and-more"
	trial := Stability(recs)
	want := "6.1.1 virtual clock 1×2 0/2; 6.1.1 host clock 1×2 0/2; 7.3.1 agent agent1 1×1 0/0; 7.3.1 agent agent2- 1×1 0/0"
	if got := trialText(trial); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	apart := []Condition{
		{Kernel: "6.1.1", Name: "clocks", Values: []string{"host", "virtual"}},
		{Kernel: "7.3.1", Name: "agents", Values: []string{"agent1", "agent2-"}},
	}
	if d := cmp.Diff(apart, trial.Apart); d != "" {
		t.Errorf("apart (-want +got):\n%s", d)
	}
	if got := trial.Totals(); got != (Totals{Kernels: 1, Rows: 1, Runs: 2, Values: 4}) {
		t.Errorf("totals %+v", got)
	}
}

func TestStabilityAcrossHosts(t *testing.T) {
	recs := recordings(run("6.1.1-1=1 6.1.1-1=1 7.3.1-1=1 7.3.1-1=1 7.3.1-1=1"))
	recs[1].Guest.QEMU = "8.0"
	for i, args := range [][]string{
		{"-smp", "1", "-seed", "1", "-kernel", "/a", "-chardev", "socket,id=port4,fd=4"},
		{"-smp", "1", "-seed", "1", "-kernel", "/b", "-chardev", "socket,id=port9,fd=9"},
		{"-smp", "1", "-seed", "2", "-kernel", "/b", "-chardev", "socket,id=port9,fd=9"},
	} {
		recs[2+i].Guest.Args = args
	}
	want := "6.1.1 1×2 0/2 QEMU versions[7.2 8.0]; 7.3.1 1×3 0/3 arguments of QEMU[-seed 1 -seed 2]"
	if got := trialText(Stability(recs)); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

// A cell that failed before its kernel was there is of the build that ran.
func TestStabilityOfFailedCells(t *testing.T) {
	recs := recordings(run("6.1.1-1=1 6.1.1-1=!missing 6.1.1-1=1 7.3.1-1=!missing"))
	for _, i := range []int{1, 3} {
		recs[i].Outcome, recs[i].Kernel.Digest, recs[i].Guest = results.CellFailed, "", results.Guest{}
	}
	trial := Stability(recs)
	want := "6.1.1 1×3 0/2 failed[2] 0; 7.3.1 0×1 0/0 failed[0] 0"
	if got := trialText(trial); got != want || !trial.Failed() {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := trial.Builds[0].Recordings[2].Name; got != "run1" {
		t.Errorf("failed %s", got)
	}
}
