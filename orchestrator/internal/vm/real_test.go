package vm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Tests that start QEMU. None of them boots a kernel: guests are firmware of a
// few bytes that prints, hangs or resets the machine.

// testLimit bounds every wait of these tests: one that takes so long hangs.
const testLimit = time.Minute

// short is how long a test waits for what never comes.
const short = 300 * time.Millisecond

func testQEMU(t *testing.T) context.Context {
	t.Helper()
	if _, err := Path(DefaultQEMU); err != nil {
		if os.Getenv("CTMATRIX_REAL_TESTS") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), testLimit)
	t.Cleanup(cancel)
	return ctx
}

// bios replaces the firmware, so that no kernel is started.
type bios struct{ file string }

func (b bios) args() []string { return []string{"-bios", b.file} }

// What firmware is made of, in 16-bit code.
var (
	hang  = []byte{0xf4, 0xeb, 0xfd}                   // hlt; jmp to the hlt
	reset = []byte{0xb0, 0x06, 0xba, 0xf9, 0x0c, 0xee} // write 6 to the reset register
)

// printing is code that writes text to ttyS0.
func printing(text string) []byte {
	code := []byte{0xba, 0xf8, 0x03} // mov $0x3f8, %dx
	for _, c := range []byte(text) {
		code = append(code, 0xb0, c, 0xee) // mov $c, %al; out %al, %dx
	}
	return code
}

// writeMachine writes the files of a machine whose firmware is code.
func writeMachine(t *testing.T, dir string, code ...[]byte) {
	t.Helper()
	image := rom(0xe9, 0x0d, 0x00) // jmp over the end of the segment to its start
	at := 0
	for _, c := range code {
		at += copy(image[at:], c)
	}
	for name, content := range map[string][]byte{"rom": image, "kernel": make([]byte, 64<<10)} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func openMachine(dir string) *VM {
	return &VM{
		Kernel: filepath.Join(dir, "kernel"), MemoryMB: 16, Pin: AnyCPU,
		Devices: []Device{bios{filepath.Join(dir, "rom")}},
	}
}

// start starts a machine whose firmware is code, and ends it with the test.
func start(ctx context.Context, t *testing.T, prepare func(*VM), code ...[]byte) *VM {
	t.Helper()
	dir := t.TempDir()
	writeMachine(t, dir, code...)
	v := openMachine(dir)
	if prepare != nil {
		prepare(v)
	}
	if err := v.Start(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Stop)
	return v
}

func TestRealGuestPrintsAndEnds(t *testing.T) {
	ctx := testQEMU(t)
	var console strings.Builder
	v := start(ctx, t, func(v *VM) { v.Console = &console; v.Devices = append(v.Devices, Sandbox{}) },
		printing("hello\r\nworld\r\n"), reset)
	if err := v.WaitLine(ctx, "hello", testLimit); err != nil {
		t.Error(err)
	}
	if err := v.Wait(ctx); err != nil {
		t.Error(err)
	}
	if console.String() != "hello\r\nworld\r\n" || v.Death() != nil {
		t.Errorf("console %q, death %v", console.String(), v.Death())
	}
}

// More than a pipe holds must come out whole.
func TestRealLongConsole(t *testing.T) {
	ctx := testQEMU(t)
	var console strings.Builder
	line := printing("0123456789abcde\n")
	// mov $20000, %cx; the line; dec %cx; jz over the jmp; jmp to the line
	code := append([]byte{0xb9, 0x20, 0x4e}, line...)
	code = append(code, 0x49, 0x74, 0x03, 0xe9)
	back := -(len(line) + 6)
	code = append(code, byte(back), byte(back>>8))
	v := start(ctx, t, func(v *VM) { v.Console = &console }, code, reset)
	if err := v.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	if want := strings.Repeat("0123456789abcde\n", 20000); console.String() != want {
		t.Errorf("%d bytes came out, want %d", console.Len(), len(want))
	}
}

func TestRealFaults(t *testing.T) {
	ctx := testQEMU(t)
	const panicked = "Kernel panic - not syncing: Fatal exception"
	for _, test := range []struct {
		name  string
		code  [][]byte
		guest bool // whose fault it is
		is    error
	}{
		{"silent", [][]byte{hang}, false, ErrSilent},
		{"wedged", [][]byte{printing("so far\n"), hang}, true, ErrSilent},
		{"panicked", [][]byte{printing(panicked + "\n"), reset}, true, ErrExited},
		{"ended early", [][]byte{printing("so far\n"), reset}, false, ErrExited},
		{"init died", [][]byte{printing("Kernel panic - not syncing: Attempted to kill init!\n"), reset}, false, ErrInit},
	} {
		t.Run(test.name, func(t *testing.T) {
			silence := testLimit
			if errors.Is(test.is, ErrSilent) {
				silence = short
			}
			v := start(ctx, t, nil, test.code...)
			if test.guest {
				// What it prints first a busy host may take longer for than it is silent then.
				if err := v.WaitOutput(ctx); err != nil {
					t.Fatal(err)
				}
			}
			err := v.WaitLine(ctx, "ready", silence)
			var guest *GuestError
			var rig *RigError
			if errors.As(err, &guest) != test.guest || errors.As(err, &rig) == test.guest || !errors.Is(err, test.is) {
				t.Errorf("%v: the guest's fault %v, the rig's %v; want the guest's %v, and %v",
					err, guest != nil, rig != nil, test.guest, test.is)
			}
		})
	}
}

func TestRealWaitLineGivesUp(t *testing.T) {
	ctx := testQEMU(t)
	v := start(ctx, t, nil, hang)
	brief, cancel := context.WithTimeout(ctx, short)
	defer cancel()
	if err := v.WaitLine(brief, "ready", testLimit); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want that the context ended", err)
	}
	if err := v.Wait(brief); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want that the context ended", err)
	}
	if state, err := v.Status(ctx); err != nil || state != "running" {
		t.Errorf("status %q, %v", state, err)
	}
}

func TestRealQEMURefuses(t *testing.T) {
	ctx := testQEMU(t)
	v := start(ctx, t, func(v *VM) { v.Machine = "no-such-machine" }, hang)
	err := v.Wait(ctx)
	var rig *RigError
	if !errors.As(err, &rig) || !strings.Contains(err.Error(), "unsupported machine") || strings.Contains(err.Error(), "\n") {
		t.Errorf("%v, want what QEMU said", err)
	}
}

func TestRealSandbox(t *testing.T) {
	ctx := testQEMU(t)
	has, err := HasSandbox(ctx, DefaultQEMU)
	if err != nil {
		t.Fatal(err)
	}
	if !has {
		t.Skip("this QEMU is built without a sandbox")
	}
	v := start(ctx, t, func(v *VM) { v.Devices = append(v.Devices, Sandbox{}); v.Pin = 0 }, printing("up\n"), hang)
	if err := v.WaitLine(ctx, "up", testLimit); err != nil {
		t.Fatal(err)
	}
	if got := taskStatus(t, v.cmd.Process.Pid, "Seccomp"); len(got) == 0 || got[0] != "2" {
		t.Errorf("seccomp mode %v, want filters", got)
	}
}

// taskStatus returns a field of the status of each of a process's threads.
func taskStatus(t *testing.T, pid int, field string) (values []string) {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			continue // the thread has ended
		}
		for line := range strings.Lines(string(b)) {
			if name, value, _ := strings.Cut(line, ":"); name == field {
				values = append(values, strings.TrimSpace(value))
			}
		}
	}
	return values
}

func TestRealProof(t *testing.T) {
	ctx := testQEMU(t)
	proof, err := Prove(ctx, DefaultQEMU, TCG)
	if err != nil || !proof.Works || proof.Unsure {
		t.Errorf("emulation: %+v, %v", proof, err)
	}
	proof, err = prove(ctx, DefaultQEMU, TCG, rom(hang...), short)
	if err != nil || proof.Works || !proof.Unsure {
		t.Errorf("a guest that hangs: %+v, %v", proof, err)
	}
	proof, err = prove(ctx, DefaultQEMU, "no-such-accelerator", firmware(), testLimit)
	if err != nil || proof.Works || proof.Unsure {
		t.Errorf("no such accelerator: %+v, %v", proof, err)
	}
	// What the answer is depends on the host; that there is one does not.
	proof, err = Prove(ctx, DefaultQEMU, KVM)
	if err != nil || proof.Reason == "" {
		t.Errorf("KVM: %+v, %v", proof, err)
	}
	t.Logf("KVM: %+v", proof)
}

func TestRealAutoIsRemembered(t *testing.T) {
	ctx, dir := testQEMU(t), t.TempDir()
	accel, proof, err := Auto(ctx, DefaultQEMU, dir)
	if err != nil || (accel == KVM) != proof.Works {
		t.Fatalf("%s, %+v, %v", accel, proof, err)
	}
	if proof.Unsure {
		t.Skip("the host is too busy to tell")
	}
	files, err := filepath.Glob(filepath.Join(dir, "kvm-*.json"))
	if err != nil || len(files) != 1 {
		t.Fatalf("remembered in %v, %v", files, err)
	}
	if err := remember(files[0], Proof{Works: true, Reason: "remembered"}); err != nil {
		t.Fatal(err)
	}
	if accel, proof, err = Auto(ctx, DefaultQEMU, dir); err != nil || accel != KVM || proof.Reason != "remembered" {
		t.Errorf("asked again: %s, %+v, %v", accel, proof, err)
	}
}
