package lab

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// What files say is taken apart again when it changed, and only then.
func TestTexts(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(path(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	texts := texts{kinds: []Kind{KindSockets}}
	defer texts.close()
	for _, name := range []string{"a", "b"} {
		write(name, "TCP: inuse 0\n")
		f, err := watch(name, path(name))
		if err != nil {
			t.Fatal(err)
		}
		texts.files = append(texts.files, f)
	}
	understood := 0
	read := func() *State {
		t.Helper()
		s := &State{}
		err := texts.read(s, func(s *State) {
			understood++
			for _, f := range texts.files {
				countSockets(s, strings.Fields(f.value))
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	clean := read()
	read()
	if understood != 1 {
		t.Errorf("understood %d times what did not change", understood)
	}
	write("b", "TCP: inuse 7\n")
	if got, want := Diff(clean, read()).String(), "7 TCP sockets"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := Diff(clean, read()).String(); got != "7 TCP sockets" {
		t.Errorf("the second time %q", got)
	}
	write("b", "TCP: inuse 0\n")
	if got := Diff(clean, read()).String(); got != "" {
		t.Errorf("clean again, but %q", got)
	}
}

// A file at a number that another had before is another one, whatever it is.
func TestReadFiles(t *testing.T) {
	files, err := openDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(files)
	w := &Witness{files: files}
	read := func() *State {
		t.Helper()
		s := &State{}
		if err := w.readFiles(s); err != nil {
			t.Fatal(err)
		}
		return s
	}
	open := func(path string) int {
		t.Helper()
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		return fd
	}
	fd := open("/proc/self/status")
	clean := read()
	if got := Diff(clean, read()); len(got) != 0 {
		t.Errorf("nothing happened, but %s", got)
	}
	other := open("/proc/self/stat")
	if got := Diff(clean, read()); len(got) != 1 || !strings.HasSuffix(got[0].String(), "/stat)") {
		t.Errorf("another file is open: %s", got)
	}
	if err := unix.Dup3(other, fd, unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	unix.Close(other)
	if got := Diff(clean, read()); len(got) != 2 {
		t.Errorf("one file has the number of another: %s", got)
	}
	// These share an inode, and one of them is no trace.
	for _, wrap := range []struct {
		make func() (int, error)
		want int
	}{
		{func() (int, error) { return unix.Eventfd(0, unix.EFD_CLOEXEC) }, 0},
		{func() (int, error) { return unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC) }, 1},
	} {
		made, err := wrap.make()
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.Dup3(made, fd, unix.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		unix.Close(made)
		if got := len(read()[KindFile]) - len(clean[KindFile]) + 1; got != wrap.want {
			t.Errorf("%d files of one at which the name must be read, want %d", got, wrap.want)
		}
	}
	unix.Close(fd)
}
