package initramfs

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"debug/elf"
)

// ko makes the file of a module that says what fields say: an object file with
// nothing in it but its description.
func ko(t testing.TB, fields ...string) []byte {
	var modinfo []byte
	for _, f := range fields {
		modinfo = append(append(modinfo, f...), 0)
	}
	names := []byte("\x00.modinfo\x00.shstrtab\x00")
	const header, entry = 64, 64
	infoAt := uint64(header)
	namesAt := infoAt + uint64(len(modinfo))
	sectionsAt := namesAt + uint64(len(names))
	var b bytes.Buffer
	h := elf.Header64{
		Type: uint16(elf.ET_REL), Machine: uint16(elf.EM_X86_64), Version: 1, Shoff: sectionsAt,
		Ehsize: header, Shentsize: entry, Shnum: 3, Shstrndx: 2,
	}
	copy(h.Ident[:], "\x7fELF\x02\x01\x01")
	put := func(v any) {
		if err := binary.Write(&b, binary.LittleEndian, v); err != nil {
			t.Fatal(err)
		}
	}
	put(h)
	b.Write(modinfo)
	b.Write(names)
	put(elf.Section64{})
	put(elf.Section64{Name: 1, Type: uint32(elf.SHT_PROGBITS), Off: infoAt, Size: uint64(len(modinfo)), Addralign: 1})
	put(elf.Section64{Name: 10, Type: uint32(elf.SHT_STRTAB), Off: namesAt, Size: uint64(len(names)), Addralign: 1})
	return b.Bytes()
}

func TestReadModinfo(t *testing.T) {
	m, err := readModinfo(ko(t, "license=GPL", "name=a-b", "depends=x-y,z", "softdep=pre: p q-r post: s pre: t", "alias=crc32c", "alias=net-pf-*"))
	if err != nil {
		t.Fatal(err)
	}
	if m.name != "a_b" || strings.Join(m.depends, " ") != "x_y z" || strings.Join(m.pre, " ") != "p q-r t" || strings.Join(m.aliases, " ") != "crc32c net-pf-*" {
		t.Errorf("%+v", m)
	}
	if m, err = readModinfo(ko(t, "depends=")); err != nil || m.depends != nil {
		t.Errorf("nothing to depend on: %+v, %v", m, err)
	}
	if m, err = readModinfo(ko(t, "depends=../../etc/passwd,ok")); err != nil || strings.Join(m.depends, " ") != "ok" {
		t.Errorf("a path for a name: %+v, %v", m, err)
	}
	if _, err = readModinfo([]byte("#!/bin/sh")); err == nil {
		t.Error("a script was taken for a module")
	}
}

func FuzzModinfo(f *testing.F) {
	whole := ko(f, "name=a", "depends=b,c", "softdep=pre: d", "alias=e")
	f.Add(whole)
	f.Add(whole[:100])
	f.Add([]byte("\x7fELF\x01\x02\x01"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := readModinfo(data)
		if err != nil {
			return
		}
		for _, d := range m.depends {
			if !validName(d) || strings.Contains(d, "-") {
				t.Fatalf("%q for the name of a module", d)
			}
		}
	})
}

func FuzzIndexes(f *testing.F) {
	f.Add([]byte("kernel/lib/crc32.ko\nkernel/crypto/crc32c_generic.ko\n"))
	f.Add([]byte("crc32c_generic.alias=crypto-crc32c\x00crc32c_generic.license=GPL\x00"))
	f.Add([]byte("kernel/a.ko.xz: kernel/b-c.ko.xz kernel/d.ko\nkernel/d.ko:\n"))
	f.Add([]byte(":\n: :\na.ko\n../.ko: /.ko"))
	f.Fuzz(func(t *testing.T, data []byte) {
		set := map[string]bool{}
		parseBuiltin(data, set)
		for name := range set {
			if !validName(name) {
				t.Fatalf("%q for the name of a module", name)
			}
		}
		parseBuiltinModinfo(data, set)
		for module, deps := range parseDep(data) {
			for _, name := range append(deps, module) {
				if !validName(name) || strings.Contains(name, "-") {
					t.Fatalf("%q for the name of a module", name)
				}
			}
		}
	})
}
