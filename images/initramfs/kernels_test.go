package initramfs

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// realKernels reads the list of unpacked kernels that CTMATRIX_TEST_KERNELS
// names: "series image modulesdir release", one a line.
func realKernels(t *testing.T) [][]string {
	name := os.Getenv("CTMATRIX_TEST_KERNELS")
	if name == "" {
		t.Skip("CTMATRIX_TEST_KERNELS names no list of kernels")
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var all [][]string
	for s := bufio.NewScanner(f); s.Scan(); {
		if fields := strings.Fields(s.Text()); len(fields) == 4 {
			all = append(all, fields)
		}
	}
	if len(all) == 0 {
		t.Fatalf("%s lists no kernel", name)
	}
	return all
}

// The closure must have for each module what depmod finds by looking at symbols.
func TestClosureAgreesWithDepmod(t *testing.T) {
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
