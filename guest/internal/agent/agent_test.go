package agent

import (
	"testing"
	"testing/fstest"
)

func TestFindPort(t *testing.T) {
	file := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }
	for name, c := range map[string]struct {
		sys  fstest.MapFS
		want string
	}{
		"no class":   {fstest.MapFS{}, ""},
		"no name":    {fstest.MapFS{"class/virtio-ports/vport0p0/dev": file("1:1")}, ""},
		"other name": {fstest.MapFS{"class/virtio-ports/vport0p0/name": file("org.qemu.agent\n")}, ""},
		"ours": {fstest.MapFS{
			"class/virtio-ports/vport0p0/dev":   file("1:1"),
			"class/virtio-ports/vport1p1/name":  file("ctmatrix.ssh\n"),
			"class/virtio-ports/vport1p2/name":  file("ctmatrix.ssh.not\n"),
			"class/virtio-ports/vport1p10/name": file(""),
		}, "vport1p1"},
	} {
		got, err := findPort(c.sys, "ctmatrix.ssh")
		if err != nil || got != c.want {
			t.Errorf("%s: %q, %v; want %q", name, got, err, c.want)
		}
	}
}
