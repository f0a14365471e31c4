package store

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// Doc returns a small file, or nil where there is none. It counts as used then.
func (s *Store) Doc(kind, name string) []byte {
	if !plainName.MatchString(kind) || !plainName.MatchString(name) {
		return nil
	}
	path := filepath.Join(s.dir, "docs", kind, name)
	data, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	_ = os.Chtimes(path, time.Time{}, time.Now()) // for GC, as in Get
	return data
}

// DocFile is the path of a small file that PutDoc kept.
func (s *Store) DocFile(kind, name string) string { return filepath.Join(s.dir, "docs", kind, name) }

// PutDoc keeps a small file that can be made again. Whoever reads it at the
// same time sees the old or the new one.
func (s *Store) PutDoc(kind, name string, data []byte) error {
	if !plainName.MatchString(kind) || !plainName.MatchString(name) {
		return fmt.Errorf("store document %s/%s: not plain names", kind, name)
	}
	if err := s.mkdirs(filepath.Join("docs", kind), "tmp"); err != nil {
		return err
	}
	return s.replace(filepath.Join("docs", kind, name), data)
}

// replace writes a file through a temporary one.
func (s *Store) replace(name string, data []byte) (err error) {
	f, err := os.CreateTemp(filepath.Join(s.dir, "tmp"), "doc-")
	if err != nil {
		return s.unwritable(err)
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	_, err = f.Write(data)
	if err == nil {
		err = f.Chmod(0o644)
	}
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(s.dir, name))
	}
	if err != nil {
		return s.unwritable(err)
	}
	return nil
}

// syncTree puts a tree of some hundred files on the disk. One call for the file
// system is ten times faster than one per file.
func syncTree(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	defer f.Close() // only synced
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	return nil
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	defer f.Close() // only synced
	if err := f.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	return nil
}
