package vm

import (
	"context"
	"errors"
	"testing"

	"github.com/ctmatrix/ctmatrix/orchestrator/internal/splat"
)

func TestJudge(t *testing.T) {
	exit := errors.New("exit status 1")
	died := &splat.Splat{Line: "Oops: 0000", End: splat.Kernel}
	init := &splat.Splat{Line: "Kernel panic - not syncing: Attempted to kill init!", End: splat.Image}
	rootless := &splat.Splat{Line: "Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)", End: splat.Image}
	starved := &splat.Splat{Line: "Kernel panic - not syncing: System is deadlocked on memory", End: splat.Starved}
	console := []string{"last words"}
	for _, test := range []struct {
		name         string
		death        *splat.Splat
		exit, missed error
		guest, rig   bool
		is           error
		text         string
	}{
		{"powered off", nil, nil, nil, false, false, nil, ""},
		{"powered off too early", nil, nil, ErrExited, false, true, ErrExited, "the guest ended"},
		{"QEMU failed", nil, exit, nil, false, true, exit, "exit status 1"},
		{"QEMU failed too early", nil, exit, ErrExited, false, true, exit, "the guest ended: exit status 1"},
		{"oops", died, nil, nil, true, false, nil, "the kernel died: Oops: 0000"},
		{"oops and QEMU failed", died, exit, ErrExited, true, false, ErrExited, "the kernel died: Oops: 0000"},
		{"init died", init, nil, ErrExited, false, true, ErrInit, "init in the guest died, or could not be started: Kernel panic - not syncing: Attempted to kill init!"},
		{"no initramfs", rootless, nil, ErrExited, false, true, ErrNoInitramfs, "the kernel did not take its initramfs: is it built without CONFIG_BLK_DEV_INITRD?: Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)"},
		{"no memory", starved, nil, ErrExited, false, true, ErrMemory, "the guest has too little memory: Kernel panic - not syncing: System is deadlocked on memory"},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := judge(test.death, test.exit, test.missed, console)
			var guest *GuestError
			var rig *RigError
			if errors.As(err, &guest) != test.guest || errors.As(err, &rig) != test.rig {
				t.Fatalf("%#v: guest's fault %v, ours %v", err, guest != nil, rig != nil)
			}
			if err == nil {
				return
			}
			if err.Error() != test.text || test.is != nil && !errors.Is(err, test.is) {
				t.Errorf("%q, want %q, which is %v", err, test.text, test.is)
			}
			if guest != nil && guest.Console[0] != "last words" || rig != nil && rig.Console[0] != "last words" {
				t.Error("the console is lost")
			}
		})
	}
}

func TestHang(t *testing.T) {
	err := error(&GuestError{Err: context.DeadlineExceeded})
	if !errors.Is(err, context.DeadlineExceeded) || err.Error() != "the guest hangs: context deadline exceeded" {
		t.Errorf("%v", err)
	}
}

func TestParseVersion(t *testing.T) {
	for out, want := range map[string]string{
		"QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)\nCopyright": "7.2.22",
		"QEMU emulator version 10.1.0\n":                                            "10.1.0",
		"QEMU emulator version nine":                                                "",
		"qemu-img version 7.2.22":                                                   "",
		"":                                                                          "",
	} {
		if got, ok := parseVersion(out); got != want || ok != (want != "") {
			t.Errorf("%q: version %q, %v; want %q", out, got, ok, want)
		}
	}
}

func FuzzParseVersion(f *testing.F) {
	f.Add("QEMU emulator version 7.2.22 (Debian)")
	f.Add("QEMU emulator version 99999999999999999999.0")
	f.Fuzz(func(t *testing.T, out string) {
		v, ok := parseVersion(out)
		if !ok {
			return
		}
		if older(v, v) || older(v, MinVersion) && older(MinVersion, v) {
			t.Fatalf("%q is older than itself, or than what is older", v)
		}
	})
}

func TestOlder(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want bool
	}{
		{"4.2.1", "5.0", true}, {"5.0", "5.0", false}, {"5.0.0", "5.0", false}, {"10.0", "5.0", false}, {"5.0", "10.0", true}, {"5.1", "5.0", false},
	} {
		if got := older(test.a, test.b); got != test.want {
			t.Errorf("older(%q, %q) = %v", test.a, test.b, got)
		}
	}
}

func TestTooOld(t *testing.T) {
	script := program(t, "echo 'QEMU emulator version 4.2.1'")
	_, err := Version(t.Context(), script)
	var old *TooOldError
	if !errors.As(err, &old) || old.Version != "4.2.1" {
		t.Errorf("%v, want a *TooOldError", err)
	}
}

func TestNoQEMU(t *testing.T) {
	v := &VM{QEMU: "no-such-qemu", Kernel: "k"}
	_, versionErr := Version(t.Context(), v.QEMU)
	_, _, autoErr := Auto(t.Context(), v.QEMU, t.TempDir())
	_, proveErr := Prove(t.Context(), v.QEMU, TCG)
	_, sandboxErr := HasSandbox(t.Context(), v.QEMU)
	for i, err := range []error{v.Start(t.Context()), versionErr, autoErr, proveErr, sandboxErr} {
		if !errors.Is(err, ErrNoQEMU) {
			t.Errorf("%d: %v, want ErrNoQEMU", i, err)
		}
	}
	v.Stop() // of what never started
}
