package kernel

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/ctmatrix/ctmatrix/images/kernel/deb"
	"github.com/ctmatrix/ctmatrix/images/kernel/kerneltest"
)

// unpacked unpacks a package in a directory with room for a number of bytes, and
// returns what that took of the disk and how much was allocated.
func unpacked(t *testing.T, room int64, compression string, files ...kerneltest.File) (disk int64, memory uint64, err error) {
	t.Helper()
	dir := t.TempDir()
	name := filepath.Join(dir, "package.deb")
	if err := os.WriteFile(name, kerneltest.Deb(t, compression, files...), 0o600); err != nil {
		t.Fatal(err)
	}
	entry := filepath.Join(dir, "entry")
	if err := os.Mkdir(entry, 0o755); err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	tr := newTree(t.Context(), entry, "6.1-amd64")
	tr.room.Store(room)
	if _, err = unpackPackage(tr, name); err != nil {
		tr.abort()
	} else {
		_, err = tr.finish(Candidate{Version: "6.1-1"})
	}
	runtime.ReadMemStats(&after)
	werr := filepath.Walk(entry, func(_ string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().IsRegular() {
			disk += info.Size()
		}
		return err
	})
	if werr != nil {
		t.Fatal(werr)
	}
	return disk, after.TotalAlloc - before.TotalAlloc, err
}

// What is small and grows takes no more of the disk than is allowed, and of memory
// what its largest module does.
func TestBombs(t *testing.T) {
	const mib = 1 << 20
	image := kerneltest.File{Name: "./boot/vmlinuz-6.1-amd64", Data: "image"}
	zeros := strings.Repeat("\x00", 3*mib)
	packed := string(kerneltest.Compress(t, ".xz", []byte(zeros)))
	module := func(name, data string) kerneltest.File {
		return kerneltest.File{Name: "./lib/modules/6.1-amd64/kernel/net/" + name, Data: data}
	}
	for name, c := range map[string]struct {
		compression string
		files       []kerneltest.File
	}{
		"an image":                  {".xz", []kerneltest.File{module("a.ko", "a"), {Name: "./boot/vmlinuz-6.1-amd64", Data: zeros}}},
		"modules":                   {".zst", []kerneltest.File{image, module("a.ko", zeros[:mib/2]), module("b.ko", zeros[:mib/2])}},
		"modules in a package":      {".gz", []kerneltest.File{image, module("a.ko.xz", packed), module("b.ko.xz", packed)}},
		"a configuration":           {".xz", []kerneltest.File{image, module("a.ko", "a"), {Name: "./boot/config-6.1-amd64", Data: zeros}}},
		"a module, not as it seems": {".xz", []kerneltest.File{image, module("a.ko.gz", string(kerneltest.Compress(t, ".gz", []byte(zeros))))}},
	} {
		disk, memory, err := unpacked(t, mib/2, c.compression, c.files...)
		if err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
		if disk > mib || memory > 24*mib {
			t.Errorf("%s: %d bytes on the disk, %d in memory", name, disk, memory)
		}
		t.Logf("%s: %v: %d KiB on the disk, %d KiB in memory", name, err, disk>>10, memory>>10)
	}
	if _, _, err := unpacked(t, mib/2, ".xz", image, module("a.ko.xz", packed), module("b.ko", "b")); !errors.Is(err, errTooLarge) {
		t.Errorf("of a package that is too large: %v", err)
	}
	if disk, _, err := unpacked(t, 4*mib, ".xz", image, module("a.ko.xz", packed)); err != nil || disk < 3*mib {
		t.Errorf("%d bytes of a package that is not: %v", disk, err)
	}
}

// A stream whose decoder is to hold 1 GiB and more is refused before it does.
func TestWindows(t *testing.T) {
	block := "\x02\x00\x21\x01\x28\x00\x00\x00" // LZMA2 with a dictionary of 4 GiB less one
	block += string(binary.LittleEndian.AppendUint32(nil, crc32.ChecksumIEEE([]byte(block))))
	for name, head := range map[string]string{
		".xz":  "\xfd7zXZ\x00\x00\x04\xe6\xd6\xb4\x46" + block + "\x01\x00\x00\x00\x00",
		".zst": "\x28\xb5\x2f\xfd\x00\xf0\x01\x00\x00", // a window of 1 TiB
	} {
		var b bytes.Buffer
		b.WriteString("!<arch>\n")
		kerneltest.Member(&b, "debian-binary", []byte("2.0\n"))
		kerneltest.Member(&b, "data.tar"+name, []byte(head))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := deb.Walk(&b, nil)
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; !errors.Is(err, deb.ErrFormat) || n > 64<<20 {
			t.Errorf("%s: %v, %d bytes were allocated", name, err, n)
		}
		t.Log(err)
	}
}

// Links among a package's files lead nowhere: what is written through one by its
// name is refused, or is a file of its own.
func TestLinksInPackages(t *testing.T) {
	out := t.TempDir()
	image := kerneltest.File{Name: "./boot/vmlinuz-6.1-amd64", Data: "image"}
	module := kerneltest.File{Name: "./lib/modules/6.1-amd64/kernel/net/a.ko", Data: "module"}
	for name, files := range map[string][]kerneltest.File{
		"the directory of the modules": {image, {Name: "./lib/modules/6.1-amd64/kernel/net", Link: "../../../../boot"}, module},
		"a module":                     {image, {Name: module.Name, Link: "b.ko"}},
		"out of the tree":              {image, {Name: "./lib", Link: out}, module},
		"the image, hard":              {{Name: image.Name, Link: "boot/other", Type: tar.TypeLink}, module},
		"the same twice":               {image, image, module},
		"twice, packed and not":        {image, module, {Name: module.Name + ".gz", Data: string(kerneltest.Compress(t, ".gz", []byte("other")))}},
	} {
		disk, _, err := unpacked(t, 1<<20, ".gz", files...)
		t.Logf("%s: %d bytes, %v", name, disk, err)
		if name == "the directory of the modules" { // which is no file that is kept
			if err != nil || disk != int64(len("image"+"module")) {
				t.Errorf("%s: %d bytes, %v", name, disk, err)
			}
		} else if err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if left, err := os.ReadDir(out); err != nil || len(left) > 0 {
		t.Errorf("written through a link: %v, %v", left, err)
	}
}
