package bench

import (
	"bytes"
	"debug/elf"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden files anew")

// sample is a report in which goals are met, missed and not judged.
func sample() *Report {
	s := func(cpu, wall float64) Cost {
		return Cost{time.Duration(cpu * float64(time.Second)), time.Duration(wall * float64(time.Second))}
	}
	return &Report{
		Host: Host{CPUs: 2, QEMU: "7.2.22", Load: 1.5},
		Kernels: []Kernel{{
			Label: "6.1.192", Version: "6.1.192-2",
			Bare: s(4, 4.1), BareArgs: s(3, 3.1), Boot: s(4.4, 4.5), Cold: s(13, 14), Snapshot: s(3.9, 4),
			Probes: 610, Whole: true, Days: 4900 * time.Millisecond,
			Slow:     []Probe{{Name: "timeouts/tcp-established", Cost: s(4.8, 4.9)}, {Name: "baseline/ten-syns", Cost: s(1, 1.1), First: true}},
			Resident: 150 << 20, RAM: 90 << 20, Image: 8 << 20, ImageBuilt: 80 * time.Millisecond, ImageKept: 20 * time.Millisecond,
		}, {
			Label: "7.3.4", Version: "7.3.4-1", Error: "crashed: the kernel died while it booted", Bare: s(5, 5.1), BareArgs: s(4, 4.1), Probes: 8,
		}},
		Matrix: Matrix{Kernels: 2, One: 8 * time.Second, Two: 5 * time.Second, Cold: 20 * time.Second, Cached: 300 * time.Millisecond},
	}
}

func TestPrint(t *testing.T) {
	for name, write := range map[string]func(*Report, *bytes.Buffer) error{
		"report.txt":  func(r *Report, b *bytes.Buffer) error { return r.Text(b) },
		"report.json": func(r *Report, b *bytes.Buffer) error { return r.JSON(b) },
	} {
		var got bytes.Buffer
		if err := write(sample(), &got); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, ".json") && !json.Valid(got.Bytes()) {
			t.Errorf("%s is no JSON", name)
		}
		file := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if got.String() != string(want) {
			t.Errorf("%s differs:\n%s", file, &got)
		}
	}
}

func TestPrintStopsAtAnError(t *testing.T) {
	if err := sample().Text(full{}); err != os.ErrClosed {
		t.Error(err)
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, os.ErrClosed }

func TestMatrix(t *testing.T) {
	m := Matrix{Kernels: 4, One: 60 * time.Second, Two: 40 * time.Second, Cold: 80 * time.Second}
	if got := m.perMinute(m.One); got != 4 {
		t.Errorf("%v kernels a minute", got)
	}
	if got := m.efficiency(); got != 0.75 {
		t.Errorf("efficiency %v", got)
	}
	// 70 kernels of 20 s each are 1400 s of one CPU, on two at 75 % 933 s.
	if got := m.pool().Round(time.Second); got != 933*time.Second {
		t.Errorf("a pool takes %v", got)
	}
	for name, m := range map[string]Matrix{
		"nothing": {}, "one kernel, of which two jobs run one": {Kernels: 1, One: time.Second, Two: time.Second, Cold: time.Second},
	} {
		if m.efficiency() != 0 || m.pool() != 0 || m.perMinute(0) != 0 {
			t.Errorf("%s: efficiency %v, pool %v", name, m.efficiency(), m.pool())
		}
	}
}

func TestRatioAndLeast(t *testing.T) {
	if got := ratio(Cost{CPU: 3}, Cost{CPU: 2}); got != 1.5 {
		t.Error(got)
	}
	if got := ratio(Cost{CPU: 3}, Cost{}); got != 0 {
		t.Error(got)
	}
	if got := least([]Cost{{3, 1}, {2, 9}, {4, 0}}); got != (Cost{2, 9}) {
		t.Error(got)
	}
}

func TestSlow(t *testing.T) {
	var all []Probe
	for i := range 12 {
		all = append(all, Probe{Name: string(rune('a' + i)), Cost: Cost{CPU: time.Duration(i % 6)}})
	}
	var names string
	for _, p := range slow(all) {
		names += p.Name
	}
	if names != "flekdjcibh" || all[0].Name != "a" {
		t.Errorf("slowest are %s", names)
	}
	if got := slow(all[:2]); len(got) != 2 {
		t.Errorf("%d of two", len(got))
	}
}

// At a goal's edge "at most" is met and "less than" is not.
func TestGoals(t *testing.T) {
	k := sample().Kernels[0]
	verdict := func(name string) Verdict {
		for _, f := range k.Figures() {
			if f.Name == name {
				return f.Verdict
			}
		}
		return ""
	}
	for name, want := range map[string]Verdict{
		"bare boot": "", "boot to agent ready": Met, "suite, cold": NotMet, "suite, from a snapshot": Met, "five days": Met,
		"guest, resident": Met, "initramfs": NotMet, "initramfs, assembled": Met,
	} {
		if got := verdict(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	k.Whole, k.Days, k.Resident = false, 0, residentGoal+1
	for name, want := range map[string]Verdict{"suite, cold": Unjudged, "five days": Unjudged, "guest, resident": NotMet, "boot to agent ready": Met} {
		if got := verdict(name); got != want {
			t.Errorf("of a part, %s: %q, want %q", name, got, want)
		}
	}
	k.Resident = residentGoal
	if got := verdict("guest, resident"); got != Unjudged {
		t.Errorf("of a part, within the goal: %q", got)
	}
}

func TestPowerOffIsAProgram(t *testing.T) {
	f, err := elf.NewFile(bytes.NewReader(powerOff()))
	if err != nil {
		t.Fatal(err)
	}
	p := f.Progs[0]
	if f.Type != elf.ET_EXEC || len(f.Progs) != 1 || f.Entry < p.Vaddr || f.Entry >= p.Vaddr+p.Filesz || p.Filesz != uint64(len(powerOff())) {
		t.Errorf("%+v, %+v", f.FileHeader, p.ProgHeader)
	}
}

// A bench that was interrupted says what it had not come to.
func TestUnmeasured(t *testing.T) {
	for _, f := range append(Matrix{Kernels: 4}.Figures(true), Kernel{Whole: true, Bare: Cost{1, 1}, ImageKept: 1, ImageBuilt: 1, Days: 1}.Figures()...) {
		known := f.Name == "bare boot" || f.Name == "five days" || strings.HasPrefix(f.Name, "initramfs, ")
		if is := f.Value != unmeasured; is != known || f.Verdict == NotMet || !known && f.Verdict == Met {
			t.Errorf("%+v", f)
		}
	}
}
