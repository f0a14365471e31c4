package vm

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// head makes the first bytes of an image, with pieces of it by their offset.
func head(pieces map[int]string) []byte {
	b := make([]byte, 4096)
	for at, p := range pieces {
		copy(b[at:], p)
	}
	return b
}

func TestArchOf(t *testing.T) {
	for _, test := range []struct {
		name string
		head []byte
		want string
	}{
		{"x86-64", head(map[int]string{headerAt: "HdrS", versionAt: "\x0f\x02", flagsAt: "\x7f\x00"}), ""},
		{"an old x86", head(map[int]string{headerAt: "HdrS", versionAt: "\x0b\x02"}), ""},
		{"i386", head(map[int]string{headerAt: "HdrS", versionAt: "\x0f\x02", flagsAt: "\x7c\x00"}), "32-bit x86"},
		{"arm64", head(map[int]string{0: "MZ", armAt: "ARM\x64"}), "arm64"},
		{"riscv", head(map[int]string{0: "MZ", riscvAt: "RISCV\x00"}), "RISC-V"},
		{"ELF of x86-64", head(map[int]string{0: "\x7fELF\x02\x01\x01", 18: "\x3e\x00"}), ""},
		{"ELF of s390", head(map[int]string{0: "\x7fELF\x02\x02\x01", 18: "\x00\x16"}), "EM_S390"},
		{"who knows", head(nil), ""},
		{"nothing", nil, ""},
		{"a short one", []byte("\x7fELF"), ""},
	} {
		if got := archOf(test.head); got != test.want {
			t.Errorf("%s is of %q, want %q", test.name, got, test.want)
		}
	}
}

func FuzzArchOf(f *testing.F) {
	f.Add(head(map[int]string{headerAt: "HdrS", versionAt: "\x0f\x02"}))
	f.Add([]byte("\x7fELF\x02\x02\x01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if arch := archOf(b); len(b) == 0 && arch != "" {
			t.Fatalf("nothing is of %s", arch)
		}
	})
}

func TestOtherArch(t *testing.T) {
	file := filepath.Join(t.TempDir(), "Image")
	if err := os.WriteFile(file, head(map[int]string{armAt: "ARM\x64"}), 0o600); err != nil {
		t.Fatal(err)
	}
	v := &VM{QEMU: program(t, "exit 1"), Kernel: file, Pin: AnyCPU}
	err := v.Start(t.Context())
	if !errors.Is(err, ErrOtherArch) || err.Error() != "start a guest: the kernel is one for arm64: guests are x86-64" {
		t.Errorf("%v, want that it is of another architecture", err)
	}
}
