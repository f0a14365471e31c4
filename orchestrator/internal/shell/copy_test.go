package shell

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ctmatrix/ctmatrix/orchestrator/internal/remote"
)

// here runs a guest's commands on the host, with directories below its own in
// place of the guest's.
type here struct{ dir string }

func (h here) Do(ctx context.Context, r remote.Request) error {
	argv := append([]string{}, r.Argv...)
	for i, w := range argv {
		if strings.HasPrefix(w, "/") {
			argv[i] = filepath.Join(h.dir, w)
		}
	}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = r.Stdin, r.Stdout, r.Stderr
	return cmd.Run()
}

// write writes files, and links where the content begins with an arrow.
func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, data := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if target, ok := strings.CutPrefix(data, "→"); ok {
			err = os.Symlink(target, path)
		} else {
			err = os.WriteFile(path, []byte(data), 0o640)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// tree reads what write wrote.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	got := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if d.Type()&fs.ModeSymlink != 0 {
			target, err := os.Readlink(path)
			got[rel] = "→" + target
			return err
		}
		data, err := os.ReadFile(path)
		got[rel] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func same(t *testing.T, got, want map[string]string) {
	t.Helper()
	for name := range want {
		if got[name] != want[name] {
			t.Errorf("%s is %q, want %q", name, got[name], want[name])
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d files, want %d: %q", len(got), len(want), got)
	}
}

func TestCopy(t *testing.T) {
	host, guest := t.TempDir(), here{t.TempDir()}
	files := map[string]string{"a": "one", "sub/b c": "two", "sub/deep/c": "", "link": "→sub/b c", "sub/up": "→../a"}
	write(t, host, files)
	m := Mount{Host: host, Guest: "/mnt/x", Back: true}
	if err := m.CopyIn(t.Context(), guest, 1<<20, func(s string) { t.Error(s) }); err != nil {
		t.Fatal(err)
	}
	same(t, tree(t, filepath.Join(guest.dir, "mnt/x")), files)

	write(t, filepath.Join(guest.dir, "mnt/x"), map[string]string{"a": "changed", "new/d": "three"})
	if err := m.CopyOut(t.Context(), guest, 1<<20); err != nil {
		t.Fatal(err)
	}
	files["a"], files["new/d"] = "changed", "three"
	same(t, tree(t, host), files)

	out := t.TempDir()
	if err := (Get{"/mnt/x/sub", filepath.Join(out, "took")}).CopyOut(t.Context(), guest, 1<<20); err == nil || !errors.Is(err, ErrHostile) {
		t.Errorf("a link out of what was asked for: %v", err)
	}
	if err := (Get{"/mnt/x/new", filepath.Join(out, "new")}).CopyOut(t.Context(), guest, 1<<20); err != nil {
		t.Error(err)
	}
	if err := (Get{"/mnt/x/a", out}).CopyOut(t.Context(), guest, 1<<20); err != nil {
		t.Error(err)
	}
	if got := tree(t, out); got["new/d"] != "three" || got["a"] != "changed" {
		t.Errorf("%q", got)
	}
	if err := (Get{"/mnt/x/none", filepath.Join(out, "none")}).CopyOut(t.Context(), guest, 1<<20); err == nil || !strings.Contains(err.Error(), "none") {
		t.Errorf("nothing there: %v", err)
	}
}

func TestCopyInTooLarge(t *testing.T) {
	host := t.TempDir()
	write(t, host, map[string]string{"a": strings.Repeat("x", 2000)})
	err := Mount{Host: host, Guest: "/mnt/x"}.CopyIn(t.Context(), here{t.TempDir()}, 1000, func(string) {})
	if !errors.Is(err, errTooLarge) || !strings.Contains(err.Error(), "--memory") {
		t.Error(err)
	}
}

// archive makes what a guest may send.
func archive(t testing.TB, headers ...tar.Header) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		data := strings.Repeat("x", int(h.Size))
		if h.Mode == 0 {
			h.Mode = 0o644
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(data)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestHostile(t *testing.T) {
	file := func(name string) tar.Header { return tar.Header{Name: name, Typeflag: tar.TypeReg, Size: 1} }
	link := func(name, to string) tar.Header {
		return tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: to}
	}
	for name, members := range map[string][]tar.Header{
		"up":                 {file("../x")},
		"up below":           {file("a/../../x")},
		"absolute":           {file("/tmp/x")},
		"control characters": {file("a\x1b]0;x\x07")},
		"absolute link":      {link("l", "/etc")},
		"link up":            {link("l", "..")},
		"link up below":      {link("a/l", "../../x")},
		"through a link":     {link("l", "a"), file("l/x")},
		"steps down and up":  {{Name: "s/", Typeflag: tar.TypeDir, Mode: 0o755}, link("s/d", "."), link("s/l", "d/../../x")},
		"device":             {{Name: "d", Typeflag: tar.TypeChar}},
		"fifo":               {{Name: "d", Typeflag: tar.TypeFifo}},
		"hard link":          {file("a"), {Name: "h", Typeflag: tar.TypeLink, Linkname: "a"}},
		"too much":           {{Name: "a", Typeflag: tar.TypeReg, Size: 2000}},
	} {
		t.Run(name, func(t *testing.T) {
			parent := t.TempDir()
			dir := filepath.Join(parent, "dir")
			if err := os.MkdirAll(filepath.Join(dir, "a"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.RemoveAll(filepath.Join(dir, "a")); err != nil {
				t.Fatal(err)
			}
			root, err := os.OpenRoot(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer root.Close()
			u := unpacker{root: root, base: ".", name: ".", left: 1000, limit: 1000}
			if err := u.unpack(bytes.NewReader(archive(t, members...))); !errors.Is(err, ErrHostile) {
				t.Errorf("%v", err)
			}
			left, err := os.ReadDir(parent)
			if err != nil || len(left) != 1 {
				t.Errorf("%v beside the directory, %v", left, err)
			}
		})
	}
}

// Set-id bits do not come along.
func TestModes(t *testing.T) {
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	u := unpacker{root: root, base: "b", name: "n", left: 10, limit: 10}
	if err := u.unpack(bytes.NewReader(archive(t, tar.Header{Name: "b", Typeflag: tar.TypeReg, Mode: 0o4755}))); err != nil {
		t.Fatal(err)
	}
	info, err := root.Stat("n")
	if err != nil || info.Mode()&^0o777 != 0 || info.Mode()&0o100 == 0 {
		t.Errorf("%v, %v", info, err)
	}
}

// Whatever a guest sends, nothing comes to lie outside, and no link leads there.
func FuzzUnpack(f *testing.F) {
	f.Add(archive(f, tar.Header{Name: "a/b", Typeflag: tar.TypeReg, Size: 3}, tar.Header{Name: "l", Typeflag: tar.TypeSymlink, Linkname: "a/b"}))
	f.Add(archive(f, tar.Header{Name: "l", Typeflag: tar.TypeSymlink, Linkname: "."}, tar.Header{Name: "l/../../x", Typeflag: tar.TypeReg}))
	f.Fuzz(func(t *testing.T, data []byte) {
		parent := t.TempDir()
		if err := os.Mkdir(filepath.Join(parent, "dir"), 0o755); err != nil {
			t.Fatal(err)
		}
		root, err := os.OpenRoot(filepath.Join(parent, "dir"))
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		u := unpacker{root: root, base: ".", name: ".", left: 1 << 16, limit: 1 << 16}
		_ = u.unpack(bytes.NewReader(data)) // most of it is refused
		if left, err := os.ReadDir(parent); err != nil || len(left) != 1 {
			t.Fatalf("%v beside the directory, %v", left, err)
		}
		err = filepath.WalkDir(filepath.Join(parent, "dir"), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.Type()&fs.ModeSymlink == 0 {
				return err
			}
			if to, err := filepath.EvalSymlinks(path); err == nil && !strings.HasPrefix(to+"/", parent+"/dir/") {
				t.Fatalf("%s leads to %s", path, to)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}
