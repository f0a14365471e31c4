package kfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReadAndWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	for _, size := range []int{0, 1, 127, 128, 129, most, 3*most + 5} {
		want := strings.Repeat("x", size)
		if err := os.WriteFile(path, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := Read(path); err != nil || string(got) != want {
			t.Errorf("of %d bytes %d were read: %v", size, len(got), err)
		}
	}
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	if err := Write(path, "value"); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "value" {
		t.Errorf("%q was written: %v", got, err)
	}
}

func TestNothingThere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none")
	var where *fs.PathError
	if _, err := Read(path); !errors.Is(err, fs.ErrNotExist) || !errors.As(err, &where) || where.Path != path {
		t.Errorf("read: %v", err)
	}
	if err := Write(path, ""); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("write: %v", err)
	}
}

// What the kernel refuses is told by its errno: a directory cannot be read.
func TestRefused(t *testing.T) {
	if _, err := Read(t.TempDir()); err == nil || !strings.HasPrefix(err.Error(), "read ") {
		t.Errorf("read of a directory: %v", err)
	}
}
