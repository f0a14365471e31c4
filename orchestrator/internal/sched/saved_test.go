package sched

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ctmatrix/ctmatrix/images/initramfs"
)

// fakeSaver makes guests of which only the RAM tells one from another, and counts.
type fakeSaver struct{ saved int }

func (f *fakeSaver) save(_ context.Context, dir string) error {
	f.saved++
	for _, name := range []string{savedRAM, savedState, savedConsole} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name+" of a guest"), 0o600); err != nil {
			return err
		}
	}
	return nil
}

func get(t *testing.T, s *savedGuests, f *fakeSaver) string {
	t.Helper()
	dir, err := s.get(t.Context(), "key", f.save)
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestSavedGuestIsKept(t *testing.T) {
	cache, f := t.TempDir(), &fakeSaver{}
	for range 2 { // two processes
		s, err := openSaved(cache)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			data, err := os.ReadFile(filepath.Join(get(t, s, f), savedRAM))
			if err != nil || string(data) != "ram of a guest" {
				t.Errorf("RAM %q, %v", data, err)
			}
		}
	}
	if f.saved != 1 {
		t.Errorf("saved %d times", f.saved)
	}
}

// What was saved is looked at before it is used: whatever became of it on the
// disk, no table comes of it.
func TestSavedGuestIsVerified(t *testing.T) {
	for _, name := range []string{savedRAM, savedState} {
		for how, spoil := range map[string]func(path string) error{
			"changed": func(path string) error { return os.WriteFile(path, []byte(name+" of a ghost"), 0o600) },
			"short":   func(path string) error { return os.Truncate(path, 3) },
			"gone":    os.Remove,
		} {
			t.Run(name+" "+how, func(t *testing.T) {
				cache, f := t.TempDir(), &fakeSaver{}
				before, err := openSaved(cache)
				if err != nil {
					t.Fatal(err)
				}
				if err := spoil(filepath.Join(get(t, before, f), name)); err != nil {
					t.Fatal(err)
				}
				after, err := openSaved(cache)
				if err != nil {
					t.Fatal(err)
				}
				data, err := os.ReadFile(filepath.Join(get(t, after, f), name))
				if err != nil || string(data) != name+" of a guest" || f.saved != 2 {
					t.Errorf("after %d times of saving: %q, %v", f.saved, data, err)
				}
			})
		}
	}
}

// A guest that cannot be saved leaves nothing behind.
func TestSavingFails(t *testing.T) {
	cache, failed := t.TempDir(), errors.New("the guest hung")
	s, err := openSaved(cache)
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.get(t.Context(), "key", func(_ context.Context, dir string) error {
		return errors.Join(os.WriteFile(filepath.Join(dir, savedRAM), nil, 0o600), failed)
	})
	if !errors.Is(err, failed) {
		t.Errorf("%v, want %v", err, failed)
	}
	for _, dir := range []string{"kernels", "tmp"} {
		left, err := os.ReadDir(filepath.Join(guestDir(cache), dir))
		if err != nil || len(left) > 0 {
			t.Errorf("%s holds %v, %v", dir, left, err)
		}
	}
}

// The key of a saved guest changes with all that is in it.
func TestSavedKey(t *testing.T) {
	seen := map[string]string{}
	for name, change := range map[string]func(q *QEMU, i *Image, m *Machine){
		"nothing":  func(*QEMU, *Image, *Machine) {},
		"kernel":   func(_ *QEMU, i *Image, _ *Machine) { i.Digest = "other" },
		"layer":    func(_ *QEMU, i *Image, _ *Machine) { i.Layers[0][0]++ },
		"build":    func(q *QEMU, _ *Image, _ *Machine) { q.build = "other" },
		"machine":  func(_ *QEMU, _ *Image, m *Machine) { m.Machine = "pc" },
		"args":     func(_ *QEMU, _ *Image, m *Machine) { m.Args = []string{"-seed", "2"} },
		"appended": func(_ *QEMU, i *Image, _ *Machine) { i.Args = []string{"nosmt"} },
	} {
		q := &QEMU{build: "qemu of 10 bytes"}
		i := Image{Digest: "digest", Layers: []initramfs.Layer{{1, 2, 3, 4}}, Args: []string{"quiet"}}
		m := Machine{Machine: "q35", Args: []string{"-seed", "1"}}
		change(q, &i, &m)
		key := q.savedKey(i, m)
		if other, twice := seen[key]; twice {
			t.Errorf("another %s has the key of another %s", name, other)
		}
		seen[key] = name
	}
}

func TestTrimKeepsWhatIsUsed(t *testing.T) {
	s, err := openSaved(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	f := &fakeSaver{}
	get(t, s, f)
	if err := s.store.Trim(0, time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	if get(t, s, f); f.saved != 1 {
		t.Error("a guest in use was thrown away")
	}
	if err := s.store.Trim(0, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if get(t, s, f); f.saved != 2 {
		t.Error("a guest beyond the size was kept")
	}
}

func TestCopySparse(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{
		"nothing":     "",
		"little":      "abc",
		"zeros":       strings.Repeat("\x00", 3*sparseBlock+5),
		"a hole":      "a" + strings.Repeat("\x00", 300*sparseBlock) + "b" + strings.Repeat("\x00", 2*sparseBlock),
		"all of it":   strings.Repeat("x", 300*sparseBlock),
		"end of zero": strings.Repeat("x", sparseBlock+1) + strings.Repeat("\x00", 10),
	} {
		t.Run(name, func(t *testing.T) {
			from, err := os.Create(filepath.Join(dir, "from"))
			if err != nil {
				t.Fatal(err)
			}
			defer from.Close()
			if _, err := from.WriteString(content); err != nil {
				t.Fatal(err)
			}
			if err := copySparse(filepath.Join(dir, "to"), from); err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(filepath.Join(dir, "to"))
			if err != nil || string(got) != content {
				t.Errorf("%d bytes copied of %d, the same: %v, %v", len(got), len(content), string(got) == content, err)
			}
		})
	}
}
