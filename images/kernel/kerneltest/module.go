package kerneltest

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"testing"
)

// Module makes a module's file that says which release it is of, and nothing
// else.
func Module(t testing.TB, release string) string {
	t.Helper()
	info := "license=GPL\x00vermagic=" + release + " SMP preempt mod_unload \x00"
	names := "\x00.modinfo\x00.shstrtab\x00"
	const header, entry = 64, 64
	namesAt := uint64(header + len(info))
	var b bytes.Buffer
	put := func(v any) {
		if err := binary.Write(&b, binary.LittleEndian, v); err != nil {
			t.Fatal(err)
		}
	}
	h := elf.Header64{
		Type: uint16(elf.ET_REL), Machine: uint16(elf.EM_X86_64), Version: 1, Shoff: namesAt + uint64(len(names)),
		Ehsize: header, Shentsize: entry, Shnum: 3, Shstrndx: 2,
	}
	copy(h.Ident[:], "\x7fELF\x02\x01\x01")
	put(h)
	b.WriteString(info + names)
	put(elf.Section64{})
	put(elf.Section64{Name: 1, Type: uint32(elf.SHT_PROGBITS), Off: header, Size: uint64(len(info)), Addralign: 1})
	put(elf.Section64{Name: 10, Type: uint32(elf.SHT_STRTAB), Off: namesAt, Size: uint64(len(names)), Addralign: 1})
	return b.String()
}
