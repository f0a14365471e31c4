package kernel_test

import (
	"os"
	"testing"

	"github.com/ctmatrix/ctmatrix/images/kernel"
)

// A configuration that turns up later belongs to the kernel that is stored: it is
// the same one, and has the same digest.
func TestConfigTurnsUp(t *testing.T) {
	dir := put(t, t.TempDir(), map[string]string{"vmlinuz": "image", "lib/modules/6.9.1/kernel/net/a.ko": "a"})
	c := dirCatalog(t)
	fetch := func() *kernel.Kernel { return fetchDir(t, c, dir) }
	before := fetch()
	if before.Config != "" {
		t.Errorf("a configuration from nowhere: %s", before.Config)
	}
	put(t, dir, map[string]string{"config": "CONFIG_NF_CONNTRACK=m\n"})
	for range 2 { // the second time both are in the store
		after := fetch()
		if after.Digest != before.Digest || after.Image != before.Image {
			t.Errorf("another kernel: %s, before %s", after.Digest, before.Digest)
		}
		if data, err := os.ReadFile(after.Config); err != nil || string(data) != "CONFIG_NF_CONNTRACK=m\n" {
			t.Errorf("config %q, %v", data, err)
		}
	}
}
