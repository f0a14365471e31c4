package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/gofrs/flock"
	"golang.org/x/sys/unix"
)

// Usage is how a directory of stores stands.
type Usage struct {
	Bytes int64 // on the disk, of all that is in it
	Free  int64 // that this user may still write
	Held  int   // locks that processes hold: what is being made now
}

// Usage measures the store's directory, which must be there, with all that others
// keep below it. What is added or removed meanwhile is counted or not. The error
// says what cannot be asked, such as of a file system without locks.
func (s *Store) Usage() (Usage, error) {
	var u Usage
	var stat unix.Statfs_t
	if err := unix.Statfs(s.dir, &stat); err != nil {
		return u, fmt.Errorf("ask for the space of %s: %w", s.dir, err)
	}
	u.Free = int64(stat.Bavail) * stat.Bsize
	err := filepath.WalkDir(s.dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			err = u.add(path, d)
		}
		if errors.Is(err, fs.ErrNotExist) { // gone by now
			return nil
		}
		return err
	})
	if err != nil {
		return u, fmt.Errorf("measure %s: %w", s.dir, err)
	}
	return u, nil
}

func (u *Usage) add(path string, d fs.DirEntry) error {
	info, err := d.Info()
	if err != nil {
		return err
	}
	u.Bytes += roomOf(info)
	if filepath.Base(filepath.Dir(path)) != "locks" {
		return nil
	}
	held, err := isHeld(path)
	if held {
		u.Held++
	}
	return err
}

// roomOf is the room that a file takes on the disk: a guest's memory has holes.
func roomOf(info fs.FileInfo) int64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Blocks * 512
	}
	return info.Size()
}

// room is that of an entry's files, as far as they are there.
func (e *Entry) room() int64 {
	var n int64
	for _, f := range e.Files {
		if info, err := os.Stat(filepath.Join(e.Dir, f.Name)); err == nil {
			n += roomOf(info)
		}
	}
	return n
}

// isHeld reports whether somebody holds a lock. It is taken for a moment, for
// which whoever wants it waits.
func isHeld(path string) (bool, error) {
	lock := flock.New(path, flock.SetFlag(os.O_RDONLY))
	free, err := lock.TryLock()
	if err != nil {
		return false, fmt.Errorf("lock %s: %w", path, err)
	}
	return !free, lock.Close()
}
