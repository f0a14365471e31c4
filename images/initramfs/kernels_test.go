package initramfs

import (
	"bufio"
	"os"
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

func TestRealModules(t *testing.T) {
	want := []string{"virtio_pci", "virtio_mmio", "virtio_console", "tun", "nf_tables", "nft_counter", "nf_conntrack", "nft_ct", "nf_conntrack_amanda", "nft_objref"}
	for _, k := range realKernels(t) {
		t.Run(k[0], func(t *testing.T) {
			l, err := Modules(k[2], k[3], want)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d bytes", len(l.Layer))
			for _, f := range l.Manifest.Files {
				t.Log(f.Name, f.Deps, f.Wanted)
			}
			t.Log("builtin", l.Manifest.Builtin, "merged", l.Manifest.Merged, "missing", l.Manifest.Missing)
		})
	}
}
