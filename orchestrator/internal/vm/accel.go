package vm

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

var versionForm = regexp.MustCompile(`version ([0-9][0-9.]*)`)

// Version asks a QEMU for its version: "7.2.22".
func Version(ctx context.Context, qemu string) (string, error) {
	path, err := Path(qemu)
	if err != nil {
		return "", err
	}
	out, err := exec.CommandContext(ctx, path, "--version").Output()
	if err != nil {
		return "", fmt.Errorf("ask %s for its version: %w", qemu, err)
	}
	m := versionForm.FindSubmatch(out)
	if m == nil {
		return "", fmt.Errorf("%s is no QEMU: it calls itself %q", qemu, firstLine(string(out)))
	}
	return string(m[1]), nil
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// Proof is whether an accelerator was seen to execute guest code.
type Proof struct {
	Works  bool   `json:"works"`
	Reason string `json:"reason"`
}

// proofTime is how long the proof may take: some thousand times what it needs.
const proofTime = 2 * time.Second

// proofStatus is what QEMU exits with when the guest wrote proofByte to its
// debug port: twice the byte, plus one.
const (
	proofByte   = 0x2a
	proofStatus = proofByte<<1 | 1
)

// Prove runs a few instructions of guest code and says whether they ran. That
// /dev/kvm opens proves nothing: on some hosts guests on it hang.
func Prove(ctx context.Context, qemu string, accel Accel) (Proof, error) {
	path, err := Path(qemu)
	if err != nil {
		return Proof{}, err
	}
	if accel == KVM {
		f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
		if err != nil {
			return Proof{Reason: err.Error()}, nil
		}
		f.Close()
	}
	dir, err := os.MkdirTemp("", "ctmatrix-proof-")
	if err != nil {
		return Proof{}, fmt.Errorf("make room for a firmware: %w", err)
	}
	defer os.RemoveAll(dir)
	rom := filepath.Join(dir, "rom")
	if err := os.WriteFile(rom, firmware(), 0o600); err != nil {
		return Proof{}, fmt.Errorf("write a firmware: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, proofTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, "-nodefaults", "-no-user-config", "-display", "none",
		"-machine", "q35", "-accel", string(accel), "-cpu", cpuModel(accel), "-m", "16M", "-bios", rom,
		"-device", "isa-debug-exit,iobase=0xf4,iosize=0x01")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.CombinedOutput()
	var status *exec.ExitError
	switch {
	case errors.As(err, &status) && status.ExitCode() == proofStatus:
		return Proof{Works: true, Reason: "guest code ran"}, nil
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return Proof{Reason: fmt.Sprintf("guest code did not run within %v", proofTime)}, nil
	case ctx.Err() != nil:
		return Proof{}, ctx.Err()
	}
	return Proof{Reason: fmt.Sprintf("QEMU gave up: %v: %s", err, firstLine(string(out)))}, nil
}

// firmware is a ROM that goes all the way to 64-bit code with paging, as a
// kernel does, then writes proofByte to port 0xf4 and halts. Less would prove
// too little: there are hosts whose KVM runs real mode and then hangs. It lies
// at 0xf0000, and its last 16 bytes are where the CPU starts.
func firmware() []byte {
	rom := make([]byte, 64<<10)
	copy(rom, []byte{
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
	copy(rom[0x70:], []byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x9a, 0x20, 0})
	copy(rom[0x80:], []byte{15, 0, 0x70, 0, 0x0f, 0})
	copy(rom[len(rom)-16:], []byte{0xea, 0x00, 0x00, 0x00, 0xf0}) // ljmp $0xf000,$0
	return rom
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
	var proof Proof
	if b, err := os.ReadFile(file); err != nil || json.Unmarshal(b, &proof) != nil {
		if proof, err = Prove(ctx, qemu, KVM); err != nil {
			return "", Proof{}, err
		}
		// A verdict that cannot be kept is found anew next time.
		_ = remember(file, proof)
	}
	if proof.Works {
		return KVM, proof, nil
	}
	return TCG, proof, nil
}

// hostKey names what a verdict holds for.
func hostKey(version string) string {
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id") // the same for all if unreadable
	sum := sha256.Sum256(append(boot, version...))
	return hex.EncodeToString(sum[:8])
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
	defer os.Remove(tmp.Name())
	if _, err := tmp.Write(b); err != nil {
		return errors.Join(err, tmp.Close())
	}
	if err := tmp.Close(); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), file)
}
