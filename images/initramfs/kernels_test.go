package initramfs

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ctmatrix/ctmatrix/images/kernel"
)

// realKernels are the oldest and the newest kernel of the shipped matrix, from
// the store or the mirror: "series image modulesdir release".
func realKernels(t *testing.T) [][]string {
	t.Helper()
	if os.Getenv("CTMATRIX_REAL_TESTS") == "" {
		t.Skip("needs real kernels: run `make test`")
	}
	catalog, err := kernel.New(kernel.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var all [][]string
	for _, ref := range []string{"debian:5.10", "debian:7.3"} {
		found, err := catalog.Resolve(t.Context(), ref)
		if err != nil {
			t.Fatal(err)
		}
		k, err := catalog.Fetch(t.Context(), found[len(found)-1])
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, []string{k.Series, k.Image, k.ModulesDir, k.Release})
	}
	return all
}

// The closure must have for each module what depmod finds by looking at symbols.
func TestRealClosureAgreesWithDepmod(t *testing.T) {
	kernels := realKernels(t)
	if _, err := exec.LookPath("depmod"); err != nil {
		t.Skip("no depmod on this host")
	}
	for _, k := range kernels {
		t.Run(k[0], func(t *testing.T) {
			tree, err := openTree(k[2])
			if err != nil {
				t.Fatal(err)
			}
			if tree.dep != nil {
				t.Fatal("this kernel has a modules.dep of its own, so the closure comes from there, too")
			}
			deps := depmod(t, k[2], k[3])
			if len(deps) != len(tree.files) {
				t.Errorf("depmod knows of %d modules, we of %d", len(deps), len(tree.files))
			}
			for _, name := range tree.names() {
				c := closure{tree: tree, visited: map[string]bool{}}
				if err := c.add(name); err != nil {
					t.Fatal(err)
				}
				loaded := map[string]bool{}
				for _, f := range c.manifest.Files {
					loaded[f.Name] = true
				}
				for _, d := range deps[name] {
					if !loaded[d] {
						t.Errorf("%s needs %s, which is not in its closure", name, d)
					}
				}
			}
		})
	}
}

// depmod makes the modules.dep of a kernel without writing to its directory.
func depmod(t *testing.T, dir, release string) map[string][]string {
	base := t.TempDir()
	if err := os.MkdirAll(filepath.Join(base, "lib/modules"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(dir, filepath.Join(base, "lib/modules", release)); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("depmod", "-n", "-b", base, release).Output()
	if err != nil {
		t.Fatal(err)
	}
	list, _, ok := strings.Cut(string(out), "# Aliases") // where the next file begins
	if !ok {
		t.Fatalf("depmod says %.100q", out)
	}
	return parseDep([]byte(list))
}
