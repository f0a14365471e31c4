package initramfs

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"path"
	"slices"
	"strings"
)

// The archive format is "newc" of Documentation/driver-api/early-userspace/
// buffer-format.rst, the one that the kernel unpacks.

const (
	magic   = "070701"
	trailer = "TRAILER!!!"
)

// The bits of a mode that say what a file is.
const (
	modeDir  = 0o040000
	modeFile = 0o100000
	modeLink = 0o120000
	modeChar = 0o020000
)

// file is one member of an archive.
type file struct {
	name         string // without a leading slash
	mode         uint32 // type and permissions
	data         []byte
	major, minor uint32 // of a device node
}

func regular(name string, perm uint32, data []byte) file {
	return file{name: name, mode: modeFile | perm, data: data}
}

// archive encodes files, and the directories that they lie in, sorted by name.
// Everything belongs to root and is of the epoch; inodes are counted from 1.
func archive(files []file) (Layer, error) {
	files = withDirs(files)
	size := 0
	for _, f := range files {
		size += 256 + len(f.name) + len(f.data)
	}
	b := bytes.NewBuffer(make([]byte, 0, size))
	for i, f := range files {
		if i > 0 && files[i-1].name == f.name {
			return nil, fmt.Errorf("archive %s: it is there twice", f.name)
		}
		if uint64(len(f.data)) > math.MaxUint32 {
			return nil, fmt.Errorf("archive %s: %d bytes are more than the format can say", f.name, len(f.data))
		}
		member(b, f, i+1)
	}
	member(b, file{name: trailer}, 0)
	return b.Bytes(), nil
}

func member(b *bytes.Buffer, f file, inode int) {
	links := 1
	if f.mode&modeDir != 0 {
		links = 2
	}
	// ino, mode, uid, gid, nlink, mtime, filesize, device (major, minor), node
	// (major, minor), name size, checksum
	fmt.Fprintf(b, "%s%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X", magic,
		inode, f.mode, 0, 0, links, 0, len(f.data), 0, 0, f.major, f.minor, len(f.name)+1, 0)
	b.WriteString(f.name)
	b.WriteByte(0)
	pad(b)
	b.Write(f.data)
	pad(b)
}

// pad fills up to a multiple of four bytes: members must start there, and so
// must the next archive.
func pad(b *bytes.Buffer) { b.Write(make([]byte, -b.Len()&3)) }

// withDirs adds the directories above files and sorts all by name, which puts
// every directory before what lies in it.
func withDirs(files []file) []file {
	all := slices.Clone(files)
	seen := map[string]bool{}
	for _, f := range files {
		if f.mode&modeDir != 0 {
			seen[f.name] = true
		}
	}
	for _, f := range files {
		for d := path.Dir(f.name); d != "." && d != "/" && !seen[d]; d = path.Dir(d) {
			seen[d] = true
			all = append(all, directory(d))
		}
	}
	slices.SortStableFunc(all, func(a, b file) int { return cmp.Compare(a.name, b.name) })
	return all
}

func directory(name string) file { return file{name: name, mode: modeDir | 0o755} }

// inImage is the archive's name of a path in the guest.
func inImage(p string) string { return strings.TrimPrefix(p, "/") }
