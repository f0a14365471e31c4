package kernel

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// machine is one with the files, by name, which runs the kernel 6.9.1.
func machine(t *testing.T, files ...string) host {
	t.Helper()
	root := t.TempDir()
	for _, name := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return host{root: root, running: func() (string, error) { return "6.9.1", nil }, open: os.Open}
}

func TestHost(t *testing.T) {
	for name, c := range map[string]struct {
		ref   string
		files []string
		want  []string // image and config
	}{
		"debian":    {"", []string{"boot/vmlinuz-6.9.1", "boot/config-6.9.1", "usr/lib/modules/6.9.1/kernel/net/a.ko"}, []string{"boot/vmlinuz-6.9.1", "boot/config-6.9.1"}},
		"arch":      {"", []string{"boot/vmlinuz-linux", "lib/modules/6.9.1/vmlinuz", "lib/modules/6.9.1/kernel/net/a.ko.zst"}, []string{"lib/modules/6.9.1/vmlinuz"}},
		"fedora":    {"", []string{"usr/lib/modules/6.9.1/vmlinuz", "usr/lib/modules/6.9.1/config", "usr/lib/modules/6.9.1/kernel/net/a.ko.xz"}, []string{"usr/lib/modules/6.9.1/vmlinuz", "usr/lib/modules/6.9.1/config"}},
		"other one": {"6.8.2", []string{"boot/vmlinuz-6.9.1", "boot/vmlinuz-6.8.2", "lib/modules/6.8.2/kernel/net/a.ko"}, []string{"boot/vmlinuz-6.8.2"}},
	} {
		h := machine(t, c.files...)
		k, err := h.find(c.ref, "amd64")
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var got []string
		for _, f := range k.files {
			if f.dst == imageFile || f.dst == configFile {
				got = append(got, strings.TrimPrefix(f.path, h.root+"/"))
			}
		}
		if strings.Join(got, " ") != strings.Join(c.want, " ") {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
		if last := k.files[len(k.files)-1]; last.dst != "modules/kernel/net/a.ko" {
			t.Errorf("%s: last file %v, want the module", name, last)
		}
	}
}

// A kernel that is built anew while it is copied is not kept: its key would be
// that of another.
func TestCopyOfChanging(t *testing.T) {
	h := machine(t, "boot/vmlinuz-6.9.1", "lib/modules/6.9.1/kernel/net/a.ko")
	k, err := h.find("", "amd64")
	if err != nil {
		t.Fatal(err)
	}
	key, err := k.key(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.fill(t.Context(), Candidate{}, key, t.TempDir()); err != nil {
		t.Errorf("unchanged: %v", err)
	}
	if err := os.WriteFile(filepath.Join(h.root, "lib/modules/6.9.1/kernel/net/a.ko"), []byte("anew"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := k.fill(t.Context(), Candidate{}, key, t.TempDir()); err == nil || !strings.Contains(err.Error(), "it changed while it was copied") {
		t.Errorf("changed: %v", err)
	}
}

// The modules may lie elsewhere, behind a link.
func TestHostLinks(t *testing.T) {
	h := machine(t, "boot/vmlinuz-6.9.1", "store/modules/kernel/net/a.ko")
	lib := filepath.Join(h.root, "lib/modules")
	if err := errors.Join(os.MkdirAll(lib, 0o755), os.Symlink("../../store/modules", filepath.Join(lib, "6.9.1"))); err != nil {
		t.Fatal(err)
	}
	k, err := h.find("", "amd64")
	if err != nil || len(k.files) != 2 || k.files[1].dst != "modules/kernel/net/a.ko" {
		t.Errorf("found %+v, %v", k, err)
	}
}

func TestHostErrors(t *testing.T) {
	locked := machine(t, "boot/vmlinuz-6.9.1", "lib/modules/6.9.1/kernel/net/a.ko")
	locked.open = func(name string) (*os.File, error) {
		if strings.HasSuffix(name, "boot/vmlinuz-6.9.1") {
			return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
		}
		return os.Open(name)
	}
	for name, c := range map[string]struct {
		host host
		ref  string
		want string
	}{
		"locked":     {locked, "", "the running 6.9.1: this user may not read ROOT/boot/vmlinuz-6.9.1: run `sudo chmod a+r ROOT/boot/vmlinuz-6.9.1`"},
		"container":  {machine(t), "", "no image of the running 6.9.1: looked for ROOT/boot/vmlinuz-6.9.1, ROOT/usr/lib/modules/6.9.1/vmlinuz, ROOT/lib/modules/6.9.1/vmlinuz; in a container, mount the host's /boot and /lib/modules"},
		"others":     {machine(t, "boot/vmlinuz-6.9.1", "lib/modules/6.8.2/vmlinuz", "boot/vmlinuz-linux"), "6.9.2", "no image of the installed 6.9.2: looked for ROOT/boot/vmlinuz-6.9.2, ROOT/usr/lib/modules/6.9.2/vmlinuz, ROOT/lib/modules/6.9.2/vmlinuz; there are host:6.8.2, host:6.9.1"},
		"no modules": {machine(t, "boot/vmlinuz-6.9.1"), "", "no modules of the running 6.9.1: looked for kernel/ below ROOT/usr/lib/modules/6.9.1, ROOT/lib/modules/6.9.1; install its package, or mount the host's /lib/modules"},
	} {
		_, err := c.host.find(c.ref, "amd64")
		want := strings.ReplaceAll(c.want, "ROOT", c.host.root)
		if !errors.Is(err, ErrUnknown) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v\nwant %s", name, err, want)
		}
	}
}

func FuzzModulesOrder(f *testing.F) {
	for _, s := range []string{"net/a.o\nnet/b.ko\n", "kernel/net/a.ko", "a.o\r\n\n", "/a.o", "../a.ko", ".ko"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		names, err := parseModulesOrder(data)
		if err != nil && names != nil {
			t.Errorf("names %q with error %v", names, err)
		}
		for i, n := range names {
			if !filepath.IsLocal(n) || filepath.Ext(n) != ".ko" {
				t.Errorf("%q is no module of a tree", n)
			}
			if i > 0 && names[i-1] >= n {
				t.Errorf("%q follows %q", n, names[i-1])
			}
		}
	})
}

func FuzzKernelRelease(f *testing.F) {
	for _, s := range []string{"6.12.1-mine\n", "6.12.1+deb13-cloud-amd64", "6.9.0-rc3", "..", "6.1/x", "6.1\n6.2\n", ""} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		rel, ok := parseKernelRelease(data)
		if !ok {
			return
		}
		if !fs.ValidPath(rel) || strings.ContainsAny(rel, "/ \n*?[\\") {
			t.Errorf("%q is taken for a release", rel)
		}
		if upstream, series := releaseParts(rel); series == "" || !strings.HasPrefix(upstream, series) {
			t.Errorf("%q is %q of %q", rel, upstream, series)
		}
		if r, err := ParseRef("host:" + rel); err != nil || r.Value != rel {
			t.Errorf("host:%s: %v, %v", rel, r, err)
		}
	})
}

// A configuration may lie where modules were built, or in the running kernel. It
// is taken only from what is of the release.
func TestHostConfig(t *testing.T) {
	const kernel, modules = "boot/vmlinuz-6.9.1", "lib/modules/6.9.1/kernel/net/a.ko"
	const build = "lib/modules/6.9.1/build/"
	for name, c := range map[string]struct {
		files   []string
		release string // of the headers
		ref     string
		want    string
	}{
		"headers":         {[]string{kernel, modules, build + ".config", build + releaseFile}, "6.9.1", "", build + ".config"},
		"headers of next": {[]string{kernel, modules, build + ".config", build + releaseFile}, "6.9.2", "", ""},
		"no release":      {[]string{kernel, modules, build + ".config"}, "", "", ""},
		"running":         {[]string{kernel, modules, "proc/config.gz"}, "", "", "proc/config.gz"},
		"not running":     {[]string{"boot/vmlinuz-6.8.2", "lib/modules/6.8.2/kernel/net/a.ko", "proc/config.gz"}, "", "6.8.2", ""},
		"the nearest":     {[]string{kernel, modules, "boot/config-6.9.1", "proc/config.gz", build + ".config", build + releaseFile}, "6.9.1", "", "boot/config-6.9.1"},
	} {
		h := machine(t, c.files...)
		if c.release != "" {
			if err := os.WriteFile(filepath.Join(h.root, build, releaseFile), []byte(c.release+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		k, err := h.find(c.ref, "amd64")
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got := ""
		for _, f := range k.files {
			if f.dst == configFile {
				got = strings.TrimPrefix(f.path, h.root+"/")
			}
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// What the running kernel says of itself is packed, and stored plain.
func TestHostPackedConfig(t *testing.T) {
	h := machine(t, "boot/vmlinuz-6.9.1", "lib/modules/6.9.1/kernel/net/a.ko", "proc/config.gz")
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, err := z.Write([]byte("CONFIG_NF_CONNTRACK=m\n"))
	if err = errors.Join(err, z.Close(), os.WriteFile(filepath.Join(h.root, "proc/config.gz"), packed.Bytes(), 0o600)); err != nil {
		t.Fatal(err)
	}
	k, err := h.find("", "amd64")
	if err != nil {
		t.Fatal(err)
	}
	key, err := k.key(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if _, err := k.fill(t.Context(), Candidate{}, key, dir); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(filepath.Join(dir, configFile)); err != nil || string(data) != "CONFIG_NF_CONNTRACK=m\n" {
		t.Errorf("config %q, %v", data, err)
	}
}
