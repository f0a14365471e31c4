// Package vmlinux unwraps kernels: what QEMU loads and starts itself need not be
// unpacked in the guest, under emulation.
package vmlinux

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/ctmatrix/ctmatrix/images/kernel/unpack"
)

// ErrWrapped says that an image must be booted as it is: it is no bzImage, or
// is compressed in a way that this does not know, or what is in it cannot be
// entered directly.
var ErrWrapped = errors.New("boot it as it is")

// maxKernel bounds a kernel, unpacked. Debian's largest has 64 MB.
const maxKernel = 512 << 20

// Offsets in a bzImage, from Documentation/arch/x86/boot.rst. The payload is
// counted from where the code begins that is not the setup's.
const (
	offSetupSectors = 0x1f1
	offMagic        = 0x202
	offVersion      = 0x206
	offPayload      = 0x248
	offPayloadSize  = 0x24c
	headerSize      = 0x250

	sector         = 512
	payloadVersion = 0x0208 // of the protocol that tells of the payload
)

// The first bytes of a payload, and the ending under which unpack knows it: see
// lib/decompress.c and arch/x86/boot/compressed/Makefile. All but gzip's end in
// the unpacked size, four bytes that are not the stream's.
var formats = []struct {
	magic, ext string
	sized      bool
}{
	{"\x1f\x8b", ".gz", false},
	{"\xfd7zXZ\x00", ".xz", true},
	{"\x02\x21\x4c\x18", ".lz4", true},
	{"\x28\xb5\x2f\xfd", ".zst", true},
}

// Extract writes the ELF file in the bzImage at path to w, and nothing if errors.Is
// of its error and ErrWrapped. It takes some 0.1 s and the kernel's size in memory.
func Extract(path string, w io.Writer) error {
	image, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("unwrap the kernel: %w", err)
	}
	kernel, err := unwrap(image)
	if err != nil {
		return fmt.Errorf("unwrap %s: %w", path, err)
	}
	if _, err := w.Write(kernel); err != nil {
		return fmt.Errorf("write the kernel: %w", err)
	}
	return nil
}

func unwrap(image []byte) ([]byte, error) {
	payload, err := payloadOf(image)
	if err != nil {
		return nil, err
	}
	for _, f := range formats {
		if !bytes.HasPrefix(payload, []byte(f.magic)) {
			continue
		}
		if f.sized {
			payload = payload[:max(len(payload)-4, 0)]
		}
		r, err := unpack.Reader("payload"+f.ext, bytes.NewReader(payload))
		if err != nil {
			return nil, wrapped(err)
		}
		defer r.Close() // only read
		kernel, err := io.ReadAll(io.LimitReader(r, maxKernel+1))
		if err != nil {
			return nil, wrapped(err)
		}
		if len(kernel) > maxKernel {
			return nil, wrapped(fmt.Errorf("more than %d bytes", maxKernel))
		}
		if err := checkEntry(kernel); err != nil {
			return nil, wrapped(err)
		}
		return kernel, nil
	}
	return nil, wrapped(errors.New("compressed in an unknown way"))
}

func wrapped(why error) error { return fmt.Errorf("%w: %w", why, ErrWrapped) }

// payloadOf is the compressed kernel in a bzImage.
func payloadOf(image []byte) ([]byte, error) {
	if len(image) < headerSize || string(image[offMagic:offMagic+4]) != "HdrS" {
		return nil, wrapped(errors.New("no bzImage"))
	}
	if v := binary.LittleEndian.Uint16(image[offVersion:]); v < payloadVersion {
		return nil, wrapped(fmt.Errorf("boot protocol %x is older than %x", v, payloadVersion))
	}
	setup := int(image[offSetupSectors])
	if setup == 0 {
		setup = 4
	}
	from := uint64(setup+1)*sector + uint64(binary.LittleEndian.Uint32(image[offPayload:]))
	to := from + uint64(binary.LittleEndian.Uint32(image[offPayloadSize:]))
	if from >= to || to > uint64(len(image)) {
		return nil, wrapped(fmt.Errorf("payload from %d to %d of %d bytes", from, to, len(image)))
	}
	return image[from:to], nil
}

// entryNote is the type of the note of "Xen" that says where a PVH guest is
// entered: XEN_ELFNOTE_PHYS32_ENTRY. A kernel has it with CONFIG_PVH.
const entryNote = 18

var errNoEntry = errors.New("no PVH entry, which takes CONFIG_PVH")

// checkEntry makes sure that a kernel can be entered by QEMU.
func checkEntry(kernel []byte) error {
	f, err := elf.NewFile(bytes.NewReader(kernel))
	if err != nil {
		return fmt.Errorf("what is in it: %w", err)
	}
	defer f.Close() // holds nothing: the reader is memory
	if f.Class != elf.ELFCLASS64 || f.Machine != elf.EM_X86_64 {
		return fmt.Errorf("what is in it is for %v, %v", f.Machine, f.Class)
	}
	for _, p := range f.Progs {
		if p.Type != elf.PT_NOTE || p.Filesz > uint64(len(kernel)) {
			continue
		}
		notes, err := io.ReadAll(p.Open())
		if err != nil {
			return fmt.Errorf("read its notes: %w", err)
		}
		if hasEntry(notes) {
			return nil
		}
	}
	return errNoEntry
}

// hasEntry looks through notes: sizes of name and content, a type, then both,
// each filled up to four bytes.
func hasEntry(notes []byte) bool {
	for len(notes) >= 12 {
		name := uint64(binary.LittleEndian.Uint32(notes))
		desc := uint64(binary.LittleEndian.Uint32(notes[4:]))
		kind := binary.LittleEndian.Uint32(notes[8:])
		notes = notes[12:]
		end := (name+3)&^3 + (desc+3)&^3
		if end > uint64(len(notes)) {
			return false
		}
		if kind == entryNote && name <= end && string(notes[:name]) == "Xen\x00" {
			return true
		}
		notes = notes[end:]
	}
	return false
}
