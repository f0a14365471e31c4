package splat

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write what is found in testdata")

// TestScan reads consoles that real kernels wrote, and says what is found in them.
func TestScan(t *testing.T) {
	files, err := filepath.Glob("testdata/*.log")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d consoles, %v", len(files), err)
	}
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) {
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			var got strings.Builder
			for _, s := range Scan(strings.Split(string(text), "\n")) {
				fmt.Fprintf(&got, "%s\n  ends %s, was %s\n  fingerprint %q\n", s.Line, s.End, s.Place(), s.Fingerprint())
				for _, l := range s.Excerpt(8) {
					fmt.Fprintf(&got, "  | %s\n", l)
				}
			}
			golden := strings.TrimSuffix(f, ".log") + ".golden"
			if *update {
				if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got.String()); diff != "" {
				t.Errorf("found (-want +got):\n%s", diff)
			}
		})
	}
}

func TestJudge(t *testing.T) {
	for line, want := range map[string]End{
		"Kernel panic - not syncing: Fatal exception in interrupt":                        Kernel,
		"Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000200":         Image,
		"Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)":  Image,
		"Kernel panic - not syncing: System is deadlocked on memory":                      Starved,
		"BUG: kernel NULL pointer dereference, address: 0000000000000000":                 Kernel,
		"invalid opcode: 0000 [#1] SMP NOPTI":                                             Kernel,
		"general protection fault, probably for non-canonical address 0x1: 0000 [#1] SMP": Kernel,
		"kernel BUG at lib/list_debug.c:26!":                                              Kernel,
		"init invoked oom-killer: gfp_mask=0x100cca(GFP_HIGHUSER_MOVABLE), order=0":       Memory,
		"Out of memory: Killed process 99 (init) total-vm:1kB":                            Memory,
		"BUG: KASAN: slab-use-after-free in nf_conntrack_in+0x1/0x2":                      Nobody,
		"WARNING: CPU: 0 PID: 1 at net/core/dev.c:100":                                    Nobody,
		"rcu: INFO: rcu_sched self-detected stall on CPU":                                 Nobody,
		"INFO: task init:1 blocked for more than 120 seconds.":                            Nobody,
		"unregister_netdevice: waiting for lo to become free. Usage count = 2":            Nobody,
		"nf_conntrack: nf_conntrack: table full, dropping packet":                         "",
		"DEBUG: nothing": "",
		"traps: init[1] general protection fault ip:1 sp:2 error:0 in init[400000+2000]":   "",
		"WARNING: Support for this device is not there yet":                                "",
		"IN=near OUT= SRC=192.0.2.1 DST=192.0.2.2 Kernel panic - not syncing: of a packet": "",
	} {
		var got End
		if s := Scan([]string{"[    1.5] " + line}); len(s) > 0 {
			got = s[0].End
			if s[0].Line != line {
				t.Errorf("%q is told as %q", line, s[0].Line)
			}
		}
		if got != want {
			t.Errorf("%q ends %q, want %q", line, got, want)
		}
	}
}

// What a trace says is of the splat that it is part of; what comes behind it is
// another, and what is worse always is.
func TestBounds(t *testing.T) {
	warn := []string{"------------[ cut here ]------------", "WARNING: CPU: 0 PID: 1 at x", "Call Trace:", " f+0x1/0x2", "---[ end trace 0 ]---"}
	twice := Scan(slices.Concat(warn, []string{"something"}, warn))
	if len(twice) != 2 || twice[0].Line != "WARNING: CPU: 0 PID: 1 at x" || len(twice[1].Lines) != 5 {
		t.Errorf("found %v", twice)
	}
	worse := Scan(append(slices.Clone(warn[:3]), "Oops: 0000 [#1]", "Kernel panic - not syncing: Fatal exception"))
	if len(worse) != 2 || worse[1].Line != "Oops: 0000 [#1]" || worse[1].End != Kernel {
		t.Errorf("found %v", worse)
	}
	var many []string
	for range 3 * MostSplats {
		many = append(many, warn...)
	}
	found := Scan(append(many, "Oops: 0000 [#1]", "Oops: 0000 [#2]"))
	if len(found) != MostSplats+1 || !found[MostSplats].End.Fatal() {
		t.Errorf("%d splats are kept, the last %v", len(found), found[len(found)-1])
	}
}

// A list that cannot be read is an error: no log is clean by it.
func TestParse(t *testing.T) {
	for text, want := range map[string]string{
		"":                                  "EOF",
		"deny: []":                          "deny is empty: no log would ever be found wanting",
		"deny: [{line: x, ends: soon}]":     `deny "x": ends is "soon", not nobody, kernel, image, memory or starved`,
		"deny: [{line: '(', ends: kernel}]": "deny: error parsing regexp: missing closing ): `(`",
		"deny: [{lines: x}]":                "yaml: unmarshal errors:\n  line 1: field lines not found in type",
		"deny: [{line: x, ends: kernel}]\nallow: [{line: y}]": `allow "y": no why`,
	} {
		if _, err := parse([]byte(text)); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v\nwant %s", text, err, want)
		}
	}
}

func FuzzScan(f *testing.F) {
	f.Add("[    1.5] Oops: 0000 [#1]\n[    1.5] RIP: 0010:f.isra.0+0x1/0x2 [x]\n f+0x1/0x2\n? g+0x1/0x2\n---[ end trace\n")
	f.Add("------------[ cut here ]------------\nWARNING: \nKernel panic - not syncing: x\n")
	f.Add(strings.Repeat("BUG: x\n---[ end trace\n", 40))
	f.Fuzz(func(t *testing.T, console string) {
		splats := Scan(strings.Split(console, "\n"))
		if len(splats) > MostSplats+1 {
			t.Fatalf("%d splats", len(splats))
		}
		for _, s := range splats {
			if len(s.Lines) == 0 || len(s.Lines) > MostLines || len(s.Excerpt(8)) > 8 {
				t.Fatalf("a splat of %d lines", len(s.Lines))
			}
			_, _, _ = s.String(), s.Fingerprint(), s.Place()
		}
	})
}

// The interrupt that says where a guest hangs may come within the tick's, which has
// nothing to do with it; a timer that hangs is another matter.
func TestFingerprintOfAHangInATick(t *testing.T) {
	const irq = " asm_sysvec_apic_timer_interrupt+0x16/0x20"
	below := []string{" </IRQ>", " <TASK>", irq, "RIP: 0010:nft_redir_module_init+0xa/0xff0 [nft_redir]", " do_one_initcall+0x44/0x310"}
	tick := []string{" read_tsc+0x9/0x20", " ktime_get_update_offsets_now+0x44/0x110", " hrtimer_interrupt+0x9a/0x220", " __sysvec_apic_timer_interrupt+0x5c/0x110", " sysvec_apic_timer_interrupt+0x69/0x90"}
	timer := []string{" nft_flow_timer+0x10/0x20", " __hrtimer_run_queues+0x10f/0x2b0", " hrtimer_interrupt+0xf2/0x220"}
	for _, c := range []struct {
		in   []string
		want string
	}{{tick, "nft_redir_module_init ← do_one_initcall"}, {timer, "nft_flow_timer ← nft_redir_module_init ← do_one_initcall"}} {
		s := Splat{Lines: append(append([]string{"Kernel panic - not syncing: NMI: Not continuing", " <IRQ>"}, c.in...), below...)}
		if got := s.Fingerprint(); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
