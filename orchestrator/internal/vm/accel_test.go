package vm

import (
	"os"
	"path/filepath"
	"testing"
)

// program writes a shell script that stands for a QEMU.
func program(t *testing.T, script string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "qemu")
	if err := os.WriteFile(file, []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestProveReadsTheStatus(t *testing.T) {
	for _, test := range []struct {
		script string
		works  bool
		reason string
	}{
		{"exit 85", true, "guest code ran"},
		{"exit 0", false, "QEMU gave up (exit status 0): "},
		{"echo no such accelerator >&2; exit 1", false, "QEMU gave up (exit status 1): no such accelerator"},
	} {
		proof, err := Prove(t.Context(), program(t, test.script), TCG)
		if err != nil || proof.Works != test.works || proof.Reason != test.reason || proof.Unsure {
			t.Errorf("%s: %+v, %v", test.script, proof, err)
		}
	}
}

func TestVerdictIsRemembered(t *testing.T) {
	file := filepath.Join(t.TempDir(), "new", "verdict")
	for _, proof := range []Proof{{Works: true, Reason: "ran"}, {Reason: "did not"}} {
		if err := remember(file, proof); err != nil {
			t.Fatal(err)
		}
		if got, ok := recall(file); !ok || got != proof {
			t.Errorf("remembered %+v, recalled %+v, %v", proof, got, ok)
		}
	}
	left, err := os.ReadDir(filepath.Dir(file))
	if err != nil || len(left) != 1 {
		t.Errorf("left in the directory: %v, %v", left, err)
	}
	for _, bad := range []string{"", "{}", "[]", `{"works":true`, `{"reason":"busy","unsure":true}`} {
		if err := os.WriteFile(file, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, ok := recall(file); ok {
			t.Errorf("%q is taken for %+v", bad, got)
		}
	}
}

func TestHostKey(t *testing.T) {
	if a, b := hostKey("7.2.22"), hostKey("8.0.0"); a == b || a != hostKey("7.2.22") {
		t.Errorf("keys %s and %s of two versions", a, b)
	}
}

func TestCPUs(t *testing.T) {
	c := &CPUs{used: map[int]int{1: 0, 3: 0}}
	var got []int
	for range 3 {
		got = append(got, c.Take())
	}
	c.Give(3)
	got = append(got, c.Take())
	want := []int{1, 3, 1, 3}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("took %v, want %v", got, want)
		}
	}
	if _, err := NewCPUs(); err != nil {
		t.Fatal(err)
	}
}
