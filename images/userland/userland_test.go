package userland

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cavaliergopher/cpio"

	"github.com/ctmatrix/ctmatrix/images/kernel"
	"github.com/ctmatrix/ctmatrix/images/kernel/kerneltest"
)

// shop offers made-up packages, and counts what is taken.
type shop struct {
	debs  map[string][]byte
	taken atomic.Int32
	fails error
}

func (s *shop) Packages(_ context.Context, sel kernel.Selection) ([]kernel.Package, error) {
	var all []kernel.Package
	for _, name := range []string{"one", "two"} {
		sum := sha256.Sum256(s.debs[name])
		all = append(all, kernel.Package{Name: name, Version: "1", Size: int64(len(s.debs[name])), SHA256: hex.EncodeToString(sum[:])})
	}
	if len(sel.Names) != len(roots) || len(sel.Without) != len(without) {
		return nil, errors.New("another selection")
	}
	return all, nil
}

func (s *shop) Download(_ context.Context, p kernel.Package, w io.Writer) error {
	if s.fails != nil {
		return s.fails
	}
	s.taken.Add(1)
	_, err := w.Write(s.debs[p.Name])
	return err
}

// silent is a progress that sums up.
type silent struct{ total, got int64 }

func (s *silent) Start(_ string, total int64) kernel.Task { s.total = total; return s }
func (s *silent) Add(n int64)                             { s.got += n }
func (s *silent) Done(error)                              {}

func newShop(t *testing.T) *shop {
	return &shop{debs: map[string][]byte{
		"one": kerneltest.Deb(t, ".xz",
			kerneltest.File{Name: "./bin/tool", Data: "program"},
			kerneltest.File{Name: "./usr/bin/same", Link: "/bin/tool"},
			kerneltest.File{Name: "./usr/share/doc/one/copyright", Data: "text"},
			kerneltest.File{Name: "./usr/sbin/modprobe", Data: "not the one that loads modules here"}),
		"two": kerneltest.Deb(t, ".zst", kerneltest.File{Name: "./usr/lib/x86_64-linux-gnu/libtwo.so.2", Data: "library"}),
	}}
}

// members are an archive's files with their content, or link.
func members(t *testing.T, layer []byte) map[string]string {
	t.Helper()
	got := map[string]string{}
	for r := cpio.NewReader(bytes.NewReader(layer)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return got
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if got[h.Name] = string(data); h.Linkname != "" {
			got[h.Name] = "→" + h.Linkname
		}
	}
}

func TestLayer(t *testing.T) {
	s, told := newShop(t), &silent{}
	c := Cache{Dir: t.TempDir(), Progress: told}
	l, err := c.Layer(t.Context(), s)
	if err != nil || !l.Made || told.total != told.got || told.got != l.Downloaded() {
		t.Fatalf("%v, made %v, told %+v", err, l.Made, told)
	}
	got := members(t, l.Layer)
	for name, want := range map[string]string{
		"usr/bin/tool": "program", "usr/bin/same": "→/bin/tool", "usr/sbin/modprobe": "→/init", "bin": "→usr/bin",
		"usr/lib/x86_64-linux-gnu/libtwo.so.2": "library", "etc/ctmatrix/bashrc": bashrc,
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
	for _, name := range []string{"usr/share/doc/one/copyright", "bin/tool", "lib"} {
		if data, ok := got[name]; ok && (name != "lib" || data != "") {
			t.Errorf("%s is there: %q", name, data)
		}
	}
	again, err := c.Layer(t.Context(), s)
	if err != nil || again.Made || s.taken.Load() != 2 || !bytes.Equal(again.Layer, l.Layer) {
		t.Errorf("again: %v, made %v, %d packages taken", err, again.Made, s.taken.Load())
	}
}

// A layer that has changed is never booted.
func TestDamaged(t *testing.T) {
	s := newShop(t)
	c := Cache{Dir: t.TempDir(), Progress: &silent{}}
	l, err := c.Layer(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(c.Dir, "kernels", "*", layerFile))
	if err != nil || len(files) != 1 {
		t.Fatalf("%q, %v", files, err)
	}
	changed := bytes.Clone(l.Layer)
	changed[len(changed)/2] ^= 1
	if err := os.WriteFile(files[0], changed, 0o600); err != nil {
		t.Fatal(err)
	}
	again, err := c.Layer(t.Context(), s)
	if err != nil || !again.Made || !bytes.Equal(again.Layer, l.Layer) {
		t.Errorf("%v, made anew %v", err, again.Made)
	}
}

func TestLayerErrors(t *testing.T) {
	s := newShop(t)
	c := Cache{Dir: t.TempDir(), Progress: &silent{}}
	s.fails = kernel.ErrCorrupt
	if _, err := c.Layer(t.Context(), s); !errors.Is(err, kernel.ErrCorrupt) {
		t.Errorf("corrupt: %v", err)
	}
	s.fails = nil
	s.debs["two"] = kerneltest.Deb(t, "", kerneltest.File{Name: "./usr/bin/tool", Data: "x"})
	if _, err := c.Layer(t.Context(), s); err == nil || !strings.Contains(err.Error(), "usr/bin/tool is in one too") {
		t.Errorf("in two packages: %v", err)
	}
	s.debs["two"] = kerneltest.Deb(t, "", kerneltest.File{Name: "../x", Data: "x"})
	if _, err := c.Layer(t.Context(), s); err == nil {
		t.Error("a file outside of the tree was taken")
	}
	if left, err := filepath.Glob(filepath.Join(c.Dir, "tmp", "*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
}
