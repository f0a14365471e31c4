package userland

import (
	"bytes"
	"path"
	"strings"
	"testing"

	"github.com/ctmatrix/ctmatrix/images/kernel/kerneltest"
)

// FuzzAdd unpacks packages of programs whose members are anything: each file of
// the layer is below the guest's root, and no larger than what is there.
func FuzzAdd(f *testing.F) {
	f.Add(kerneltest.Tar(f, kerneltest.File{Name: "./bin/tool", Data: "program"}, kerneltest.File{Name: "./usr/bin/same", Link: "/bin/tool"}))
	f.Add(kerneltest.Tar(f, kerneltest.File{Name: "bin/../../x", Data: "y"}, kerneltest.File{Name: "a", Link: "../.."}))
	f.Fuzz(func(t *testing.T, data []byte) {
		var b bytes.Buffer
		b.WriteString("!<arch>\n")
		kerneltest.Member(&b, "debian-binary", []byte("2.0\n"))
		kerneltest.Member(&b, "data.tar", data)
		tr := tree{from: map[string]string{}}
		if err := tr.add("package", &b); err != nil {
			return
		}
		for _, file := range tr.files {
			if file.Name == "" || path.Clean("/"+file.Name) != "/"+file.Name || strings.HasPrefix(file.Name, "../") || len(file.Data) > len(data) {
				t.Fatalf("%q, %d bytes", file.Name, len(file.Data))
			}
		}
		if len(tr.files) > 0 {
			if _, err := tr.layer(); err != nil && strings.ContainsAny(err.Error(), "\x00\n") {
				t.Fatalf("error %q", err)
			}
		}
	})
}
