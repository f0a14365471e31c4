package kfile

import (
	"io/fs"

	"golang.org/x/sys/unix"
)

// Aside is the least number of an open file that stays open for as long as the agent
// runs, and is nobody else's business.
const Aside = 512

// PutAside gives an open file a number of Aside or more.
func PutAside(fd int) (int, error) {
	high, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, Aside)
	unix.Close(fd) // which nothing was written to
	return high, err
}

// Dir is a directory of sysfs of which it is to be known when something came or went.
// It is used by one goroutine.
type Dir struct {
	fd    int
	path  string
	timed bool
	is    unix.Stat_t // when it was last asked about
}

// OpenDir opens a directory. Its error is an *fs.PathError.
func OpenDir(path string) (*Dir, error) {
	fd, err := open(path, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	d := &Dir{path: path}
	if d.fd, err = PutAside(fd); err != nil {
		return nil, &fs.PathError{Op: "dup", Path: path, Err: err}
	}
	var is unix.Stat_t
	if err := unix.Fstat(d.fd, &is); err != nil {
		d.Close()
		return nil, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	d.timed = unix.Fchmod(d.fd, is.Mode&0o7777) == nil
	return d, nil
}

// Changed reports whether something may have come or gone since it was last asked, and
// the first time that it may have.
//
// The kernel keeps the time at which something last did, to the nanosecond, of a
// directory whose attributes were ever set (kernfs_add_one and __kernfs_remove in
// fs/kernfs/dir.c), which OpenDir did. Where it could not, something always may have.
func (d *Dir) Changed() (bool, error) {
	var is unix.Stat_t
	if err := unix.Fstat(d.fd, &is); err != nil {
		return true, &fs.PathError{Op: "stat", Path: d.path, Err: err}
	}
	changed := !d.timed || is.Mtim != d.is.Mtim || is.Nlink != d.is.Nlink
	d.is = is
	return changed, nil
}

// Close closes the directory.
func (d *Dir) Close() { _ = unix.Close(d.fd) } // nothing was written
