package vm

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// Proof is whether an accelerator was seen to execute guest code.
type Proof struct {
	Works  bool   `json:"works"`
	Reason string `json:"reason"` // one line for a person
	// Unsure says that nothing happened, and that the host may be too slow to
	// tell: even emulation did not get to run.
	Unsure bool `json:"unsure,omitempty"`
}

// proofTime is how long the proof may take at least: some ten times what it
// needs. A host that is slow at emulation is given as much more.
const proofTime = 2 * time.Second

// proofStatus is what QEMU exits with when the guest wrote proofByte to its
// debug port: twice the byte, plus one.
const (
	proofByte   = 0x2a
	proofStatus = proofByte<<1 | 1
)

// Prove runs a few instructions of guest code and says whether they ran. That
// /dev/kvm opens proves nothing: on some hosts guests on it hang. An error means
// that the question could not be asked.
func Prove(ctx context.Context, qemu string, accel Accel) (Proof, error) {
	if accel == KVM {
		f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
		if err != nil {
			return Proof{Reason: err.Error()}, nil
		}
		f.Close() // only opened
	}
	began := time.Now()
	control, err := prove(ctx, qemu, TCG, firmware(), askTime)
	if err != nil || accel == TCG {
		return control, err
	}
	proof, err := prove(ctx, qemu, accel, firmware(), proofTime+10*time.Since(began))
	// A host on which emulation hangs is too slow to tell.
	proof.Unsure = proof.Unsure && !control.Works
	return proof, err
}

// ProveClock says whether guest code runs under emulation on the virtual clock,
// which not every QEMU is built with. An error is as in Prove.
func ProveClock(ctx context.Context, qemu string) (Proof, error) {
	return prove(ctx, qemu, TCG, firmware(), askTime, virtualClock{seed: 1}.args()...)
}

// prove runs a firmware, on a machine with more arguments, and waits for it to say so. One that does not in time is
// an unsure verdict.
func prove(ctx context.Context, qemu string, accel Accel, rom []byte, limit time.Duration, more ...string) (Proof, error) {
	path, err := Path(qemu)
	if err != nil {
		return Proof{}, err
	}
	dir, err := os.MkdirTemp("", "ctmatrix-proof-")
	if err != nil {
		return Proof{}, fmt.Errorf("make room for a firmware: %w", err)
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "rom")
	if err := os.WriteFile(file, rom, 0o600); err != nil {
		return Proof{}, fmt.Errorf("write a firmware: %w", err)
	}
	cmd := exec.Command(path, "-nodefaults", "-no-user-config", "-display", "none",
		// One that goes astray ends QEMU, and the verdict is there at once.
		"-no-reboot",
		// The CPU of guests, whose registers not every host lets QEMU set.
		"-machine", defaultMachine, "-accel", string(accel), "-cpu", (&VM{Accel: accel}).cpu(), "-m", "16M", "-bios", file,
		"-device", "isa-debug-exit,iobase=0xf4,iosize=0x01")
	cmd.Args = append(cmd.Args, more...)
	var text bytes.Buffer
	said := &limited{w: &text, left: errTextLimit}
	cmd.Stdout, cmd.Stderr = said, said
	cmd.WaitDelay = time.Second
	ended := make(chan error, 1)
	if err := launch(cmd, AnyCPU, func(err error) { ended <- err }); err != nil {
		return Proof{}, err
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case err = <-ended:
		return read(cmd.ProcessState, err, &text), nil
	case <-ctx.Done():
		return Proof{}, errors.Join(ctx.Err(), kill(cmd, ended))
	case <-timer.C:
	}
	if err := kill(cmd, ended); err != nil {
		return Proof{}, err
	}
	return Proof{Unsure: true, Reason: fmt.Sprintf("guest code did not run within %v", limit.Round(time.Second))}, nil
}

// read makes a verdict of how QEMU ended and what it said.
func read(state *os.ProcessState, err error, text *bytes.Buffer) Proof {
	var status *exec.ExitError
	if errors.As(err, &status) && status.ExitCode() == proofStatus {
		return Proof{Works: true, Reason: "guest code ran"}
	}
	return Proof{Reason: fmt.Sprintf("QEMU gave up (%v): %s", state, firstLine(text.String()))}
}

// firmware is a ROM that goes all the way to 64-bit code with paging, as a
// kernel does, then writes proofByte to port 0xf4 and halts. Less would prove
// too little: there are hosts whose KVM runs real mode and then hangs. It lies
// at 0xf0000, and its last 16 bytes are where the CPU starts.
func firmware() []byte {
	image := rom(0xea, 0x00, 0x00, 0x00, 0xf0) // ljmp $0xf000,$0
	copy(image, []byte{
		0xfa,       // cli
		0x31, 0xc0, // xor %ax,%ax
		0x8e, 0xd8, // mov %ax,%ds
		0x8e, 0xc0, // mov %ax,%es
		// Page tables at 0x1000, 0x2000 and 0x3000 map the first 2 MiB to
		// themselves.
		0xbf, 0x00, 0x10, // mov $0x1000,%di
		0xb9, 0x00, 0x18, // mov $0x1800,%cx
		0xfc,       // cld
		0xf3, 0xab, // rep stos %ax,%es:(%di)
		0xc7, 0x06, 0x00, 0x10, 0x03, 0x20, // movw $0x2003,0x1000
		0xc7, 0x06, 0x00, 0x20, 0x03, 0x30, // movw $0x3003,0x2000
		0xc7, 0x06, 0x00, 0x30, 0x83, 0x00, // movw $0x83,0x3000
		0x2e, 0x66, 0x0f, 0x01, 0x16, 0x80, 0x00, // lgdtl %cs:0x80
		0x0f, 0x20, 0xe0, // mov %cr4,%eax
		0x66, 0x83, 0xc8, 0x20, // or $0x20,%eax: PAE
		0x0f, 0x22, 0xe0, // mov %eax,%cr4
		0x66, 0xb8, 0x00, 0x10, 0x00, 0x00, // mov $0x1000,%eax
		0x0f, 0x22, 0xd8, // mov %eax,%cr3
		0x66, 0xb9, 0x80, 0x00, 0x00, 0xc0, // mov $0xc0000080,%ecx: EFER
		0x0f, 0x32, // rdmsr
		0x66, 0x0d, 0x00, 0x01, 0x00, 0x00, // or $0x100,%eax: LME
		0x0f, 0x30, // wrmsr
		0x0f, 0x20, 0xc0, // mov %cr0,%eax
		0x66, 0x0d, 0x01, 0x00, 0x00, 0x80, // or $0x80000001,%eax: PG and PE
		0x0f, 0x22, 0xc0, // mov %eax,%cr0
		0x66, 0xea, 0x60, 0x00, 0x0f, 0x00, 0x08, 0x00, // ljmpl $8,$0xf0060
		// 0x60, in 64-bit code:
		0x31, 0xc0, // xor %eax,%eax
		0x0f, 0xa2, // cpuid, which leaves the guest under KVM
		0xb0, proofByte, // mov $proofByte,%al
		0xe6, 0xf4, // out %al,$0xf4
		0xf4,       // hlt
		0xeb, 0xfd, // jmp to the hlt
	})
	// The descriptor table: none, then 64-bit code; and what lgdt reads.
	copy(image[0x70:], []byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x9a, 0x20, 0})
	copy(image[0x80:], []byte{15, 0, 0x70, 0, 0x0f, 0})
	return image
}

// rom is the smallest firmware that QEMU takes, with code at its reset vector.
func rom(code ...byte) []byte {
	image := make([]byte, 64<<10)
	copy(image[len(image)-16:], code)
	return image
}

// Auto chooses the accelerator: KVM where it is proven, TCG elsewhere. The
// verdict is remembered in dir until the host boots another kernel or has
// another QEMU.
func Auto(ctx context.Context, qemu, dir string) (Accel, Proof, error) {
	version, err := Version(ctx, qemu)
	if err != nil {
		return "", Proof{}, err
	}
	file := filepath.Join(dir, "kvm-"+hostKey(version)+".json")
	proof, known := recall(file)
	if !known {
		if proof, err = Prove(ctx, qemu, KVM); err != nil {
			return "", Proof{}, err
		}
		if !proof.Unsure {
			// A verdict that cannot be kept is found anew next time.
			_ = remember(file, proof)
		}
	}
	if proof.Works {
		return KVM, proof, nil
	}
	return TCG, proof, nil
}

// hostKey names what a verdict holds for: a boot of a kernel, and a QEMU. Where
// the boot has no name, verdicts hold for the kernel.
func hostKey(version string) string {
	h := sha256.New()
	for _, name := range []string{"random/boot_id", "osrelease", "version"} {
		b, _ := os.ReadFile("/proc/sys/kernel/" + name) // empty if it cannot be read
		fmt.Fprintf(h, "%q\n", b)
	}
	fmt.Fprintf(h, "%q\n", version)
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// recall reads a verdict. One that makes no sense is not known.
func recall(file string) (Proof, bool) {
	b, err := os.ReadFile(file)
	if err != nil {
		return Proof{}, false
	}
	var p Proof
	if json.Unmarshal(b, &p) != nil || p.Reason == "" || p.Unsure {
		return Proof{}, false
	}
	return p, true
}

func remember(file string, proof Proof) error {
	b, err := json.Marshal(proof)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(file), ".proof-")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) // gone already if all went well
	if _, err := tmp.Write(b); err != nil {
		return errors.Join(err, tmp.Close())
	}
	if err := tmp.Close(); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), file)
}
