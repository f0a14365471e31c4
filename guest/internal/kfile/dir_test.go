package kfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestDir(t *testing.T) {
	path := t.TempDir()
	d, err := OpenDir(path)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if d.fd < Aside {
		t.Errorf("its number is %d", d.fd)
	}
	sub := filepath.Join(path, "module")
	for _, step := range []struct {
		what string
		do   func() error
		want bool
	}{
		{"the first time", func() error { return nil }, true},
		{"nothing", func() error { return nil }, false},
		{"one came", func() error { return os.Mkdir(sub, 0o700) }, true},
		{"nothing again", func() error { return nil }, false},
		{"one went and came", func() error { return errors.Join(os.Remove(sub), os.Mkdir(sub, 0o700)) }, true},
		{"one went", func() error { return os.Remove(sub) }, true},
	} {
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		if got, err := d.Changed(); got != step.want || err != nil {
			t.Errorf("%s: changed %v, %v", step.what, got, err)
		}
	}
	d.timed = false
	if got, err := d.Changed(); !got || err != nil {
		t.Errorf("without a time that can be trusted: changed %v, %v", got, err)
	}
}

func TestNoDir(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenDir(file); !errors.Is(err, unix.ENOTDIR) {
		t.Errorf("a file: %v", err)
	}
	var where *fs.PathError
	if _, err := OpenDir(file + "s"); !errors.Is(err, fs.ErrNotExist) || !errors.As(err, &where) {
		t.Errorf("nothing: %v", err)
	}
}
