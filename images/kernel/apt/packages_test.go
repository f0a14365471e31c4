package apt

import (
	"path"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const someHash = "704dae7df79a35ed1bd3a0a8d5d1b9ce7a4ecdef74ddff72114d9523d63710eb"

const someIndex = `Package: 0ad
Version: 0.27.0-2
Depends: 0ad-data (>= 0.27.0)
Filename: pool/main/0/0ad/0ad_0.27.0-2_amd64.deb
Size: 15478892
SHA256: ` + someHash + `
Tag: game::strategy,
 uitoolkit::sdl

Package: linux-image-7.3.4+deb13-cloud-amd64
Source: linux-signed-amd64 (7.3.4+1~bpo13+1)
Version: 7.3.4-1~bpo13+1
Depends: dracut | initramfs-tools (>= 0.120), linux-base-7.3.4+deb13-cloud-amd64 (= 7.3.4-1~bpo13+1)
Description: Linux 7.3.4
 Version: 9.9 is not a field
Filename: pool/main/l/linux-signed-amd64/linux-image-7.3.4+deb13-cloud-amd64_7.3.4-1~bpo13+1_amd64.deb
Size: 12345
SHA256: ` + someHash

func isKernel(name string) bool { return strings.HasPrefix(name, "linux-image-") }

func TestParsePackages(t *testing.T) {
	want := []Package{{
		Name:     "linux-image-7.3.4+deb13-cloud-amd64",
		Version:  "7.3.4-1~bpo13+1",
		Filename: "pool/main/l/linux-signed-amd64/linux-image-7.3.4+deb13-cloud-amd64_7.3.4-1~bpo13+1_amd64.deb",
		Size:     12345,
		SHA256:   someHash,
		Depends:  []string{"dracut", "linux-base-7.3.4+deb13-cloud-amd64 (= 7.3.4-1~bpo13+1)"},
	}}
	for name, text := range map[string]string{
		"cut at the end": someIndex, "with its end": someIndex + "\n", "and an empty line": someIndex + "\n\n\n",
		"after a long line": "Package: long\nDepends: " + strings.Repeat("x, ", 200_000) + "\n\n" + someIndex,
		"with CRs":          strings.ReplaceAll(someIndex, "\n", "\r\n"),
	} {
		got, err := ParsePackages(strings.NewReader(text), isKernel)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: (-want +got)\n%s", name, d)
		}
	}
}

func TestParsePackagesErrors(t *testing.T) {
	for name, c := range map[string][2]string{
		"no version":      {"Version: 7.3.4-1~bpo13+1\n", ""},
		"a short hash":    {"Size: 12345\nSHA256: 7", "Size: 12345\nSHA256: "},
		"a name above":    {"Filename: pool/main/l/linux-s", "Filename: ../l/linux-s"},
		"an absolute one": {"Filename: pool/main/l/linux-s", "Filename: /pool/main/l/linux-s"},
		"a query":         {"Filename: pool/main/l/linux-s", "Filename: pool/main?l/linux-s"},
		"a bad size":      {"Size: 12345", "Size: -1"},
		"no colon":        {"Size: 12345", "Size 12345"},
	} {
		text := strings.Replace(someIndex, c[0], c[1], 1)
		if text == someIndex {
			t.Fatalf("%s: nothing was replaced", name)
		}
		if got, err := ParsePackages(strings.NewReader(text), isKernel); err == nil {
			t.Errorf("%s: read as %+v", name, got)
		}
	}
	// What is not wanted need not be right.
	if _, err := ParsePackages(strings.NewReader("Package: x\nnonsense\nSize: y\n"), isKernel); err != nil {
		t.Error(err)
	}
	if _, err := ParsePackages(strings.NewReader("Package: linux-image-x\nDepends: "+strings.Repeat("x", 5<<20)), isKernel); err == nil {
		t.Error("a line of 5 MB was read")
	}
}

func FuzzParsePackages(f *testing.F) {
	f.Add(someIndex)
	f.Add("\n\n \nPackage:\n\nVersion: 1\n")
	f.Add(strings.TrimSuffix(someIndex, someHash)) // good but for its end
	f.Add("Package: a\nVersion: 0\nFilename: .\nSHA256: " + someHash)
	f.Fuzz(func(t *testing.T, text string) {
		got, err := ParsePackages(strings.NewReader(text), func(string) bool { return true })
		if err != nil && got != nil {
			t.Fatal("packages and an error")
		}
		for _, p := range got {
			if p.Name == "" || p.Version == "" || len(p.SHA256) != 64 || p.Size < 0 || path.Clean("/"+p.Filename) != "/"+p.Filename {
				t.Fatalf("package %+v", p)
			}
		}
	})
}
