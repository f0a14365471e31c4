package store

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// workName begins the names of directories in which entries are made. Whoever
// makes one holds a lock on it, and the kernel lets go of that when the process
// ends, however that comes about.
const workName = "making-"

// workplace makes a directory to make an entry in, and clears away those of
// processes that were killed: a guest that was half saved takes as much as its
// memory. The directory is locked until held is closed.
func (s *Store) workplace() (dir string, held *os.File, err error) {
	tmp := filepath.Join(s.dir, "tmp")
	// One at a time: a directory that was just made is not locked yet.
	all, err := lockDir(tmp, 0)
	if err != nil {
		return "", nil, err
	}
	defer all.Close() // only a lock
	if err := sweepDead(tmp); err != nil {
		return "", nil, err
	}
	if dir, err = os.MkdirTemp(tmp, workName); err != nil {
		return "", nil, err
	}
	held, err = lockDir(dir, 0)
	return dir, held, err
}

// sweepDead removes the directories in tmp that nobody holds.
func sweepDead(tmp string) error {
	names, err := readNames(tmp)
	if err != nil {
		return err
	}
	for _, n := range names {
		if !strings.HasPrefix(n, workName) {
			continue
		}
		dir := filepath.Join(tmp, n)
		lock, err := lockDir(dir, unix.LOCK_NB)
		if err != nil {
			continue // in use, or gone by now
		}
		err = os.RemoveAll(dir)
		lock.Close() // only a lock
		if err != nil {
			return err
		}
	}
	return nil
}

// lockDir locks a directory for as long as it is open.
func lockDir(dir string, how int) (*os.File, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	for {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|how)
		if err != unix.EINTR {
			break
		}
	}
	if err != nil {
		f.Close() // only a lock
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return f, nil
}
