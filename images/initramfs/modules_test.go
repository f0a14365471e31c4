package initramfs

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/ctmatrix/ctmatrix/guest/observe"
)

// kernelDir writes the modules directory of a made-up kernel.
func kernelDir(t *testing.T, files map[string][]byte) string {
	dir := t.TempDir()
	for name, data := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func gz(t *testing.T, data []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// sample is a kernel in which everything occurs that Modules knows of.
func sample(t *testing.T) map[string][]byte {
	return map[string][]byte{
		"kernel/net/nf_conntrack.ko":    ko(t, "name=nf_conntrack", "depends=libcrc32c,nf-defrag-ipv4"),
		"kernel/net/nf_defrag_ipv4.ko":  ko(t, "name=nf_defrag_ipv4", "depends="),
		"kernel/lib/libcrc32c.ko":       ko(t, "name=libcrc32c", "softdep=pre: crc32c"),
		"kernel/crypto/crc32c-intel.ko": ko(t, "name=crc32c_intel", "alias=crc32c", "alias=crypto-crc32c"),
		"kernel/net/nf_tables.ko.gz":    gz(t, ko(t, "name=nf_tables", "depends=nfnetlink,libcrc32c")),
		"kernel/net/nft_ct.ko":          ko(t, "name=nft_ct", "depends=nf_tables,nf_conntrack,gone"),
		"kernel/a.ko":                   ko(t, "softdep=pre: b"),
		"kernel/b.ko":                   ko(t, "softdep=pre: a"),
		"kernel/drivers/virtio/ring.ko": ko(t, "name=ring"),
		"kernel/drivers/mended.ko":      ko(t, "name=mended"),
		"updates/mended.ko":             ko(t, "name=mended", "depends=ring"),
		"modules.builtin":               []byte("kernel/net/nfnetlink.ko\nkernel/drivers/virtio/virtio.ko\n"),
		"modules.builtin.modinfo":       []byte("virtio_pci.file=drivers/virtio/virtio_pci\x00"),
	}
}

func names(m observe.Manifest) []string {
	var all []string
	for _, f := range m.Files {
		all = append(all, f.Name)
	}
	return all
}

func TestModules(t *testing.T) {
	dir := kernelDir(t, sample(t))
	l, err := Modules(dir, "6.1-test", []string{"nft-ct", "nft_counter", "virtio", "virtio_pci", "nfnetlink", "sctp", "a", "nft_ct", "mended"}, false)
	if err != nil {
		t.Fatal(err)
	}
	want := observe.Manifest{
		Release: "6.1-test",
		Files: []observe.ManifestFile{
			{Name: "b", File: "b.ko", Deps: []string{"a"}},
			{Name: "a", File: "a.ko", Deps: []string{"b"}, Wanted: true},
			{Name: "ring", File: "ring.ko"},
			{Name: "mended", File: "mended.ko", Deps: []string{"ring"}, Wanted: true},
			{Name: "crc32c_intel", File: "crc32c_intel.ko"},
			{Name: "libcrc32c", File: "libcrc32c.ko", Deps: []string{"crc32c_intel"}},
			{Name: "nf_tables", File: "nf_tables.ko", Deps: []string{"libcrc32c"}},
			{Name: "nf_defrag_ipv4", File: "nf_defrag_ipv4.ko"},
			{Name: "nf_conntrack", File: "nf_conntrack.ko", Deps: []string{"libcrc32c", "nf_defrag_ipv4"}},
			{Name: "nft_ct", File: "nft_ct.ko", Deps: []string{"nf_tables", "nf_conntrack", "gone"}, Wanted: true},
		},
		Builtin: []string{"nfnetlink", "virtio", "virtio_pci"},
		Merged:  []observe.MergedModule{{Name: "nft_counter", Into: "nf_tables"}},
		Missing: []string{"sctp"},
	}
	if !reflect.DeepEqual(l.Manifest, want) {
		got, _ := json.MarshalIndent(l.Manifest, "", " ")
		t.Errorf("manifest: %s", got)
	}
	members := membersOf(t, l.Layer)
	if h := members["lib/ctmatrix/modules/nf_tables.ko"]; h == nil || !strings.HasPrefix(h.Linkname, "\x7fELF") {
		t.Errorf("the compressed module is not there unpacked: %+v", h)
	}
	var written observe.Manifest
	if err := json.Unmarshal([]byte(members["lib/ctmatrix/modules.json"].Linkname), &written); err != nil || !reflect.DeepEqual(written, want) {
		t.Errorf("manifest in the layer: %+v, %v", written, err)
	}
	again, err := Modules(dir, "6.1-test", []string{"mended", "a", "sctp", "nfnetlink", "virtio_pci", "virtio", "nft_counter", "nft_ct"}, false)
	if err != nil || !bytes.Equal(again.Layer, l.Layer) {
		t.Errorf("the same modules in another order make another layer (%v)", err)
	}
}

// What offers an alias may be in the image already; then nothing is loaded.
func TestAliasIsBuiltin(t *testing.T) {
	files := sample(t)
	files["modules.builtin.modinfo"] = []byte("crc32c_generic.alias=crc32c\x00")
	l, err := Modules(kernelDir(t, files), "r", []string{"libcrc32c"}, false)
	if err != nil || strings.Join(names(l.Manifest), " ") != "libcrc32c" {
		t.Errorf("%v, %v", l, err)
	}
}

// A kernel's modules.dep knows of dependencies that a module does not tell.
func TestModulesDep(t *testing.T) {
	files := sample(t)
	files["modules.dep"] = []byte("kernel/drivers/virtio/ring.ko: kernel/a.ko\n")
	l, err := Modules(kernelDir(t, files), "r", []string{"ring"}, false)
	if err != nil || strings.Join(names(l.Manifest), " ") != "b a ring" {
		t.Errorf("%+v, %v", l, err)
	}
}

func TestModulesErrors(t *testing.T) {
	for name, c := range map[string]struct {
		file string
		data []byte
		want string
		says string
	}{
		"no module":     {"kernel/x.ko", []byte("junk"), "x", "kernel/x.ko"},
		"another name":  {"kernel/x.ko", ko(t, "name=y"), "x", `calls itself "y"`},
		"no modinfo":    {"kernel/x.ko", bytes.Replace(ko(t), []byte(".modinfo"), []byte(".modinfx"), 1), "x", ".modinfo"},
		"bad name":      {"kernel/x.ko", ko(t), "../x", "../x"},
		"bad packaging": {"kernel/x.ko.gz", []byte("junk"), "x", "x.ko.gz"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Modules(kernelDir(t, map[string][]byte{c.file: c.data}), "r", []string{c.want}, false)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v, want one that says %q", err, c.says)
			}
		})
	}
	if _, err := Modules(filepath.Join(t.TempDir(), "none"), "r", nil, false); err == nil {
		t.Error("a directory that is not there was taken")
	}
}

func TestCache(t *testing.T) {
	dir := kernelDir(t, sample(t))
	c := Cache{Dir: filepath.Join(t.TempDir(), "layers")}
	first, err := c.Modules("digest", dir, "r", []string{"nft_ct", "a"})
	if err != nil {
		t.Fatal(err)
	}
	gone := filepath.Join(t.TempDir(), "gone")
	second, err := c.Modules("digest", gone, "r", []string{"a", "nft-ct"})
	if err != nil || !reflect.DeepEqual(first, second) {
		t.Errorf("a kept layer was not used: %v", err)
	}
	for _, other := range []struct {
		digest, release string
		want            []string
	}{{"other", "r", []string{"nft_ct", "a"}}, {"digest", "s", []string{"nft_ct", "a"}}, {"digest", "r", []string{"a"}}} {
		if _, err := c.Modules(other.digest, gone, other.release, other.want); err == nil {
			t.Errorf("%v was answered from another's layer", other)
		}
	}
	kept, err := filepath.Glob(filepath.Join(c.Dir, "*"))
	if err != nil || len(kept) != 1 {
		t.Fatalf("the cache holds %v, %v", kept, err)
	}
	data, err := os.ReadFile(kept[0])
	if err != nil {
		t.Fatal(err)
	}
	for name, damage := range map[string][]byte{
		"cut": data[:len(data)-1], "empty": nil, "changed": append(bytes.Clone(data[:len(data)-1]), 'x'),
	} {
		if err := os.WriteFile(kept[0], damage, 0o644); err != nil {
			t.Fatal(err)
		}
		mended, err := c.Modules("digest", dir, "r", []string{"nft_ct", "a"})
		if err != nil || !reflect.DeepEqual(first, mended) {
			t.Errorf("%s layer: %v", name, err)
		}
	}
}
