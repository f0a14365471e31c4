package kernel_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/ctmatrix/ctmatrix/images/kernel"
	"github.com/ctmatrix/ctmatrix/images/kernel/kerneltest"
)

const changes = "linux-signed-amd64 (6.1.192+2) bookworm-security; urgency=high\n\n  * netfilter: something\n"

// chronicled is a mirror with a kernel of each place for a changelog.
func chronicled(t *testing.T) *fixture {
	f := newFixture(t, "bookworm")
	add := func(version, release string, layout kerneltest.Layout, text string, unlisted ...string) {
		f.Add("bookworm", kerneltest.Kernel{Version: version, Release: release, Layout: layout, Changelog: text, Unlisted: unlisted})
	}
	add("6.1.192-2", "6.1.0-56-cloud-amd64", kerneltest.Plain, changes)
	add("6.12.117-1", "6.12.117+deb13-cloud-amd64", kerneltest.Compressed, changes)
	add("6.18.15-1", "6.18.15+deb13-cloud-amd64", kerneltest.Apart, changes)
	add("6.18.16-1", "6.18.16+deb13-cloud-amd64", kerneltest.Apart, changes, "base")
	add("7.3.4-1", "7.3.4+deb13-cloud-amd64", kerneltest.Split, changes)
	add("7.3.5-1", "7.3.5+deb13-cloud-amd64", kerneltest.Split, "")
	return f
}

func TestChangelog(t *testing.T) {
	f := chronicled(t)
	tests := map[string]string{ // the package that is asked for it
		"debian:6.1.192-2":  "linux-image-6.1.0-56",
		"debian:6.12":       "linux-image-6.12.117",
		"debian:6.18.15-1":  "linux-base-6.18.15",
		"debian:7.3.4":      "linux-base-7.3.4",
		"debian:6.12..6.15": "linux-image-6.12.117",
	}
	for ref, pkg := range tests {
		t.Run(ref, func(t *testing.T) {
			f.opt.CacheDir = t.TempDir()
			for range 2 {
				got, err := f.catalog().Changelog(t.Context(), f.resolve(ref)[0])
				if err != nil || string(got) != changes {
					t.Fatalf("Changelog = %q, %v, want %q", got, err, changes)
				}
			}
			before := f.Hits(pkg)
			if _, err := f.catalog().Changelog(t.Context(), f.resolve(ref)[0]); err != nil || f.Hits(pkg) != before {
				t.Errorf("asked for %s %d times more, error %v; want it from the store", pkg, f.Hits(pkg)-before, err)
			}
		})
	}
}

// A fetched kernel's changelog needs no download of its own, and stays when the
// index forgets the package.
func TestChangelogOfFetched(t *testing.T) {
	f := chronicled(t)
	for _, ref := range []string{"debian:6.1", "debian:7.3.4"} {
		f.mustGet(ref)
		cand := f.resolve(ref)[0]
		hits := f.Hits("/pool/")
		f.opt.Suites = []string{"trixie"} // of which the mirror has nothing
		got, err := f.catalog().Changelog(t.Context(), cand)
		if err != nil || string(got) != changes || f.Hits("/pool/") != hits {
			t.Errorf("%s: Changelog = %q, %v, %d downloads", ref, got, err, f.Hits("/pool/")-hits)
		}
		f.opt.Suites = []string{"bookworm"}
	}
}

func TestNoChangelog(t *testing.T) {
	f := chronicled(t)
	dir := t.TempDir()
	for name, data := range map[string]string{"vmlinuz-6.1.0": "image", "modules/kernel/net/x.ko": "x"} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(data), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	tests := map[string]error{
		"dir:" + dir:       kernel.ErrNoChangelog,
		"debian:7.3.5-1":   kernel.ErrNoChangelog,
		"debian:6.18.16-1": kernel.ErrUnverified,
	}
	for ref, want := range tests {
		if got, err := f.catalog().Changelog(t.Context(), f.resolve(ref)[0]); !errors.Is(err, want) {
			t.Errorf("%s: Changelog = %q, %v, want %v", ref, got, err, want)
		}
	}
	f.opt.AllowUnverified = true
	cand := f.resolve("debian:6.18.16-1")[0]
	if got, err := f.catalog().Changelog(t.Context(), cand); err != nil || string(got) != changes {
		t.Errorf("unverified, allowed: Changelog = %q, %v", got, err)
	}
	// What was allowed once is not vouched for by having been stored.
	f.opt.AllowUnverified = false
	if _, err := f.catalog().Changelog(t.Context(), cand); !errors.Is(err, kernel.ErrUnverified) {
		t.Errorf("unverified, stored: error %v", err)
	}
	f.Corrupt("linux-image-6.12.117")
	if _, err := f.catalog().Changelog(t.Context(), f.resolve("debian:6.12")[0]); !errors.Is(err, kernel.ErrCorrupt) {
		t.Errorf("corrupt: error %v", err)
	}
	f.Remove("linux-image-6.1.0")
	if _, err := f.catalog().Changelog(t.Context(), f.resolve("debian:6.1")[0]); !errors.Is(err, kernel.ErrGone) {
		t.Errorf("gone: error %v", err)
	}
}
