package deb

import (
	"archive/tar"
	"io"
	"path"
)

// Kind is what a member of a package is.
type Kind int

// The kinds.
const (
	Regular  Kind = iota
	Dir           // a directory
	Symlink       // Link is its text, which may be absolute
	Hardlink      // Link is another member's name
)

// Member is a file, a directory or a link in a package.
type Member struct {
	Name string // slash-separated, clean and relative
	Kind Kind
	Perm uint32 // permissions, with set-id and sticky bits
	Size int64
	Link string
}

// Walk reads the package r, whose tree is to be a root, and calls each for every
// member in the order of the package. The reader is valid until each returns. An
// error from each ends the reading and is returned as is.
func Walk(r io.Reader, each func(m Member, r io.Reader) error) error {
	return members(r, true, func(name string, h *tar.Header, r io.Reader) error {
		m := Member{Name: name, Perm: uint32(h.Mode) & 0o7777, Size: h.Size}
		switch h.Typeflag {
		case tar.TypeDir:
			m.Kind = Dir
		case tar.TypeSymlink:
			m.Kind, m.Link = Symlink, h.Linkname
		case tar.TypeLink:
			m.Kind, m.Link = Hardlink, path.Clean(h.Linkname)
		default: // check lets nothing else through
			m.Kind = Regular
		}
		return each(m, r)
	})
}
