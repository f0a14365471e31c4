package vmlinux

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/ulikunitz/xz"
)

// note is one as the linker lays it out.
func note(name string, kind uint32, desc []byte) []byte {
	var b []byte
	for _, n := range []uint32{uint32(len(name)) + 1, uint32(len(desc)), kind} {
		b = binary.LittleEndian.AppendUint32(b, n)
	}
	b = append(append(b, name...), 0)
	b = append(b, make([]byte, -len(b)&3)...)
	b = append(b, desc...)
	return append(b, make([]byte, -len(b)&3)...)
}

// kernel is an ELF file with one segment of notes.
func kernel(notes []byte) []byte {
	b := make([]byte, 64+56, 4096)
	copy(b, "\x7fELF\x02\x01\x01")
	le := binary.LittleEndian
	le.PutUint16(b[16:], 2)  // ET_EXEC
	le.PutUint16(b[18:], 62) // EM_X86_64
	le.PutUint32(b[20:], 1)
	le.PutUint64(b[32:], 64) // program headers
	le.PutUint16(b[52:], 64)
	le.PutUint16(b[54:], 56)
	le.PutUint16(b[56:], 1)
	le.PutUint16(b[58:], 64)
	p := b[64:]
	le.PutUint32(p, 4) // PT_NOTE
	le.PutUint64(p[8:], uint64(len(b)))
	le.PutUint64(p[32:], uint64(len(notes)))
	le.PutUint64(p[40:], uint64(len(notes)))
	return append(b, notes...)
}

// bzImage wraps a payload, behind two sectors of setup.
func bzImage(payload []byte) []byte {
	b := make([]byte, 3*sector+100)
	b[offSetupSectors] = 2
	copy(b[offMagic:], "HdrS")
	le := binary.LittleEndian
	le.PutUint16(b[offVersion:], 0x20f)
	le.PutUint32(b[offPayload:], 100)
	le.PutUint32(b[offPayloadSize:], uint32(len(payload)))
	return append(append(b, payload...), "behind it"...)
}

func compressed(t *testing.T, ext string, data []byte) []byte {
	var b bytes.Buffer
	var w io.WriteCloser
	var err error
	switch ext {
	case ".gz":
		w = gzip.NewWriter(&b)
	case ".xz":
		w, err = xz.NewWriter(&b)
	case ".zst":
		w, err = zstd.NewWriter(&b)
	case ".lz4":
		l := lz4.NewWriter(&b)
		err = l.Apply(lz4.LegacyOption(true))
		w = l
	}
	if err == nil {
		_, err = w.Write(data)
	}
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	if ext != ".gz" {
		return binary.LittleEndian.AppendUint32(b.Bytes(), uint32(len(data)))
	}
	return b.Bytes()
}

func TestExtract(t *testing.T) {
	want := append(kernel(append(note("Linux", 257, []byte("x")), note("Xen", entryNote, make([]byte, 8))...)), strings.Repeat("text ", 100000)...)
	for _, f := range formats {
		file := filepath.Join(t.TempDir(), "vmlinuz")
		if err := os.WriteFile(file, bzImage(compressed(t, f.ext, want)), 0o600); err != nil {
			t.Fatal(err)
		}
		var got bytes.Buffer
		if err := Extract(file, &got); err != nil || !bytes.Equal(got.Bytes(), want) {
			t.Errorf("%s: %d bytes, %v; want %d", f.ext, got.Len(), err, len(want))
		}
	}
}

func TestWrapped(t *testing.T) {
	sound := kernel(note("Xen", entryNote, make([]byte, 8)))
	old := bzImage(compressed(t, ".gz", sound))
	binary.LittleEndian.PutUint16(old[offVersion:], 0x207)
	torn := bzImage(compressed(t, ".gz", sound))
	for name, image := range map[string][]byte{
		"nothing":      nil,
		"no bzImage":   sound,
		"old":          old,
		"torn":         torn[:len(torn)-20],
		"unknown":      bzImage([]byte("BZh91AY")),
		"no ELF":       bzImage(compressed(t, ".zst", []byte("text"))),
		"without note": bzImage(compressed(t, ".xz", kernel(note("Xen", 1, nil)))),
		"of another":   bzImage(compressed(t, ".gz", kernel(note("Zen", entryNote, make([]byte, 8))))),
		"cut note":     bzImage(compressed(t, ".gz", kernel(note("Xen", entryNote, make([]byte, 8))[:16]))),
	} {
		if k, err := unwrap(image); !errors.Is(err, ErrWrapped) {
			t.Errorf("%s: %d bytes, %v", name, len(k), err)
		}
	}
	if err := Extract(filepath.Join(t.TempDir(), "none"), io.Discard); !errors.Is(err, os.ErrNotExist) || errors.Is(err, ErrWrapped) {
		t.Errorf("no file: %v", err)
	}
}

func FuzzUnwrap(f *testing.F) {
	sound := kernel(note("Xen", entryNote, make([]byte, 8)))
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(sound); err != nil {
		f.Fatal(err)
	}
	w.Close() // to memory
	f.Add(bzImage(b.Bytes()))
	f.Add(sound)
	f.Fuzz(func(t *testing.T, image []byte) {
		k, err := unwrap(image)
		if (err == nil) != (k != nil) || err != nil && !errors.Is(err, ErrWrapped) {
			t.Fatalf("%d bytes, %v", len(k), err)
		}
		_ = checkEntry(image) // must end
	})
}
