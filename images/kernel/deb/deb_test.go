package deb_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"path"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ctmatrix/ctmatrix/images/kernel/deb"
	"github.com/ctmatrix/ctmatrix/images/kernel/kerneltest"
)

func all(string, bool) bool { return true }

// read returns the wanted files of a package.
func read(data []byte, want func(string, bool) bool) (map[string]string, error) {
	got := map[string]string{}
	err := deb.Files(bytes.NewReader(data), want, func(name string, size int64, r io.Reader) error {
		b, err := io.ReadAll(r)
		if err == nil && int64(len(b)) != size {
			err = io.ErrUnexpectedEOF
		}
		got[name] = string(b)
		return err
	})
	return got, err
}

func TestFiles(t *testing.T) {
	files := []kerneltest.File{
		{Name: "./", Type: tar.TypeDir},
		{Name: "./boot/", Type: tar.TypeDir},
		{Name: "./boot/vmlinuz-1", Data: "image"},
		{Name: "./usr/share/doc/x", Link: "../bug"},
		{Name: "lib/modules/1/kernel/a.ko", Data: strings.Repeat("module", 1000)},
		{Name: "./lib/unwanted", Data: "unwanted"},
	}
	want := map[string]string{"boot/vmlinuz-1": "image", "lib/modules/1/kernel/a.ko": strings.Repeat("module", 1000)}
	for _, compression := range []string{".xz", ".zst", ".gz", ""} {
		got, err := read(kerneltest.Deb(t, compression, files...), func(name string, _ bool) bool {
			return strings.HasPrefix(name, "boot/") || path.Ext(name) == ".ko"
		})
		if err != nil {
			t.Errorf("%q: %v", compression, err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%q: (-want +got)\n%s", compression, d)
		}
	}
}

func TestHostile(t *testing.T) {
	for name, f := range map[string]kerneltest.File{
		"a name above the tree":       {Name: "../etc/passwd", Data: "x"},
		"a name through the tree":     {Name: "./boot/../../etc/passwd", Data: "x"},
		"an absolute name":            {Name: "/etc/passwd", Data: "x"},
		"a link above the tree":       {Name: "./boot/x", Link: "../../etc"},
		"an absolute link":            {Name: "./boot/x", Link: "/etc"},
		"a hard link above the tree":  {Name: "./boot/x", Link: "../etc/passwd", Type: tar.TypeLink},
		"a device":                    {Name: "./dev/sda", Type: tar.TypeBlock},
		"a pipe":                      {Name: "./run/p", Type: tar.TypeFifo},
		"a link where a file belongs": {Name: "./boot/vmlinuz-1", Link: "other"},
		"a line feed in a name":       {Name: "./boot/a\nb", Data: "x"},
	} {
		_, err := read(kerneltest.Deb(t, ".gz", f), all)
		if !errors.Is(err, deb.ErrFormat) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A file of 2 GiB is refused by its header, before it is read.
func TestHuge(t *testing.T) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Name: "boot/vmlinuz-1", Size: 2 << 30, Mode: 0o644}); err != nil {
		t.Fatal(err)
	}
	var p bytes.Buffer
	p.WriteString("!<arch>\n")
	kerneltest.Member(&p, "debian-binary", []byte("2.0\n"))
	kerneltest.Member(&p, "data.tar", b.Bytes())
	if _, err := read(p.Bytes(), all); !errors.Is(err, deb.ErrFormat) || !strings.Contains(err.Error(), "2147483648 bytes") {
		t.Errorf("got %v", err)
	}
}

func TestMalformed(t *testing.T) {
	good := kerneltest.Deb(t, ".xz", kerneltest.File{Name: "a", Data: "b"})
	member := func(names ...string) []byte {
		var b bytes.Buffer
		b.WriteString("!<arch>\n")
		for _, n := range names {
			kerneltest.Member(&b, n, []byte("2.0\n"))
		}
		return b.Bytes()
	}
	for name, data := range map[string][]byte{
		"empty":               nil,
		"not ar":              []byte("PK\x03\x04 and more than eight bytes"),
		"no member":           []byte("!<arch>\n"),
		"other first member":  member("control.tar"),
		"no data":             member("debian-binary", "control.tar"),
		"unknown compression": member("debian-binary", "data.tar.lz4"),
		"not compressed":      member("debian-binary", "data.tar.xz"),
		"cut off":             good[:len(good)-10],
		"cut off in a header": good[:30],
		"bad size":            bytes.Replace(good, []byte("4         `"), []byte("-4        `"), 1),
		"bad header":          bytes.Replace(good, []byte("`\n"), []byte("``"), 1),
		"format 3":            bytes.Replace(good, []byte("2.0\n"), []byte("3.0\n"), 1),
	} {
		if _, err := read(data, all); !errors.Is(err, deb.ErrFormat) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Cut off anywhere, a package never reads as a whole one.
func TestCutOff(t *testing.T) {
	for _, compression := range []string{".xz", ".zst", ".gz", ""} {
		good := kerneltest.Deb(t, compression, kerneltest.File{Name: "a", Data: "some bytes"}, kerneltest.File{Name: "b", Data: "more"})
		for n := range len(good) - 1 { // the last may be padding
			if _, err := read(good[:n], all); err == nil {
				t.Fatalf("%q: read %d of %d bytes without an error", compression, n, len(good))
			}
		}
	}
}

var errStop = errors.New("stop")

func TestStop(t *testing.T) {
	err := deb.Files(bytes.NewReader(kerneltest.Deb(t, "", kerneltest.File{Name: "a"})), all,
		func(string, int64, io.Reader) error { return errStop })
	if err != errStop {
		t.Errorf("got %v", err)
	}
}

// Whatever the package, names that are handed on stay in the tree.
func checkNames(t *testing.T, data []byte) {
	err := deb.Files(bytes.NewReader(data), all, func(name string, size int64, r io.Reader) error {
		if !path.IsAbs("/"+name) || path.Clean("/"+name) != "/"+name || name == "." || strings.HasPrefix(name, "../") || size < 0 {
			t.Fatalf("name %q, size %d", name, size)
		}
		_, err := io.Copy(io.Discard, io.LimitReader(r, 1<<20))
		return err
	})
	if err != nil && strings.Contains(err.Error(), "\x00") {
		t.Fatalf("error %q", err)
	}
}

func FuzzFiles(f *testing.F) {
	for _, compression := range []string{".xz", ".zst", ".gz", ""} {
		f.Add(kerneltest.Deb(f, compression, kerneltest.File{Name: "./boot/vmlinuz", Data: "x"}, kerneltest.File{Name: "l", Link: "boot"}))
	}
	f.Add([]byte("!<arch>\n"))
	f.Fuzz(checkNames)
}

// FuzzMembers puts arbitrary tar members into a package that is otherwise good.
func FuzzMembers(f *testing.F) {
	f.Add(kerneltest.Tar(f, kerneltest.File{Name: "./boot/vmlinuz", Data: "x"}, kerneltest.File{Name: "../x", Data: "y"}))
	f.Add(kerneltest.Tar(f, kerneltest.File{Name: "a", Link: "/etc/passwd"}))
	f.Fuzz(func(t *testing.T, data []byte) {
		var b bytes.Buffer
		b.WriteString("!<arch>\n")
		kerneltest.Member(&b, "debian-binary", []byte("2.0\n"))
		kerneltest.Member(&b, "data.tar", data)
		checkNames(t, b.Bytes())
	})
}
