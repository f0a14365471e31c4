package bench

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
)

// powerOff is the least init there is: a static program that powers the machine off.
func powerOff() []byte {
	code := []byte{
		0xb8, 0xa9, 0x00, 0x00, 0x00, // mov $169,%eax: reboot(2)
		0xbf, 0xad, 0xde, 0xe1, 0xfe, // mov $LINUX_REBOOT_MAGIC1,%edi
		0xbe, 0x69, 0x19, 0x12, 0x28, // mov $LINUX_REBOOT_MAGIC2,%esi
		0xba, 0xdc, 0xfe, 0x21, 0x43, // mov $LINUX_REBOOT_CMD_POWER_OFF,%edx
		0x0f, 0x05, // syscall
		0xeb, 0xfe, // jmp to itself, should it come back
	}
	const at, header, segment = 0x400000, 64, 56
	size := uint64(header + segment + len(code))
	h := elf.Header64{
		Type: uint16(elf.ET_EXEC), Machine: uint16(elf.EM_X86_64), Version: 1, Entry: at + header + segment,
		Phoff: header, Ehsize: header, Phentsize: segment, Phnum: 1,
	}
	copy(h.Ident[:], "\x7fELF\x02\x01\x01")
	var b bytes.Buffer
	for _, part := range []any{h, elf.Prog64{
		Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_X), Vaddr: at, Paddr: at, Filesz: size, Memsz: size, Align: 0x1000,
	}, code} {
		_ = binary.Write(&b, binary.LittleEndian, part) // to memory, of fixed size
	}
	return b.Bytes()
}
