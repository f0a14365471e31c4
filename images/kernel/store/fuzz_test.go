package store

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzManifest reads what an entry says of itself. None names a file outside of
// it, and what is verified is what is there.
func FuzzManifest(f *testing.F) {
	digest := strings.Repeat("ab", 32)
	f.Add([]byte(`{"digest":"` + digest + `","meta":{},"files":[{"name":"file","size":4,"sha256":"3a6eb0790f39ac87c94f3856b2dd2c5d110e6811602261a9a923d3bb23adc8b7"}]}`))
	f.Add([]byte(`{"digest":"` + digest + `","files":[{"name":"../../keys/x","size":0}]}`))
	f.Add([]byte(`{"files":[{"name":"/etc/passwd","size":-1}]}`))
	dir := f.TempDir()
	s, err := Open(dir)
	if err != nil {
		f.Fatal(err)
	}
	entry := filepath.Join(dir, "kernels", digest)
	if err := os.MkdirAll(entry, 0o755); err != nil {
		f.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(entry, "file"), []byte("data"), 0o600); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, manifest []byte) {
		if err := os.WriteFile(filepath.Join(entry, manifestName), manifest, 0o600); err != nil {
			t.Fatal(err)
		}
		e, err := s.Lookup(digest)
		if err != nil {
			return
		}
		for _, file := range e.Files {
			if !filepath.IsLocal(file.Name) || file.Size < 0 {
				t.Fatalf("%+v", file)
			}
		}
		_, damage, err := s.Check(t.Context(), digest)
		if err == nil && len(damage) == 0 && len(e.Files) == 0 {
			t.Fatal("a file that nobody knows is no damage")
		}
	})
}
