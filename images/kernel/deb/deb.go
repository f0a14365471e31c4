// Package deb reads the files of a Debian binary package as a stream: nothing
// is written, and no more than a block is held in memory.
//
// A package is outside data even when a signed index vouches for it: a name
// that leaves the tree, a link that does, or an absurd size is an error.
package deb

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/ctmatrix/ctmatrix/images/kernel/unpack"
)

// Limits of a package. The largest kernel packages have some 500 MB in 5000
// files.
const (
	maxFile    = 1 << 30
	maxTotal   = 8 << 30
	maxMembers = 200_000
	maxName    = 4096
	maxTail    = 1 << 20
)

// ErrFormat: the file is not a package, or one that no honest tool writes.
var ErrFormat = errors.New("malformed package")

// Files reads the package r and calls each for every regular file for which
// want returns true, in the order of the package. Names are slash-separated,
// clean and relative: "boot/vmlinuz-6.1.0-56-cloud-amd64". The reader is valid
// until each returns; size is its length. want is told whether the name is a
// regular file: to want another is an error. An error from each ends the reading and is returned as is.
func Files(r io.Reader, want func(name string, regular bool) bool, each func(name string, size int64, r io.Reader) error) error {
	return members(r, false, func(name string, h *tar.Header, r io.Reader) error {
		if h.Typeflag == tar.TypeDir || !want(name, h.Typeflag == tar.TypeReg) {
			return nil
		}
		if h.Typeflag != tar.TypeReg {
			return fmt.Errorf("%w: %s is not a regular file", ErrFormat, name)
		}
		return each(name, h.Size, r)
	})
}

// members reads the package r and calls each for every member of its tree but
// the root. Links may be absolute only where the tree will be a root.
func members(r io.Reader, root bool, each func(name string, h *tar.Header, r io.Reader) error) error {
	a, err := newArchive(r)
	if err != nil {
		return err
	}
	if err := a.version(); err != nil {
		return err
	}
	for {
		name, err := a.next()
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("%w: no data.tar", ErrFormat)
		}
		if err != nil {
			return err
		}
		if strings.HasPrefix(name, "data.tar") {
			if err := data(name, a.member(), root, each); err != nil {
				return err
			}
			if a.body.N > 0 {
				return fmt.Errorf("%w: %s is cut off", ErrFormat, name)
			}
			return nil
		}
	}
}

// data reads the member that holds the files.
func data(name string, r io.Reader, root bool, each func(string, *tar.Header, io.Reader) error) error {
	switch path.Ext(name) {
	case ".tar", ".xz", ".zst", ".gz":
	default:
		return fmt.Errorf("%w: %s is compressed in an unknown way", ErrFormat, name)
	}
	plain, err := unpack.Reader(name, r)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	defer plain.Close() // only reads

	var total int64
	t := tar.NewReader(io.LimitReader(plain, maxTotal+1))
	for n := 0; ; n++ {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return drain(name, plain, r)
		}
		if err != nil {
			return fmt.Errorf("%w: %s: %w", ErrFormat, name, err)
		}
		clean, err := check(h, root)
		if err != nil {
			return err
		}
		total += h.Size
		if n >= maxMembers || total > maxTotal {
			return fmt.Errorf("%w: %s holds too much", ErrFormat, name)
		}
		if clean == "." {
			continue
		}
		if err := each(clean, h, t); err != nil {
			return err
		}
	}
}

// drain reads what follows the last file, so that the checksum at the end of a
// compressed stream is looked at too.
func drain(name string, plain, member io.Reader) error {
	for _, r := range []io.Reader{plain, member} {
		n, err := io.Copy(io.Discard, io.LimitReader(r, maxTail+1))
		if err != nil {
			return fmt.Errorf("%w: end of %s: %w", ErrFormat, name, err)
		}
		if n > maxTail {
			return fmt.Errorf("%w: %s goes on after its end", ErrFormat, name)
		}
	}
	return nil
}

// check returns the clean name of a tar member, or an error where it, its size
// or the target of its link is not to be trusted.
func check(h *tar.Header, root bool) (string, error) {
	if len(h.Name) > maxName || strings.ContainsAny(h.Name, "\x00\n") {
		return "", fmt.Errorf("%w: a name of %d bytes", ErrFormat, len(h.Name))
	}
	if !inside(h.Name) {
		return "", fmt.Errorf("%w: %q leaves the tree", ErrFormat, h.Name)
	}
	if h.Size < 0 || h.Size > maxFile {
		return "", fmt.Errorf("%w: %q has %d bytes", ErrFormat, h.Name, h.Size)
	}
	clean := path.Clean(h.Name)
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeDir:
	case tar.TypeSymlink:
		if path.IsAbs(h.Linkname) && root {
			break
		}
		if path.IsAbs(h.Linkname) || !inside(path.Join(path.Dir(clean), h.Linkname)) {
			return "", fmt.Errorf("%w: link %q leaves the tree for %q", ErrFormat, clean, h.Linkname)
		}
	case tar.TypeLink:
		if !inside(h.Linkname) {
			return "", fmt.Errorf("%w: link %q leaves the tree for %q", ErrFormat, clean, h.Linkname)
		}
	default:
		return "", fmt.Errorf("%w: %q is a special file", ErrFormat, clean)
	}
	return clean, nil
}

// inside reports whether a slash-separated name stays below its root.
func inside(name string) bool {
	if name == "" || path.IsAbs(name) {
		return false
	}
	clean := path.Clean(name)
	return clean != ".." && !strings.HasPrefix(clean, "../")
}
