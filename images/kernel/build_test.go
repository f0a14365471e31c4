package kernel_test

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ctmatrix/ctmatrix/images/kernel"
	"github.com/ctmatrix/ctmatrix/images/kernel/kerneltest"
)

const mine = "6.12.1-mine"

// built is a build tree after make, of which the suite wants two modules.
func built(t *testing.T) map[string]string {
	ko := kerneltest.Module(t, mine)
	return map[string]string{
		".config":                          "#\n# Linux/x86 6.12.1\n#\nCONFIG_X86=y\nCONFIG_64BIT=y\nCONFIG_MODULES=y\n# CONFIG_FOO is not set\n",
		"include/config/kernel.release":    mine + "\n",
		"arch/x86/boot/bzImage":            bzImage(mine),
		"modules.order":                    "kernel/trace/odd.o\nfs/ext4/ext4.o\nnet/netfilter/nf_conntrack.o\ndrivers/net/tun.o\n",
		"modules.builtin":                  "kernel/net/core.ko\n",
		"modules.builtin.modinfo":          "core.file=net/core\x00",
		"kernel/trace/odd.ko":              ko,
		"fs/ext4/ext4.ko":                  ko,
		"net/netfilter/nf_conntrack.ko":    ko,
		"drivers/net/tun.ko":               ko,
		"net/netfilter/nf_conntrack.mod.c": "not a module",
		"net/ipv4/stale.ko":                "not in modules.order",
	}
}

var installed = []string{
	"kernel/drivers/net/tun.ko", "kernel/net/netfilter/nf_conntrack.ko", "modules.builtin", "modules.builtin.modinfo",
}

func TestTree(t *testing.T) {
	digest := ""
	for name, order := range map[string]string{
		"of today":  built(t)["modules.order"],
		"before":    "fs/ext4/ext4.ko\nnet/netfilter/nf_conntrack.ko\nnet/netfilter/nf_conntrack.ko\ndrivers/net/tun.ko\nkernel/trace/odd.ko\n",
		"until 5.2": "kernel/fs/ext4/ext4.ko\nkernel/kernel/trace/odd.ko\nkernel/net/netfilter/nf_conntrack.ko\nkernel/drivers/net/tun.ko\n",
	} {
		files := built(t)
		files["modules.order"] = order
		dir := put(t, t.TempDir(), files)
		c := dirCatalog(t)
		got, err := c.Resolve(t.Context(), "tree:"+dir)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		want := kernel.Candidate{Ref: "tree:" + dir, Source: "tree", Version: mine, Upstream: "6.12.1", Series: "6.12", Release: mine, Arch: "amd64"}
		if d := cmp.Diff([]kernel.Candidate{want}, got); d != "" {
			t.Errorf("%s: (-want +got)\n%s", name, d)
		}
		k, err := c.Fetch(t.Context(), got[0])
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if d := cmp.Diff(installed, tree(t, k.ModulesDir)); d != "" {
			t.Errorf("%s: modules (-want +got)\n%s", name, d)
		}
		if data, err := os.ReadFile(k.Config); err != nil || string(data) != files[".config"] {
			t.Errorf("%s: config %q, %v", name, data, err)
		}
		if digest == "" {
			digest = k.Digest
		}
		if k.Digest != digest {
			t.Errorf("%s: digest %s, before %s", name, k.Digest, digest)
		}
	}
}

// What is tested is what was there when it was fetched.
func TestTreeChanges(t *testing.T) {
	dir := put(t, t.TempDir(), built(t))
	c := dirCatalog(t)
	got, err := c.Resolve(t.Context(), "tree:"+dir)
	if err != nil {
		t.Fatal(err)
	}
	one, err := c.Fetch(t.Context(), got[0])
	if err != nil {
		t.Fatal(err)
	}
	put(t, dir, map[string]string{"drivers/net/tun.ko": kerneltest.Module(t, mine) + "more"})
	two, err := c.Fetch(t.Context(), got[0])
	if err != nil {
		t.Fatal(err)
	}
	if one.Digest == two.Digest {
		t.Error("a module that was built anew makes no other kernel")
	}
}

// A kernel that has all it needs in its image has no modules, or none of use.
func TestTreeWithoutModules(t *testing.T) {
	none := built(t)
	none[".config"] = "CONFIG_X86=y\nCONFIG_64BIT=y\n# CONFIG_MODULES is not set\n"
	maps.DeleteFunc(none, func(name, _ string) bool { return name == "modules.order" || strings.HasSuffix(name, ".ko") })
	useless := built(t)
	useless["modules.order"] = "fs/ext4/ext4.o\n"
	for name, files := range map[string]map[string]string{"none": none, "none of use": useless} {
		dir := put(t, t.TempDir(), files)
		c := dirCatalog(t)
		got, err := c.Resolve(t.Context(), "tree:"+dir)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		k, err := c.Fetch(t.Context(), got[0])
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if d := cmp.Diff([]string{"modules.builtin", "modules.builtin.modinfo"}, tree(t, k.ModulesDir)); d != "" {
			t.Errorf("%s: modules (-want +got)\n%s", name, d)
		}
	}
}

func TestTreeErrors(t *testing.T) {
	without := func(names ...string) func(map[string]string) {
		return func(files map[string]string) {
			for _, n := range names {
				delete(files, n)
			}
		}
	}
	with := func(name, data string) func(map[string]string) {
		return func(files map[string]string) { files[name] = data }
	}
	for name, c := range map[string]struct {
		change func(map[string]string)
		want   string
	}{
		"no tree":         {func(f map[string]string) { clear(f); f["README"] = "" }, "not a kernel's build tree: no .config; for a vmlinuz and its modules write dir:"},
		"source":          {func(f map[string]string) { clear(f); f["Kbuild"], f["Kconfig"] = "", "" }, "a kernel's source that is not configured: no .config; build it, or name"},
		"configured":      {without("include/config/kernel.release"), "configured, but not built: no include/config/kernel.release; run `make -C DIR`"},
		"no image":        {without("arch/x86/boot/bzImage"), "not built for amd64: no arch/x86/boot/bzImage; run `make -C DIR`"},
		"no modules":      {without("modules.order"), "its modules are not built: no modules.order; run `make -C DIR modules`"},
		"a module less":   {without("drivers/net/tun.ko"), "module drivers/net/tun.ko, which modules.order names, is missing; run `make -C DIR modules`"},
		"strange order":   {with("modules.order", "../../etc/passwd\n"), `modules.order: "../../etc/passwd" is no module`},
		"strange release": {with("include/config/kernel.release", "6.12/../..\n"), "include/config/kernel.release holds no release"},
		"older image":     {with("arch/x86/boot/bzImage", bzImage("6.12.0-mine")), "arch/x86/boot/bzImage is of 6.12.0-mine, but the tree of 6.12.1-mine; run `make -C DIR`"},
		"older modules":   {with("drivers/net/tun.ko", kerneltest.Module(t, "6.12.0")), "module drivers/net/tun.ko is of 6.12.0, but the image of 6.12.1-mine; run `make -C DIR modules`"},
		"half a module":   {with("drivers/net/tun.ko", "\x7fELF"), "module drivers/net/tun.ko: not a module"},
		"32 bits":         {with(".config", "CONFIG_X86=y\nCONFIG_MODULES=y\n"), "configured for 32 bits; set CONFIG_64BIT=y"},
	} {
		files := built(t)
		c.change(files)
		dir := put(t, t.TempDir(), files)
		_, err := dirCatalog(t).Resolve(t.Context(), "tree:"+dir)
		want := strings.ReplaceAll(c.want, "DIR", dir)
		if !errors.Is(err, kernel.ErrUnknown) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "in "+dir) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v\nwant %s", name, err, want)
		}
	}
	if _, err := dirCatalog(t).Resolve(t.Context(), "tree:"+filepath.Join(t.TempDir(), "none")); err == nil || !strings.HasSuffix(err.Error(), "none: no such file or directory") {
		t.Errorf("no directory: %v", err)
	}
}
