package vm

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

// ErrOtherArch says that a kernel is not one of an x86-64 guest.
var ErrOtherArch = errors.New("guests are x86-64")

// Where an image of Linux says what it is. The first is of x86
// (Documentation/arch/x86/boot.rst), the others are of arm64 and RISC-V
// (Documentation/arch/arm64/booting.rst, …/riscv/boot-image-header.rst).
const (
	headerAt  = 0x202 // "HdrS"
	versionAt = 0x206 // of what follows, 16 bits
	flagsAt   = 0x236 // xloadflags, from version 2.12 on
	armAt     = 0x38  // "ARM\x64"
	riscvAt   = 0x30  // "RISCV"

	loads64 = 1 // of the flags: has a 64-bit entry
)

// checkImage refuses a kernel of which it is sure that it cannot boot here. QEMU
// would say that it is too old to load a RAM disk.
func checkImage(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("start a guest: %w", err)
	}
	defer f.Close() // only read
	head := make([]byte, 4096)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the kernel's image: %w", err)
	}
	if arch := archOf(head[:n]); arch != "" {
		return fmt.Errorf("start a guest: the kernel is one for %s: %w", arch, ErrOtherArch)
	}
	return nil
}

// archOf is the architecture that the first bytes of an image are of, or "" for
// x86-64 and where they do not say.
func archOf(head []byte) string {
	at := func(offset int, what string) bool {
		return len(head) >= offset && bytes.HasPrefix(head[offset:], []byte(what))
	}
	switch {
	case at(headerAt, "HdrS"):
		if len(head) >= flagsAt+2 && binary.LittleEndian.Uint16(head[versionAt:]) >= 0x20c &&
			binary.LittleEndian.Uint16(head[flagsAt:])&loads64 == 0 {
			return "32-bit x86"
		}
	case at(armAt, "ARM\x64"):
		return "arm64"
	case at(riscvAt, "RISCV"):
		return "RISC-V"
	case at(0, elf.ELFMAG) && len(head) >= 20:
		order := binary.ByteOrder(binary.LittleEndian)
		if elf.Data(head[elf.EI_DATA]) == elf.ELFDATA2MSB {
			order = binary.BigEndian
		}
		if m := elf.Machine(order.Uint16(head[18:])); m != elf.EM_X86_64 {
			return m.String()
		}
	}
	return ""
}
