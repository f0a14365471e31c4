package suite

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"github.com/ctmatrix/ctmatrix/guest/internal/probe"
	"github.com/ctmatrix/ctmatrix/guest/observe"
)

// faulty is a small module with a WARN in it, which no probe of this test needs.
const faulty = "nft_redir"

// prologue is what comes before a function's own code: endbr64, where kernels
// have it, and the call of __fentry__.
const endbr64 = "\xf3\x0f\x1e\xfa"

// module has the kernel run code of the machine's when it loads a module. An ud2 at
// its start is what a WARN begins with.
func module(code ...byte) func(*probe.P) {
	return func(p *probe.P) {
		file, err := os.ReadFile(observe.ModuleDir + "/" + faulty + ".ko")
		p.Must(err)
		image, err := patched(file, code)
		p.Must(err)
		if err := unix.DeleteModule(faulty, 0); !errors.Is(err, unix.ENOENT) {
			p.Must(err)
		}
		p.Must(unix.InitModule(image, ""))
	}
}

// patched puts code into a module's init function, and has the module's first WARN
// be there if it is one. A signature would not fit any more.
func patched(file []byte, code []byte) ([]byte, error) {
	if at := bytes.LastIndex(file, []byte("~Module signature appended~")); at > 0 {
		file = file[:at]
	}
	f, err := elf.NewFile(bytes.NewReader(file))
	if err != nil {
		return nil, err
	}
	symbols, err := f.Symbols()
	if err != nil {
		return nil, err
	}
	for i, s := range symbols {
		if s.Name != "init_module" {
			continue
		}
		text := f.Sections[s.Section]
		at := s.Value + 5
		if bytes.HasPrefix(file[text.Offset+s.Value:], []byte(endbr64)) {
			at += uint64(len(endbr64))
		}
		copy(file[text.Offset+at:], code)
		for r := range relocations(f, file, text.Name) {
			if r.offset() >= at && r.offset() < at+uint64(len(code)) {
				r.set(0, uint64(elf.R_X86_64_NONE), 0)
			}
		}
		if len(code) == 5 { // a WARN, and the return
			for r := range relocations(f, file, "__bug_table") {
				r.set(uint64(i+1), uint64(elf.R_X86_64_PC32), at-s.Value)
				break
			}
		}
		return file, nil
	}
	return nil, errors.New("no init_module")
}

// relocation is one of the file's, in place.
type relocation []byte

func (r relocation) offset() uint64 { return binary.LittleEndian.Uint64(r) }

func (r relocation) set(symbol, kind, addend uint64) {
	binary.LittleEndian.PutUint64(r[8:], symbol<<32|kind)
	binary.LittleEndian.PutUint64(r[16:], addend)
}

func relocations(f *elf.File, file []byte, section string) func(func(relocation) bool) {
	return func(yield func(relocation) bool) {
		s := f.Section(".rela" + section)
		for at := s.Offset; at < s.Offset+s.Size; at += 24 {
			if !yield(relocation(file[at : at+24])) {
				return
			}
		}
	}
}
