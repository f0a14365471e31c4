package userland

import (
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/ctmatrix/ctmatrix/images/initramfs"
	"github.com/ctmatrix/ctmatrix/images/kernel/deb"
)

// maxLayer bounds what is unpacked: all of it is in the guest's memory.
const maxLayer = 512 << 20

var errTooMuch = fmt.Errorf("more than %d MiB of files", maxLayer>>20)

// tree collects the files of packages.
type tree struct {
	files []initramfs.File
	from  map[string]string // by name of the file, which package has it
	size  int64
}

// add adds a package's files. One that another package has too is an error:
// which of them counts, only a package manager knows.
func (t *tree) add(name string, r io.Reader) error {
	return deb.Walk(r, func(m deb.Member, r io.Reader) error {
		m.Name = merged(m.Name)
		if m.Kind == deb.Dir || isLeft(m.Name) {
			return nil
		}
		if slices.ContainsFunc(links, func(l struct{ name, target string }) bool { return l.name == m.Name }) {
			return nil
		}
		if other, ok := t.from[m.Name]; ok {
			return fmt.Errorf("%s is in %s too", m.Name, other)
		}
		t.from[m.Name] = name
		f := initramfs.File{Name: m.Name, Perm: m.Perm}
		switch m.Kind {
		case deb.Symlink:
			f.Link = m.Link
		case deb.Hardlink:
			f.Link = "/" + merged(m.Link)
		default:
			if t.size += m.Size; t.size > maxLayer {
				return errTooMuch
			}
			f.Data = make([]byte, m.Size)
			if _, err := io.ReadFull(r, f.Data); err != nil {
				return fmt.Errorf("read %s: %w", m.Name, err)
			}
		}
		t.files = append(t.files, f)
		return nil
	})
}

// merged is a file's name where /bin and its like are links into /usr.
func merged(name string) string {
	first, _, _ := strings.Cut(name, "/")
	switch first {
	case "bin", "sbin", "lib", "lib64":
		return path.Join("usr", name)
	}
	return name
}

// layer adds what no package has and packs everything.
func (t *tree) layer() (initramfs.Layer, error) {
	if len(t.files) == 0 {
		return nil, errors.New("the packages hold no files")
	}
	for _, l := range links {
		t.files = append(t.files, initramfs.File{Name: l.name, Link: l.target})
	}
	for _, x := range texts {
		t.files = append(t.files, initramfs.File{Name: x.name, Perm: 0o644, Data: []byte(x.text)})
	}
	return initramfs.Files(t.files)
}
