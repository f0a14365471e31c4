package baseline

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Is reports whether a directory is there that holds a baseline, if perhaps a
// damaged one.
func Is(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, KernelsFile))
	return err == nil
}

// Read reads a baseline. What is damaged is a *Fault; where there is none, the
// error is fs.ErrNotExist. Files of other names are left alone.
func Read(dir string) (*Baseline, error) {
	files, err := load(dir)
	if err != nil {
		return nil, err
	}
	return Decode(dir, files)
}

// load reads the files of a baseline as they are, the kernels first.
func load(dir string) ([]File, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read baseline: %w", err)
	}
	names := []string{KernelsFile}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), rowsSuffix) {
			names = append(names, e.Name())
		}
	}
	var files []File
	for _, name := range names {
		data, err := readFile(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		files = append(files, File{name, data})
	}
	return files, nil
}

func readFile(name string) ([]byte, error) {
	info, err := os.Lstat(name)
	if err != nil {
		return nil, fmt.Errorf("read baseline: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, &Fault{File: name, Text: "is no regular file: " + anew}
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("read baseline: %w", err)
	}
	defer f.Close() // only read
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read baseline: %w", err)
	}
	return data, nil
}

// Write puts the baseline in the place of what the directory holds, at once: when
// it is cut short, the old one is there or the new one. Files in it that are no
// baseline's stay; a directory in it is an error. Where nothing differs, nothing
// is touched.
func (b *Baseline) Write(dir string) (err error) {
	files, err := b.Files()
	if err != nil {
		return err
	}
	if old, err := load(dir); err == nil && slices.EqualFunc(old, files, sameFile) {
		return nil
	}
	if dir, err = place(dir); err != nil {
		return fmt.Errorf("write baseline: %w", err)
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), "."+filepath.Base(dir)+"-*")
	if err != nil {
		return fmt.Errorf("write baseline: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	if err := os.Chmod(tmp, 0o755); err != nil {
		return fmt.Errorf("write baseline: %w", err)
	}
	for _, f := range files {
		if err := os.WriteFile(filepath.Join(tmp, f.Name), f.Data, 0o644); err != nil {
			return fmt.Errorf("write baseline: %w", err)
		}
	}
	if err := keepOthers(dir, tmp); err != nil {
		return fmt.Errorf("write baseline: %w", err)
	}
	if err := exchange(tmp, dir); err != nil {
		return fmt.Errorf("write baseline: %w", err)
	}
	return nil
}

func sameFile(x, y File) bool { return x.Name == y.Name && bytes.Equal(x.Data, y.Data) }

// place is the path of a directory without links, which is made up to its last
// part.
func place(dir string) (string, error) {
	real, err := filepath.EvalSymlinks(dir)
	if errors.Is(err, fs.ErrNotExist) {
		real = dir
	} else if err != nil {
		return "", err
	}
	if real, err = filepath.Abs(real); err != nil {
		return "", err
	}
	return real, os.MkdirAll(filepath.Dir(real), 0o777)
}

// keepOthers brings what is in a directory and no baseline's into another.
func keepOthers(from, to string) error {
	entries, err := os.ReadDir(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := e.Name()
		switch {
		case name == KernelsFile || strings.HasSuffix(name, rowsSuffix):
		case e.IsDir():
			return fmt.Errorf("%s: a directory: a baseline has one to itself, so move that or name another with --baseline", filepath.Join(from, name))
		default:
			if err := os.Link(filepath.Join(from, name), filepath.Join(to, name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// exchange puts a directory in the place of another, and that in its place. On a
// file system that cannot do so at once, the other is away for a moment.
func exchange(tmp, dir string) error {
	err := unix.Renameat2(unix.AT_FDCWD, tmp, unix.AT_FDCWD, dir, unix.RENAME_EXCHANGE)
	switch {
	case errors.Is(err, unix.ENOENT):
		return os.Rename(tmp, dir) // the first
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOSYS):
		old := tmp + ".old"
		if err := os.Rename(dir, old); err != nil {
			return err
		}
		if err := os.Rename(tmp, dir); err != nil {
			return errors.Join(err, os.Rename(old, dir))
		}
		return os.RemoveAll(old)
	case err != nil:
		return os.NewSyscallError("exchange directories", err)
	}
	return nil
}
