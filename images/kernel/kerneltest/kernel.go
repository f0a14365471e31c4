package kerneltest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// Layout is how a kernel is packaged.
type Layout int

// The layouts that Debian has had.
const (
	Plain      Layout = iota // one package, lib/modules, modules uncompressed
	Compressed               // one package, usr/lib/modules, modules as .ko.xz
	Apart                    // as Compressed, with the documents in linux-base
	Split                    // linux-binary, linux-modules and linux-base
)

// Kernel is a made-up kernel.
type Kernel struct {
	Version string // "6.1.192-2"
	Release string // "6.1.0-56-cloud-amd64"
	Layout  Layout

	// Unlisted packages, "modules", "base" or "binary", lie in the pool of a
	// split kernel without being in the index.
	Unlisted []string
	// Unsigned adds the package whose image is not signed for booting.
	Unsigned bool
	// Meta adds the package that stands for the newest kernel of its flavour.
	Meta bool

	// Changelog is the text of changelog.gz; "" means that it is a link to nowhere.
	Changelog string
	// Config is the kernel's configuration; "" means one option.
	Config string
	// Image is the content of vmlinuz; "" means some text.
	Image string
	// Modules by name below the modules directory; nil means a few.
	Modules map[string]string
}

// DefaultModules are the modules of a kernel that names none; the last two are
// not kept.
func DefaultModules() map[string]string {
	return map[string]string{
		"kernel/net/netfilter/nf_conntrack.ko":          "nf_conntrack",
		"kernel/net/ipv4/netfilter/nf_defrag_ipv4.ko":   "nf_defrag_ipv4",
		"kernel/drivers/net/tun.ko":                     "tun",
		"kernel/drivers/char/virtio_console.ko":         "virtio_console",
		"kernel/lib/libcrc32c.ko":                       "libcrc32c",
		"kernel/arch/x86/crypto/crc32c-intel.ko":        "crc32c-intel",
		"kernel/fs/btrfs/btrfs.ko":                      "btrfs",
		"kernel/drivers/net/ethernet/google/gve/gve.ko": "gve",
	}
}

// Add puts a kernel into the pool and a suite's index.
func (m *Mirror) Add(suite string, k Kernel) {
	m.t.Helper()
	s := m.Suite(suite)
	flavour := "amd64"
	for _, f := range []string{"cloud", "rt"} {
		if strings.Contains(k.Release, "-"+f+"-") {
			flavour = f + "-amd64"
		}
	}
	image := "linux-image-" + k.Release
	if k.Meta {
		m.put(s, "linux-image-"+flavour, k.Version, fmt.Sprintf("%s (= %s)", image, k.Version), nil, true)
	}
	if k.Layout != Split {
		depends, docs := "kmod, linux-base (>= 4.3~)", k.docFiles(m.t, image)
		if k.Layout == Apart {
			base := "linux-base-" + k.Release
			depends, docs = fmt.Sprintf("kmod, %s (= %s)", base, k.Version), []File{{Name: "./usr/share/doc/" + image, Link: base}}
			m.put(s, base, k.Version, "kmod", k.docFiles(m.t, base), !slices.Contains(k.Unlisted, "base"))
		}
		m.put(s, image, k.Version, depends, slices.Concat(k.imageFiles("boot"), docs, k.moduleFiles(m.t)), true)
		if k.Unsigned {
			m.put(s, image+"-unsigned", k.Version, "kmod", append(k.imageFiles("boot"), k.moduleFiles(m.t)...), true)
		}
		return
	}
	deps := make([]string, 0, 3)
	for _, part := range []string{"base", "binary", "modules"} {
		deps = append(deps, fmt.Sprintf("linux-%s-%s (= %s)", part, k.Release, k.Version))
	}
	dir := "usr/lib/modules/" + k.Release + "/"
	files := map[string][]File{
		"base": append(k.docFiles(m.t, "linux-base-"+k.Release),
			File{Name: "./" + dir + "config", Data: k.config()}, File{Name: "./" + dir + "modules.builtin", Data: "kernel/net/core.ko\n"}),
		"binary":  {{Name: "./" + dir + "vmlinuz", Data: k.image()}},
		"modules": k.moduleFiles(m.t),
	}
	m.put(s, image, k.Version, "dracut | initramfs-tools, "+strings.Join(deps, ", "), nil, true)
	for _, part := range []string{"base", "binary", "modules"} {
		m.put(s, "linux-"+part+"-"+k.Release, k.Version, "kmod", files[part], !slices.Contains(k.Unlisted, part))
	}
}

func (k Kernel) image() string {
	if k.Image != "" {
		return k.Image
	}
	return "image of " + k.Release
}

func (k Kernel) config() string {
	if k.Config != "" {
		return k.Config
	}
	return "CONFIG_NET=y\n"
}

func (k Kernel) imageFiles(dir string) []File {
	return []File{
		{Name: "./" + dir + "/", Type: '5'},
		{Name: "./" + dir + "/vmlinuz-" + k.Release, Data: k.image()},
		{Name: "./" + dir + "/config-" + k.Release, Data: k.config()},
		{Name: "./" + dir + "/System.map-" + k.Release, Data: "ffffffff81000000 T _text\n"},
		{Name: "./usr/lib/modules/" + k.Release + "/modules.builtin", Data: "kernel/net/core.ko\n"},
	}
}

// docFiles are the documents of the package of that name.
func (k Kernel) docFiles(t testing.TB, name string) []File {
	dir := "./usr/share/doc/" + name + "/"
	files := []File{{Name: dir + "copyright", Data: "free\n"}}
	if k.Changelog != "" {
		files = append(files, File{Name: dir + "changelog.gz", Data: string(Compress(t, ".gz", []byte(k.Changelog)))})
	} else {
		files = append(files, File{Name: dir + "changelog.gz", Link: "../linux-base/changelog.gz"})
	}
	return files
}

func (k Kernel) moduleFiles(t testing.TB) []File {
	modules := k.Modules
	if modules == nil {
		modules = DefaultModules()
	}
	dir, ending := "./usr/lib/modules/", ".xz"
	if k.Layout == Plain {
		dir, ending = "./lib/modules/", ""
	}
	var out []File
	for _, name := range slices.Sorted(maps.Keys(modules)) {
		data := []byte(modules[name])
		out = append(out, File{Name: dir + k.Release + "/" + name + ending, Data: string(Compress(t, ending, data))})
	}
	return out
}

// put adds a package to the pool and, where listed, to the index.
func (m *Mirror) put(s *Suite, name, version, depends string, files []File, listed bool) {
	m.t.Helper()
	dir := "pool/main/l/linux/"
	if strings.HasPrefix(name, "linux-image-") || strings.HasPrefix(name, "linux-binary-") {
		dir = "pool/main/l/linux-signed-amd64/"
	}
	file := dir + name + "_" + version + "_amd64.deb"
	data := Deb(m.t, ".xz", files...)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pool[archive(s.Name)+"/"+file] = data
	if listed {
		s.packages = append(s.packages, fmt.Sprintf(
			"Package: %s\nSource: linux\nVersion: %s\nArchitecture: amd64\nDepends: %s\nDescription: a kernel\n of no use\nFilename: %s\nSize: %d\nSHA256: %s\n",
			name, version, depends, file, len(data), hash(data)))
	}
}
