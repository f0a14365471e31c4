// Package kerneltest serves made-up kernels from a made-up Debian mirror, with
// signatures of its own, for tests that must not need a network.
package kerneltest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// File is a member of a made-up package.
type File struct {
	Name string
	Data string
	Link string // target of a symbolic link; Data is not used then
	Type byte   // of tar; 0 means a regular file, or a link where Link is set
}

// Deb makes a package of the files, in their order. Compression is the ending
// of data.tar: ".xz", ".zst", ".gz" or "".
func Deb(t testing.TB, compression string, files ...File) []byte {
	t.Helper()
	var b bytes.Buffer
	b.WriteString("!<arch>\n")
	Member(&b, "debian-binary", []byte("2.0\n"))
	Member(&b, "control.tar.gz", Compress(t, ".gz", Tar(t)))
	Member(&b, "data.tar"+compression, Compress(t, compression, Tar(t, files...)))
	return b.Bytes()
}

// Member appends a member to an ar archive.
func Member(b *bytes.Buffer, name string, data []byte) {
	fmt.Fprintf(b, "%-16s%-12d%-6d%-6d%-8s%-10d`\n", name, 0, 0, 0, "100644", len(data))
	b.Write(data)
	if len(data)%2 == 1 {
		b.WriteByte('\n')
	}
}

// Tar makes a tar archive of the files.
func Tar(t testing.TB, files ...File) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		h := &tar.Header{Name: f.Name, Mode: 0o644, Size: int64(len(f.Data)), Typeflag: f.Type, Linkname: f.Link}
		if f.Type == 0 {
			h.Typeflag = tar.TypeReg
			if f.Link != "" {
				h.Typeflag = tar.TypeSymlink
			}
		}
		if h.Typeflag != tar.TypeReg {
			h.Size = 0
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		if _, err := io.WriteString(w, f.Data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Compress compresses data in the way of a file name's ending: ".xz", ".zst",
// ".gz"; any other leaves it as it is.
func Compress(t testing.TB, ending string, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser
	var err error
	switch ending {
	case ".xz":
		w, err = xz.NewWriter(&b)
	case ".zst":
		w, err = zstd.NewWriter(&b, zstd.WithEncoderConcurrency(1))
	case ".gz":
		w = gzip.NewWriter(&b)
	default:
		return data
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
