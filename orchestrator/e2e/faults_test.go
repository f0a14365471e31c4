package e2e

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
)

// falls are the probes of testdata/faults, and what must become of each.
var falls = []struct {
	probe       string
	outcome     observe.Outcome
	reason      string // a regular expression
	fingerprint string // that it begins with
}{
	{"babbles", observe.Broken, `the channel is full$`, ""},
	{"claims", observe.Broken, `^during fault/claims: record stream line \d+: row table-full/syn/syn\.mangle in probe fault/claims$`, ""},
	{"floods", observe.Broken, `^read kernel log: lines were overwritten before they were read$`, ""},
	{"garbles", observe.Broken, `^during fault/garbles: record stream line \d+: parse row: unexpected EOF$`, ""},
	{"gives-up", observe.Broken, `^the agent ended during fault/gives-up: panic: I cannot go on.*; server ended: exit status 2$`, ""},
	{"hangs", observe.Crashed, `^the guest hung during fault/hangs: not within .*, in nft_redir_module_init`, "nft_redir_module_init"},
	{"hangs-off", observe.Crashed, `^the guest hung during fault/hangs-off: not within .*, in nft_redir_module_init`, "nft_redir_module_init"},
	{"idles", observe.Crashed, `^the guest hung during fault/idles: not within `, anyTrace},
	{"killed", observe.Broken, `^the agent ended during fault/killed: server ended: killed by signal 9 \(killed\)$`, ""},
	{"memory", observe.Broken, `^the guest ran out of memory during fault/memory: (Out of memory: Killed process \d+ \(init\)|init invoked oom-killer: )`, ""},
	{"none", observe.Recorded, `^$`, ""},
	{"oops", observe.Crashed, `^the kernel died during fault/oops: Oops: invalid opcode: .*, in nft_redir_module_init ← do_one_initcall`, "nft_redir_module_init ← do_one_initcall ← "},
	{"panic", observe.Crashed, `^the kernel died during fault/panic: Kernel panic - not syncing: sysrq triggered crash, in sysrq_handle_crash ← `, "sysrq_handle_crash ← "},
	{"reboot", observe.Crashed, `^the guest was reset during fault/reboot; its last line is "sysrq: Resetting"$`, ""},
	{"repeats", observe.Broken, `^during fault/repeats: record stream line \d+: begin of "fault/none" inside probe fault/repeats$`, ""},
	{"reset", observe.Crashed, `^the guest was reset during fault/reset`, ""},
	{"spins", anyOutcome, `^(the agent did not come to an end|the guest hung) during fault/spins: not within `, anyTrace},
	{"truncates", observe.Broken, `^during fault/truncates: record stream line \d+: record stream ends before done$`, ""},
	{"warn", observe.Crashed, `^the kernel complained during fault/warn: WARNING: .* nft_redir_module_init.*, in nft_redir_module_init ← `, "nft_redir_module_init ← "},
}

// anyTrace is the fingerprint of a guest that idles or spins, and anyOutcome the
// outcome of one that spins: where one interrupt finds it depends on which of the
// kernel's timers comes just then.
const (
	anyTrace   = "any"
	anyOutcome = observe.Outcome("any")
)

// harmless is a family of which every probe must come out as ever, and the kernels
// that are asked.
const harmless = "accounting"

// TestRealFaults lets an agent that no user gets run probes each of which does away
// with its guest. Each must be found out for what it is, and nobody else be hurt: not
// the probes beside it, nor another kernel's guest, which runs meanwhile.
//
// The program is ctmatrix but for its limits: nobody would wait for a minute and a
// half for each guest that hangs.
func TestRealFaults(t *testing.T) {
	real(t)
	program := overlaid(t, map[string]string{
		"guest/internal/suite/faults.go":      "faults/faults.go",
		"guest/internal/suite/faultmodule.go": "faults/module.go",
	}, map[string]string{"orchestrator/internal/sched/limits.go": "faults/limits.go"})
	out := t.TempDir()
	cells := runProgram(t, program, out, "--kernel", "debian:6.12", "--kernel", "debian:6.1", "--probe", "fault/*", "--probe", harmless)
	bad, good := cells[0], cells[1]
	if good.Outcome != results.CellOK || len(good.Warnings) > 0 {
		t.Errorf("the cell beside is %s: %s %q", good.Outcome, good.Reason, good.Warnings)
	}
	for _, p := range good.Probes {
		if p.Outcome != observe.Recorded {
			t.Errorf("beside, %s is %s: %s", p.Name, p.Outcome, p.Reason)
		}
	}
	want := map[string]observe.Row{}
	for _, r := range bad.Rows {
		want[r.Name] = r
	}
	if bad.Outcome != results.CellCrashed || !strings.HasPrefix(bad.Reason, "the kernel died during fault/panic: ") {
		t.Errorf("the cell is %s: %s", bad.Outcome, bad.Reason)
	}
	if len(bad.Console) == 0 || bad.Console[0] != "Kernel panic - not syncing: sysrq triggered crash" {
		t.Errorf("the cell's console is %q", bad.Console)
	}
	probes := map[string]results.Probe{}
	for _, p := range bad.Probes {
		probes[p.Name] = p
		if strings.HasPrefix(p.Name, harmless+"/") && (p.Outcome != observe.Recorded || p.Rows == 0) {
			t.Errorf("%s is %s: %s", p.Name, p.Outcome, p.Reason)
		}
	}
	for _, f := range falls {
		p := probes["fault/"+f.probe]
		if f.outcome != anyOutcome && p.Outcome != f.outcome || !regexp.MustCompile(f.reason).MatchString(p.Reason) {
			t.Errorf("fault/%s is %s: %s\nwant %s: %s", f.probe, p.Outcome, p.Reason, f.outcome, f.reason)
		}
		if f.fingerprint != anyTrace && (!strings.HasPrefix(p.Fingerprint, f.fingerprint) || (p.Fingerprint == "") != (f.fingerprint == "")) {
			t.Errorf("fault/%s has the fingerprint %q, want %q", f.probe, p.Fingerprint, f.fingerprint)
		}
	}
	// The rows of those beside are what they are without faults.
	plain := runProgram(t, program, out, "--kernel", "debian:6.12", "--probe", harmless)[0]
	var got []observe.Row
	for _, r := range plain.Rows {
		got = append(got, want[r.Name])
	}
	if diff := cmp.Diff(plain.Rows, got); diff != "" || len(got) == 0 {
		t.Errorf("rows without and with faults beside them (-without +with):\n%s", diff)
	}
	darkMachine(t, program)
}

// stopped keeps a guest of the usual machine from running.
const stopped = `case "$*" in *q35*-kernel*) set -- "$@" -S;; esac` + "\n"

// darkMachine has the usual machine print nothing: another is taken, and the cell says
// so and is as good.
func darkMachine(t *testing.T, program string) {
	t.Helper()
	c := runProgram(t, program, t.TempDir(), "--qemu", wrapped(t, stopped), "--kernel", "debian:6.1", "--probe", harmless)[0]
	want := `^while it booted: no first output on q35: not within .* \(the guest printed nothing\), retried on pc$`
	if len(c.Warnings) != 1 || !regexp.MustCompile(want).MatchString(c.Warnings[0]) {
		t.Errorf("warnings %q, want %s", c.Warnings, want)
	}
	if c.Outcome != results.CellOK || c.Guest.Machine != "pc" || len(c.Rows) == 0 {
		t.Errorf("on %s the cell is %s: %s, with %d rows", c.Guest.Machine, c.Outcome, c.Reason, len(c.Rows))
	}
}

// runProgram runs a ctmatrix and returns its cells.
func runProgram(t *testing.T, program, out string, args ...string) []results.CellRows {
	t.Helper()
	args = append([]string{"run", "--no-cache", "--out", out, "--jobs", "2"}, args...)
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.WaitDelay = 10 * time.Second
	printed, err := cmd.CombinedOutput()
	t.Logf("%v: %v\n%s", args, err, printed)
	r, err := results.Open(filepath.Join(out, results.LatestLink))
	if err != nil {
		t.Fatal(err)
	}
	return r.Cells
}
