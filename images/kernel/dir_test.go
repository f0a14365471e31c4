package kernel_test

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ctmatrix/ctmatrix/images/kernel"
	"github.com/ctmatrix/ctmatrix/images/kernel/kerneltest"
)

func put(t *testing.T, dir string, files map[string]string) string {
	t.Helper()
	for name, data := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// bzImage is the header of an image that says its release.
func bzImage(release string) string {
	b := make([]byte, 0x400)
	copy(b[0x202:], "HdrS")
	binary.LittleEndian.PutUint16(b[0x20e:], 0x100)
	copy(b[0x300:], release+" (someone@somewhere) #1 SMP\x00")
	return string(b)
}

func dirCatalog(t *testing.T) *kernel.Catalog {
	t.Helper()
	c, err := kernel.New(kernel.Options{CacheDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestDir(t *testing.T) {
	xz := string(kerneltest.Compress(t, ".xz", []byte("nf_conntrack")))
	digest := ""
	zst := string(kerneltest.Compress(t, ".zst", []byte("nf_conntrack")))
	for name, files := range map[string]map[string]string{
		"package, old": {"boot/vmlinuz-6.9.1": "image", "boot/config-6.9.1": "C", "lib/modules/6.9.1/kernel/net/nf_conntrack.ko": "nf_conntrack"},
		"package, new": {"boot/vmlinuz-6.9.1": "image", "boot/config-6.9.1": "C", "usr/lib/modules/6.9.1/kernel/net/nf_conntrack.ko.xz": xz},
		"image beside": {"vmlinuz": "image", "config": "C", "lib/modules/6.9.1/kernel/net/nf_conntrack.ko.zst": zst},
		"other kernel's modules": {
			"vmlinuz-6.9.1": "image", "config-6.9.1": "C",
			"lib/modules/6.9.1/kernel/net/nf_conntrack.ko": "nf_conntrack", "lib/modules/6.9.2/kernel/net/nf_conntrack.ko": "other",
		},
	} {
		dir := put(t, t.TempDir(), files)
		c := dirCatalog(t)
		got, err := c.Resolve(t.Context(), "dir:"+dir)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		want := kernel.Candidate{Ref: "dir:" + dir, Source: "dir", Version: "6.9.1", Upstream: "6.9.1", Series: "6.9", Release: "6.9.1", Arch: "amd64"}
		if d := cmp.Diff([]kernel.Candidate{want}, got); d != "" {
			t.Errorf("%s: (-want +got)\n%s", name, d)
		}
		k, err := c.Fetch(t.Context(), got[0])
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if d := cmp.Diff([]string{"kernel/net/nf_conntrack.ko"}, tree(t, k.ModulesDir)); d != "" {
			t.Errorf("%s: modules (-want +got)\n%s", name, d)
		}
		// The same content has the same digest, however it was laid out.
		if digest == "" {
			digest = k.Digest
		}
		if k.Digest != digest {
			t.Errorf("%s: digest %s, before %s", name, k.Digest, digest)
		}
		if data, err := os.ReadFile(k.Config); err != nil || string(data) != "C" {
			t.Errorf("%s: config %q, %v", name, data, err)
		}
	}
}

func TestDirRelease(t *testing.T) {
	dir := put(t, t.TempDir(), map[string]string{
		"bzImage": bzImage("6.9.0-rc3-mine"), "modules/kernel/net/nf_conntrack.ko": "x",
	})
	got, err := dirCatalog(t).Resolve(t.Context(), "dir:"+dir)
	if err != nil {
		t.Fatal(err)
	}
	if got[0].Release != "6.9.0-rc3-mine" || got[0].Series != "6.9" {
		t.Errorf("got %+v", got[0])
	}
}

// fetchDir stores the kernel of a directory as it is now.
func fetchDir(t *testing.T, c *kernel.Catalog, dir string) *kernel.Kernel {
	t.Helper()
	got, err := c.Resolve(t.Context(), "dir:"+dir)
	if err != nil {
		t.Fatal(err)
	}
	k, err := c.Fetch(t.Context(), got[0])
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// A directory that is built anew is another kernel, and the old one stays.
func TestDirChanges(t *testing.T) {
	dir := put(t, t.TempDir(), map[string]string{"vmlinuz": "one", "lib/modules/6.9.1/kernel/net/a.ko": "a"})
	c := dirCatalog(t)
	fetch := func() *kernel.Kernel { return fetchDir(t, c, dir) }
	one := fetch()
	put(t, dir, map[string]string{"vmlinuz": "two"})
	two := fetch()
	if one.Digest == two.Digest {
		t.Error("a new image has the old digest")
	}
	if data, err := os.ReadFile(one.Image); err != nil || string(data) != "one" {
		t.Errorf("the first image is %q now, %v", data, err)
	}
}

func TestDirErrors(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		want  string
	}{
		"empty":      {map[string]string{"README": ""}, "no image: looked for vmlinuz-*, vmlinuz, bzImage, boot/vmlinuz-*"},
		"no modules": {map[string]string{"vmlinuz-6.9": ""}, "no modules: looked for kernel/ below lib/modules/6.9, usr/lib/modules/6.9, modules"},
		"several":    {map[string]string{"vmlinuz-6.9": "", "vmlinuz-6.8": ""}, "several images: "},
		"which":      {map[string]string{"vmlinuz": "", "lib/modules/1/kernel/net/a.ko": "", "lib/modules/2/kernel/net/a.ko": ""}, "modules of several kernels: "},
		"no release": {map[string]string{"vmlinuz": "not an image", "modules/kernel/net/a.ko": ""}, "does not say its release; name it vmlinuz-RELEASE"},
	} {
		dir := put(t, t.TempDir(), c.files)
		_, err := dirCatalog(t).Resolve(t.Context(), "dir:"+dir)
		if !errors.Is(err, kernel.ErrUnknown) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: %v\nwant %s", name, err, c.want)
		}
	}
	// Modules that are of no use to a networking suite are as good as none.
	dir := put(t, t.TempDir(), map[string]string{"vmlinuz-6.9": "", "lib/modules/6.9/kernel/fs/a.ko": ""})
	c := dirCatalog(t)
	got, err := c.Resolve(t.Context(), "dir:"+dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Fetch(t.Context(), got[0]); err == nil || !strings.Contains(err.Error(), "no modules of 6.9") {
		t.Errorf("got %v", err)
	}
}
