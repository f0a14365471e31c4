package sched

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/images/kernel"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/vm"
)

func outcomes(c results.CellRows) string {
	var words []string
	for _, p := range c.Probes {
		words = append(words, p.Name+" "+string(p.Outcome))
	}
	return strings.Join(words, ", ")
}

// The agent is told of a clock that it cannot see.
func TestHostClock(t *testing.T) {
	r := newRig(t, map[string]script{"6.1": {stream: stream(t, "6.1-cloud")}})
	r.cells[0].Guest.Clock = "host"
	if c := r.run(t.Context(), t)[0]; c.Guest.Clock != "host" {
		t.Errorf("the cell says it ran on the %s clock", c.Guest.Clock)
	}
	if want := "[[/init run --probe a/one --probe a/two --probe b/one --clock host]]"; fmt.Sprint(r.fakes.argv) != want {
		t.Errorf("ran %q, want %s", r.fakes.argv, want)
	}
}

func TestGood(t *testing.T) {
	r := newRig(t, map[string]script{"6.1": {stream: stream(t, "6.1-cloud")}})
	r.Shuffle = new(uint64)
	c := r.run(t.Context(), t)[0]
	if c.Outcome != results.CellOK || c.Reason != "" || c.Console != nil {
		t.Errorf("cell is %s, %q, with console %q", c.Outcome, c.Reason, c.Console)
	}
	if got, want := outcomes(c), "a/one recorded, a/two recorded, b/one recorded"; got != want {
		t.Errorf("probes %s, want %s", got, want)
	}
	if len(c.Rows) != 3 || c.Rows[2] != (observe.Row{Name: "b/one/s.n", Kind: observe.Count, Value: "2"}) {
		t.Errorf("rows %v", c.Rows)
	}
	if c.ID == "" || c.Kernel.Digest != "digest of 6.1" || c.Guest.QEMU != "7.2" || c.Guest.Agent == "" || len(c.Modules) != 1 {
		t.Errorf("identity is not whole: %+v", c.Cell)
	}
	var steps []string
	for _, s := range c.Steps {
		steps = append(steps, s.Name)
	}
	if want := []string{"fetch", "image", "boot", "suite", "stop"}; !slices.Equal(steps, want) {
		t.Errorf("steps %q, want %q", steps, want)
	}
	if want := [][]string{{"/init", "run", "--probe", "a/one", "--probe", "a/two", "--probe", "b/one", "--shuffle", "0"}}; fmt.Sprint(r.fakes.argv) != fmt.Sprint(want) {
		t.Errorf("ran %q, want %q", r.fakes.argv, want)
	}
	for file, want := range map[string]string{
		results.ConsoleFile:   "the console of 6.1\n",
		results.KernelLogFile: `[    1.500000] a/one: table\x1b full` + "\n",
	} {
		got, err := os.ReadFile(filepath.Join(r.Out.CellDir(0), file))
		if err != nil || string(got) != want {
			t.Errorf("%s: %q, %v; want %q", file, got, err, want)
		}
	}
	if got, want := fmt.Sprint(r.states.words[0]), "[waits boots runs ends ok]"; got != want {
		t.Errorf("states %s, want %s", got, want)
	}
}

// How a cell ends, whose fault it says that was, and what it keeps.
func TestEndings(t *testing.T) {
	whole := stream(t, "1-cloud")
	closed := errors.New("connection lost")
	const panicked = "Kernel panic - not syncing: Fatal exception"
	inTwo := upTo(t, whole, `"begin"`, 2)
	for _, tt := range []struct {
		name    string
		script  script
		outcome results.CellOutcome
		reason  string
		probes  string
		rows    int
	}{
		{
			"panic in a probe", script{stream: inTwo, execErr: closed, death: panicked}, results.CellCrashed,
			"the kernel died during a/two: " + panicked,
			"a/one recorded, a/two crashed, b/one recorded", 2,
		}, {
			"panic that looks like a good end", script{stream: inTwo, death: panicked}, results.CellCrashed,
			"the kernel died during a/two: " + panicked,
			"a/one recorded, a/two crashed, b/one recorded", 2,
		}, {
			"panic in the middle of a row", script{stream: upTo(t, whole, `"row"`, 2)[:len(inTwo)+20], execErr: closed, death: panicked},
			results.CellCrashed, "the kernel died during a/two: " + panicked,
			"a/one recorded, a/two crashed, b/one recorded", 2,
		}, {
			"panic in two guests", script{stream: inTwo, execErr: closed, death: panicked, then: []script{
				{stream: upTo(t, streamOf("1-cloud", probes[2:]), `"begin"`, 1), execErr: closed, death: "Oops: again"},
			}}, results.CellCrashed, "the kernel died during a/two: " + panicked,
			"a/one recorded, a/two crashed, b/one crashed", 1,
		}, {
			"a guest behind a panic that does not come up", script{stream: inTwo, execErr: closed, death: panicked, then: []script{
				{readyErr: closed, death: "Oops: again"},
			}}, results.CellCrashed, "the kernel died during a/two: " + panicked,
			"a/one recorded, a/two crashed, b/one missing", 1,
		}, {
			"panic after the last probe", script{stream: upTo(t, whole, `"end"`, 3), execErr: closed, death: panicked},
			results.CellCrashed, "the kernel died after b/one: " + panicked,
			"a/one recorded, a/two recorded, b/one recorded", 3,
		}, {
			"panic while it boots", script{readyErr: closed, death: panicked}, results.CellCrashed,
			"the kernel died while it booted: " + panicked,
			"a/one missing, a/two missing, b/one missing", 0,
		}, {
			"hostile last words", script{readyErr: closed, death: "Oops: \x1b[2J"}, results.CellCrashed,
			`the kernel died while it booted: Oops: \x1b[2J`,
			"a/one missing, a/two missing, b/one missing", 0,
		}, {
			"silence", script{readyErr: &vm.RigError{Err: vm.ErrSilent}, then: []script{{readyErr: &vm.RigError{Err: vm.ErrSilent}}}}, results.CellFailed,
			"while it booted: the guest printed nothing, retried on pc: while it booted: the guest printed nothing",
			"a/one missing, a/two missing, b/one missing", 0,
		}, {
			"boot that never ends", script{readyErr: &PhaseError{"the kernel did not start init", "q35", &vm.LateError{Limit: 45e9, Took: 45e9}}}, results.CellCrashed,
			"the guest hung while it booted: the kernel did not start init on q35: not within 45s, and it took no interrupt",
			"a/one missing, a/two missing, b/one missing", 0,
		}, {
			"boot that stalls", script{readyErr: &vm.GuestError{Err: vm.ErrSilent}, nmi: nmiIn("RIP: 0010:calibrate_delay+0x1/0x2")}, results.CellCrashed,
			"the guest hung while it booted: the guest hangs: the guest printed nothing, in calibrate_delay",
			"a/one missing, a/two missing, b/one missing", 0,
		}, {
			"a stream that stops", script{stream: inTwo}, results.CellOK, "",
			"a/one recorded, a/two broken, b/one recorded", 2,
		}, {
			"no stream", script{execErr: closed, complain: "no such probe\n"}, results.CellFailed,
			"before the first probe: connection lost: no such probe",
			"a/one missing, a/two missing, b/one missing", 0,
		}, {
			"garbage", script{stream: append(slices.Clone(inTwo), "rubbish\n"...)}, results.CellOK, "",
			"a/one recorded, a/two broken, b/one recorded", 2,
		}, {
			"a probe that was not asked for", script{stream: bytes.ReplaceAll(whole, []byte("a/two"), []byte("a/six"))}, results.CellFailed,
			"before the first probe: the guest runs a/six, which was not chosen: agent and host are not of one build",
			"a/one missing, a/two missing, b/one missing", 0,
		}, {
			"another kernel", script{stream: stream(t, "2-cloud")}, results.CellFailed,
			`before the first probe: the guest runs kernel "2-cloud", not "1-cloud"`,
			"a/one missing, a/two missing, b/one missing", 0,
		}, {
			"a command that fails in the end", script{stream: whole, execErr: closed}, results.CellOK, "",
			"a/one recorded, a/two recorded, b/one recorded", 3,
		}, {
			"no kernel", script{fetchErr: kernel.ErrGone}, results.CellFailed, kernel.ErrGone.Error(),
			"a/one missing, a/two missing, b/one missing", 0,
		}, {
			"no QEMU", script{bootErr: errors.New("start QEMU: no such file")}, results.CellFailed, "start QEMU: no such file",
			"a/one missing, a/two missing, b/one missing", 0,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, map[string]script{"1": tt.script})
			c := r.run(t.Context(), t)[0]
			if c.Outcome != tt.outcome || c.Reason != tt.reason {
				t.Errorf("cell is %s: %s\n    want %s: %s", c.Outcome, c.Reason, tt.outcome, tt.reason)
			}
			if got := outcomes(c); got != tt.probes {
				t.Errorf("probes %s\n  want %s", got, tt.probes)
			}
			if len(c.Rows) != tt.rows {
				t.Errorf("%d rows, want %d", len(c.Rows), tt.rows)
			}
			booted := tt.script.fetchErr == nil && tt.script.bootErr == nil
			if wants := booted && tt.outcome != results.CellOK; wants != (len(c.Console) > 0) || len(c.Console) > consoleLines {
				t.Errorf("%d lines of console", len(c.Console))
			}
			if r.fakes.stopped == 0 && booted {
				t.Error("the guest was not stopped")
			}
		})
	}
}

// A probe with a guest of its own finds nothing of the ones before it.
func TestFreshGuests(t *testing.T) {
	r := newRig(t, map[string]script{"1": {obeys: true, then: []script{
		{stream: upTo(t, streamOf("1-cloud", probes[1:2]), `"begin"`, 1), execErr: errors.New("gone"), death: "Oops: "},
	}}})
	r.FreshGuest = true
	c := r.run(t.Context(), t)[0]
	if got, want := outcomes(c), "a/one recorded, a/two crashed, b/one recorded"; got != want {
		t.Errorf("probes %s, want %s", got, want)
	}
	if got, want := fmt.Sprint(r.fakes.argv), "[[/init run --probe a/one] [/init run --probe a/two] [/init run --probe b/one]]"; got != want {
		t.Errorf("ran %s, want %s", got, want)
	}
	var again []bool
	for _, image := range r.fakes.images {
		again = append(again, image.Again)
	}
	if fmt.Sprint(again) != "[false true true]" || !c.Guest.Fresh {
		t.Errorf("guests began again: %v; the cell says fresh: %v", again, c.Guest.Fresh)
	}
}

// A kernel that crashes all the time is given up before all of its probes have
// crashed it.
func TestCrashesAreBounded(t *testing.T) {
	var first script
	var selected []string
	for i := range mostLost + 1 {
		name := fmt.Sprintf("a/p%02d", i)
		selected = append(selected, name)
		crash := script{stream: upTo(t, streamOf("1-cloud", []string{name}), `"begin"`, 1), execErr: errors.New("gone"), death: "Oops: "}
		if i == 0 {
			first = crash
		} else {
			first.then = append(first.then, crash)
		}
	}
	r := newRig(t, map[string]script{"1": first})
	r.FreshGuest, r.Selected = true, selected
	c := r.run(t.Context(), t)[0]
	if len(r.fakes.argv) != mostLost || c.Outcome != results.CellCrashed {
		t.Errorf("%d guests ran, the cell is %s", len(r.fakes.argv), c.Outcome)
	}
	last := c.Probes[mostLost]
	if last.Outcome != observe.Missing || last.Reason != "not reached: given up after 10 guests were lost" {
		t.Errorf("%s is %s: %s", last.Name, last.Outcome, last.Reason)
	}
}

// A guest that had to be killed does not spoil what it said before.
func TestStopWarns(t *testing.T) {
	r := newRig(t, map[string]script{"1": {
		stream: stream(t, "1-cloud"), execErr: errors.New("connection lost"), stopErr: errors.New("had to be killed"),
	}})
	c := r.run(t.Context(), t)[0]
	want := []string{"the suite's command: connection lost", "end the guest: had to be killed"}
	if c.Outcome != results.CellOK || !slices.Equal(c.Warnings, want) {
		t.Errorf("cell is %s with warnings %q", c.Outcome, c.Warnings)
	}
}

// One bad cell leaves the others unharmed, and no more guests run than may.
func TestOthersUnharmed(t *testing.T) {
	scripts := map[string]script{"4": {bootErr: errors.New("no")}, "5": {death: "Oops: ", execErr: errors.New("gone")}}
	for _, v := range []string{"1", "2", "3", "6", "7"} {
		scripts[v] = script{stream: stream(t, v+"-cloud")}
	}
	r := newRig(t, scripts)
	var got []string
	ids := map[string]bool{}
	for _, c := range r.run(t.Context(), t) {
		got = append(got, string(c.Outcome))
		ids[c.ID] = true
	}
	if want := []string{"ok", "ok", "ok", "failed", "crashed", "ok", "ok"}; !slices.Equal(got, want) {
		t.Errorf("cells are %q, want %q", got, want)
	}
	if r.fakes.most > r.Jobs {
		t.Errorf("%d guests at a time, with %d jobs", r.fakes.most, r.Jobs)
	}
	if len(ids) != len(scripts) {
		t.Errorf("%d ids for %d cells", len(ids), len(scripts))
	}
}

// What interrupts a run costs what had not ended yet, and nothing else.
func TestInterrupt(t *testing.T) {
	r := newRig(t, map[string]script{
		"1": {stream: upTo(t, stream(t, "1-cloud"), `"begin"`, 2), hang: true},
		"2": {stream: stream(t, "2-cloud")},
		"3": {stream: upTo(t, stream(t, "3-cloud"), `"hello"`, 1), hang: true},
		"4": {stream: upTo(t, stream(t, "4-cloud"), `"hello"`, 1), hang: true},
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for range r.Jobs {
			<-r.fakes.hangs
		}
		cancel()
	}()
	cells := r.run(ctx, t)
	if ctx.Err() == nil {
		t.Fatal("the run ended before it was interrupted")
	}
	if got := string(cells[0].Outcome); got != "missing" {
		t.Errorf("cell 1 is %s: %s", got, cells[0].Reason)
	}
	if cells[0].Reason == "interrupted during a/two" && len(cells[0].Rows) != 1 {
		t.Errorf("cell 1 kept %d rows of the probe that had ended", len(cells[0].Rows))
	}
	for _, c := range cells {
		if c.Outcome == results.CellMissing && c.Console != nil {
			t.Errorf("cell %s shows the console of a guest that did nothing wrong", c.Kernel.Version)
		}
	}
	for _, c := range cells[2:] {
		if c.Outcome != results.CellMissing || !strings.HasPrefix(c.Reason, "interrupted") {
			t.Errorf("cell %s is %s: %s", c.Kernel.Version, c.Outcome, c.Reason)
		}
	}
}
