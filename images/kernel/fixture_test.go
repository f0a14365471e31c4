package kernel_test

import (
	"slices"
	"sync"
	"testing"

	"github.com/ctmatrix/ctmatrix/images/kernel"
	"github.com/ctmatrix/ctmatrix/images/kernel/kerneltest"
)

// fixture is a mirror and the options to use it.
type fixture struct {
	*kerneltest.Mirror
	t   testing.TB
	opt kernel.Options

	mu       sync.Mutex
	warnings []string
}

func newFixture(t testing.TB, suites ...string) *fixture {
	t.Helper()
	f := &fixture{Mirror: kerneltest.NewMirror(t), t: t}
	f.opt = kernel.Options{
		CacheDir: t.TempDir(),
		Mirror:   f.URL,
		Keyring:  f.Keyring,
		Suites:   suites,
		AptDir:   t.TempDir(),
		Warn: func(s string) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.warnings = append(f.warnings, s)
		},
	}
	for _, s := range suites {
		f.Suite(s)
	}
	return f
}

// standard is a mirror with kernels of all layouts.
func standard(t testing.TB) *fixture {
	t.Helper()
	f := newFixture(t, "bookworm", "bookworm-security", "trixie-backports", "experimental")
	f.Add("bookworm", kerneltest.Kernel{Version: "6.1.176-1", Release: "6.1.0-50-cloud-amd64", Unsigned: true, Meta: true})
	f.Add("bookworm", kerneltest.Kernel{Version: "6.1.176-1", Release: "6.1.0-50-amd64"})
	f.Add("bookworm-security", kerneltest.Kernel{Version: "6.1.176-1", Release: "6.1.0-50-cloud-amd64"})
	f.Add("bookworm-security", kerneltest.Kernel{Version: "6.1.192-1", Release: "6.1.0-55-cloud-amd64"})
	f.Add("bookworm-security", kerneltest.Kernel{Version: "6.1.192-2", Release: "6.1.0-56-cloud-amd64", Meta: true})
	f.Add("trixie-backports", kerneltest.Kernel{Version: "6.12.43-1~bpo12+1", Release: "6.12.43+deb12-cloud-amd64", Layout: kerneltest.Compressed})
	f.Add("trixie-backports", kerneltest.Kernel{Version: "7.1.13-1~bpo13+1", Release: "7.1.13+deb13-cloud-amd64", Layout: kerneltest.Split, Unlisted: []string{"modules", "base"}})
	f.Add("trixie-backports", kerneltest.Kernel{Version: "7.3.4-1~bpo13+1", Release: "7.3.4+deb13-cloud-amd64", Layout: kerneltest.Split, Meta: true})
	f.Add("experimental", kerneltest.Kernel{Version: "7.3~rc7-1~exp1", Release: "7.3-cloud-amd64", Layout: kerneltest.Split, Meta: true})
	return f
}

func (f *fixture) catalog() *kernel.Catalog {
	f.t.Helper()
	c, err := kernel.New(f.opt)
	if err != nil {
		f.t.Fatal(err)
	}
	return c
}

func (f *fixture) resolve(ref string) []kernel.Candidate {
	f.t.Helper()
	got, err := f.catalog().Resolve(f.t.Context(), ref)
	if err != nil {
		f.t.Fatalf("%s: %v", ref, err)
	}
	return got
}

func (f *fixture) get(ref string) (*kernel.Kernel, error) {
	f.t.Helper()
	c := f.catalog()
	got, err := c.Resolve(f.t.Context(), ref)
	if err != nil {
		return nil, err
	}
	return c.Fetch(f.t.Context(), got[len(got)-1])
}

func (f *fixture) mustGet(ref string) *kernel.Kernel {
	f.t.Helper()
	k, err := f.get(ref)
	if err != nil {
		f.t.Fatalf("%s: %v", ref, err)
	}
	return k
}

func (f *fixture) warned() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.warnings)
}
