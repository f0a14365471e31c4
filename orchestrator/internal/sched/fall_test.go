package sched

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/matrix"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/vm"
)

// nmiIn is what a kernel says that is interrupted at a place.
func nmiIn(place string) []string {
	return []string{
		"Kernel panic - not syncing: NMI: Not continuing", "Call Trace:", " <NMI>", " dump_stack_lvl+0x1/0x2", " panic+0x1/0x2",
		" nmi_panic+0x1/0x2", " default_do_nmi+0x1/0x2", " exc_nmi+0x1/0x2", " end_repeat_nmi+0x1/0x2", place,
	}
}

// withLog is what a suite says in whose a/two the kernel says lines, and the stream
// up to the end of a/two.
func withLog(t *testing.T, tainted uint64, lines ...string) []byte {
	t.Helper()
	whole := stream(t, "1-cloud")
	var log bytes.Buffer
	for _, l := range lines {
		fmt.Fprintf(&log, `{"log":{"level":4,"at_us":1,"text":%q}}`+"\n", l)
	}
	end := []byte(`{"end":{"probe":"a/two"`)
	marked := bytes.Replace(whole, end, append(log.Bytes(), end...), 1)
	return bytes.Replace(marked, []byte(`"elapsed_ns":1000}}`+"\n"+`{"begin":{"probe":"b/one"`),
		[]byte(fmt.Sprintf(`"elapsed_ns":1000,"tainted":%d}}`+"\n"+`{"begin":{"probe":"b/one"`, tainted)), 1)
}

// What becomes of the probe that a guest is lost in, and that the others are not
// harmed by it.
func TestFalls(t *testing.T) {
	whole := stream(t, "1-cloud")
	inTwo := upTo(t, whole, `"begin"`, 2)
	killed := &vm.RigError{Err: errors.New("QEMU: signal: killed")}
	for _, tt := range []struct {
		name        string
		script      script
		outcome     observe.Outcome
		reason      string
		fingerprint string
		warning     string // of the cell
	}{
		{name: "oops", script: script{stream: inTwo, off: true, says: []string{
			"[    1.2] BUG: kernel NULL pointer dereference, address: 0000000000000000", "[    1.2] RIP: 0010:nf_bad.isra.0+0x9/0x20 [nf_conntrack]",
			"[    1.2] RAX: 0000000000000000", "[    1.2] Call Trace:", "[    1.2]  <TASK>", "[    1.2]  ? not_sure+0x1/0x2", "[    1.2]  nf_hook+0x5b/0x310",
			"[    1.2]  ip_rcv+0x5b/0x310", "[    1.2]  more+0x5b/0x310",
		}}, outcome: observe.Crashed, fingerprint: "nf_bad ← nf_hook ← ip_rcv",
			reason: "the kernel died during a/two: BUG: kernel NULL pointer dereference, address: 0000000000000000, in nf_bad ← nf_hook ← ip_rcv"},
		{name: "warning", script: script{stream: withLog(t, 512, "------------[ cut here ]------------",
			"WARNING: CPU: 0 PID: 9 at net/x.c:1 bad+0x1/0x2", "RIP: 0010:bad+0x1/0x2", " worse+0x1/0x2", "---[ end trace 0000000000000000 ]---")},
			outcome: observe.Crashed, fingerprint: "bad ← worse",
			reason: "the kernel complained during a/two: WARNING: CPU: 0 PID: 9 at net/x.c:1 bad+0x1/0x2, in bad ← worse"},
		{name: "a warning that is not in the log", script: script{stream: withLog(t, 512)}, outcome: observe.Crashed,
			reason: "the kernel was tainted during a/two, and its log does not show why: W, a warning"},
		{name: "an unsigned module", script: script{stream: withLog(t, 1<<13)}, outcome: observe.Recorded},
		{name: "what is allowed", script: script{stream: withLog(t, 0, "WARNING: Support for this device is new")}, outcome: observe.Recorded},
		{name: "hang in the kernel", script: script{stream: inTwo, hang: true, late: true, nmi: nmiIn("RIP: 0010:loops+0x1/0x2")}, outcome: observe.Crashed,
			fingerprint: "loops", reason: "the guest hung during a/two: not within 1m30s, in loops"},
		{name: "idle", script: script{stream: inTwo, hang: true, late: true, nmi: nmiIn("RIP: 0010:pv_native_safe_halt+0xb/0x10")}, outcome: observe.Crashed,
			reason: "the guest hung during a/two: not within 1m30s, and it had nothing to do"},
		{name: "endless", script: script{stream: inTwo, hang: true, late: true, nmi: nmiIn("RIP: 0033:0x40a90e")}, outcome: observe.Broken,
			reason: "the agent did not come to an end during a/two: not within 1m30s, and the kernel was not at work"},
		{name: "no interrupt", script: script{stream: inTwo, hang: true, late: true}, outcome: observe.Crashed,
			reason: "the guest hung during a/two: not within 1m30s, and it took no interrupt"},
		{name: "reset", script: script{stream: inTwo, reset: true}, outcome: observe.Crashed,
			reason: `the guest was reset during a/two; its last line is "line 23"`},
		{name: "agent killed", script: script{stream: inTwo, off: true, execErr: errNoEnd, says: []string{"ctmatrix agent: init: server ended: killed by SIGKILL"}},
			outcome: observe.Broken, reason: "the agent ended during a/two: server ended: killed by SIGKILL"},
		{name: "memory", script: script{stream: inTwo, off: true, says: []string{"[    1.5] Out of memory: Killed process 9 (init)",
			"ctmatrix agent: init: server ended: killed by SIGKILL"}},
			outcome: observe.Broken, reason: "the guest ran out of memory during a/two: Out of memory: Killed process 9 (init)"},
		{name: "QEMU killed", script: script{stream: inTwo, ended: killed}, outcome: observe.Recorded,
			warning: "QEMU ended during a/two: QEMU: signal: killed: asked once more"},
		{name: "QEMU killed twice", script: script{stream: inTwo, ended: killed, then: []script{
			{stream: upTo(t, streamOf("1-cloud", probes[1:]), `"begin"`, 1), ended: killed},
		}}, outcome: observe.Broken, reason: "QEMU ended during a/two: QEMU: signal: killed", warning: "QEMU ended during a/two: QEMU: signal: killed: asked once more"},
		{name: "QEMU hangs", script: script{stream: inTwo, hang: true, late: true, nmiErr: errors.New("no answer")}, outcome: observe.Recorded,
			warning: "QEMU hangs during a/two: not within 1m30s; asked to interrupt the guest: no answer: asked once more"},
		{name: "garbled", script: script{stream: append(slices.Clone(inTwo), "rub\x1bbish\n"...)}, outcome: observe.Broken,
			reason: "during a/two: record stream line 7: line is not a JSON object"},
		{name: "twice", script: script{stream: append(slices.Clone(inTwo), inTwo[bytes.LastIndex(inTwo, []byte(`{"begin"`)):]...)}, outcome: observe.Broken,
			reason: `during a/two: record stream line 7: begin of "a/two" inside probe a/two`},
		{name: "another's rows", script: script{stream: append(slices.Clone(inTwo), `{"row":{"row":"b/one/s.n","kind":"count","value":"7"}}`+"\n"...)},
			outcome: observe.Broken, reason: "during a/two: record stream line 7: row b/one/s.n in probe a/two"},
		{name: "endless line", script: script{stream: append(slices.Clone(inTwo), strings.Repeat("x", 2<<20)...)}, outcome: observe.Broken,
			reason: "during a/two: record stream line 7: line of more than 1048576 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, map[string]script{"1": tt.script})
			c := r.run(t.Context(), t)[0]
			if want := "a/one recorded, a/two " + string(tt.outcome) + ", b/one recorded"; outcomes(c) != want {
				t.Errorf("probes %s\n  want %s", outcomes(c), want)
			}
			two := c.Probes[1]
			if two.Reason != tt.reason || two.Fingerprint != tt.fingerprint {
				t.Errorf("a/two: %q, fingerprint %q\n want %q, %q", two.Reason, two.Fingerprint, tt.reason, tt.fingerprint)
			}
			if (len(two.Console) > 0) == (two.Outcome == observe.Recorded) && tt.name != "a warning that is not in the log" {
				t.Errorf("console %q", two.Console)
			}
			if got := strings.Join(c.Warnings, "; "); got != tt.warning {
				t.Errorf("warnings %q, want %q", got, tt.warning)
			}
			want := results.CellOK
			if tt.outcome == observe.Crashed {
				want = results.CellCrashed
			}
			if c.Outcome != want {
				t.Errorf("the cell is %s: %s", c.Outcome, c.Reason)
			}
		})
	}
}

// What a kernel says of itself while it boots is nobody's fault, and is told.
func TestComplaintsBeforeTheFirstProbe(t *testing.T) {
	r := newRig(t, map[string]script{"1": {stream: stream(t, "1-cloud"), before: []string{"[    0.5] WARNING: CPU: 0 PID: 1 at arch/x.c:1 odd+0x1/0x2"}}})
	c := r.run(t.Context(), t)[0]
	want := []string{"the kernel complained before the first probe: WARNING: CPU: 0 PID: 1 at arch/x.c:1 odd+0x1/0x2"}
	if c.Outcome != results.CellOK || !slices.Equal(c.Warnings, want) {
		t.Errorf("%s, %q", c.Outcome, c.Warnings)
	}
	tainted := bytes.Replace(stream(t, "1-cloud"), []byte(`"probes":`), []byte(`"tainted":512,"probes":`), 1)
	r = newRig(t, map[string]script{"1": {stream: tainted}})
	c = r.run(t.Context(), t)[0]
	want = []string{"the kernel was tainted before the first probe, and its console does not show why: W, a warning"}
	if c.Outcome != results.CellOK || !slices.Equal(c.Warnings, want) {
		t.Errorf("%s, %q", c.Outcome, c.Warnings)
	}
}

// A guest that prints nothing on the usual machine is tried on another, unless the
// user named one.
func TestOtherMachine(t *testing.T) {
	late := &vm.LateError{Limit: firstTime, Took: firstTime}
	silent := script{readyErr: &vm.RigError{Err: fmt.Errorf("%w (%w)", &PhaseError{"no first output", "q35", late}, vm.ErrSilent)}}
	const first = "while it booted: no first output on q35: not within 45s (the guest printed nothing)"

	r := newRig(t, map[string]script{"1": silent})
	c := r.run(t.Context(), t)[0]
	if want := []string{first + ", retried on pc"}; c.Outcome != results.CellOK || !slices.Equal(c.Warnings, want) {
		t.Errorf("%s: %s, %q", c.Outcome, c.Reason, c.Warnings)
	}
	if m := r.fakes.images[1].Machine.Machine; m != "pc" || c.Guest.Machine != "pc" {
		t.Errorf("ran on %s, and says %s", m, c.Guest.Machine)
	}

	both := silent
	both.then = []script{silent}
	r = newRig(t, map[string]script{"1": both})
	c = r.run(t.Context(), t)[0]
	if want := first + ", retried on pc: " + first; c.Outcome != results.CellFailed || c.Reason != want {
		t.Errorf("%s: %s\nwant %s", c.Outcome, c.Reason, want)
	}

	r = newRig(t, map[string]script{"1": silent})
	r.cells[0].Guest = matrix.Guest{Memory: "256M", CPUs: 1, Machine: "q35", Accel: "auto", Clock: "virtual"}
	if c = r.run(t.Context(), t)[0]; c.Outcome != results.CellFailed || c.Reason != first {
		t.Errorf("%s: %s", c.Outcome, c.Reason)
	}
}
