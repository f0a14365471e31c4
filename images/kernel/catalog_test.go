package kernel_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ctmatrix/ctmatrix/images/kernel"
	"github.com/ctmatrix/ctmatrix/images/kernel/apt"
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

func TestResolve(t *testing.T) {
	f := standard(t)
	for ref, want := range map[string][]string{
		"debian:6.1":                          {"6.1.192-2"},
		"debian:6.1.192":                      {"6.1.192-2"},
		"debian:6.1.192-1":                    {"6.1.192-1"},
		"debian:6.1.*":                        {"6.1.176-1", "6.1.192-1", "6.1.192-2"},
		"debian:6.1?flavour=generic":          {"6.1.176-1"},
		"debian:6.12":                         {"6.12.43-1~bpo12+1"},
		"debian:7.3":                          {"7.3.4-1~bpo13+1"},
		"debian:7.3.*":                        {"7.3~rc7-1~exp1", "7.3.4-1~bpo13+1"},
		"debian:6.1..6.12":                    {"6.1.176-1", "6.1.192-1", "6.1.192-2", "6.12.43-1~bpo12+1"},
		"debian:6.1.192-2..7.0":               {"6.1.192-2", "6.12.43-1~bpo12+1"},
		"debian:*":                            {"6.1.176-1", "6.1.192-1", "6.1.192-2", "6.12.43-1~bpo12+1", "7.3~rc7-1~exp1", "7.3.4-1~bpo13+1"},
		"debian:bookworm":                     {"6.1.192-2"},
		"debian:trixie-backports":             {"7.3.4-1~bpo13+1"},
		"debian:experimental":                 {"7.3~rc7-1~exp1"},
		"debian:6.1?arch=amd64&flavour=cloud": {"6.1.192-2"},
	} {
		var got []string
		for _, c := range f.resolve(ref) {
			got = append(got, c.Version)
			if c.Ref != ref || !c.Verified || c.Source != "debian" {
				t.Errorf("%s: candidate %+v", ref, c)
			}
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: (-want +got)\n%s", ref, d)
		}
	}
}

func TestCandidate(t *testing.T) {
	f := standard(t)
	got := f.resolve("debian:6.1")[0]
	want := kernel.Candidate{
		Ref: "debian:6.1", Source: "debian", Version: "6.1.192-2", Upstream: "6.1.192", Series: "6.1",
		Release: "6.1.0-56-cloud-amd64", Flavour: "cloud", Arch: "amd64", Suite: "bookworm-security", Verified: true,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	if got.Exact() != "debian:6.1.192-2" {
		t.Errorf("exact ref %s", got.Exact())
	}
	rt := kernel.Candidate{Source: "debian", Version: "6.1.1-1", Flavour: "rt", Arch: "arm64", Suite: "x"}
	if rt.Exact() != "debian:6.1.1-1?flavour=rt&arch=arm64" {
		t.Errorf("exact ref %s", rt.Exact())
	}
}

// The same version in two suites, or signed and unsigned, is one kernel.
func TestList(t *testing.T) {
	f := standard(t)
	list, err := f.catalog().Source("debian").List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range list {
		got = append(got, c.Ref)
		if strings.Contains(c.Release, "unsigned") {
			t.Errorf("listed %s", c.Release)
		}
	}
	want := []string{
		"debian:6.1.176-1", "debian:6.1.176-1?flavour=generic", "debian:6.1.192-1", "debian:6.1.192-2",
		"debian:6.12.43-1~bpo12+1", "debian:7.1.13-1~bpo13+1", "debian:7.3~rc7-1~exp1", "debian:7.3.4-1~bpo13+1",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

// Every layout ends as the same files.
func TestFetchLayouts(t *testing.T) {
	f := standard(t)
	want := []string{
		"kernel/arch/x86/crypto/crc32c-intel.ko", "kernel/drivers/char/virtio_console.ko", "kernel/drivers/net/tun.ko",
		"kernel/lib/libcrc32c.ko", "kernel/net/ipv4/netfilter/nf_defrag_ipv4.ko", "kernel/net/netfilter/nf_conntrack.ko",
		"modules.builtin",
	}
	for _, ref := range []string{"debian:6.1", "debian:6.12", "debian:7.3"} {
		k := f.mustGet(ref)
		if d := cmp.Diff(want, tree(t, k.ModulesDir)); d != "" {
			t.Errorf("%s: modules (-want +got)\n%s", ref, d)
		}
		for path, content := range map[string]string{
			k.Image:  "image of " + k.Release,
			k.Config: "CONFIG_NET=y\n",
			filepath.Join(k.ModulesDir, "kernel/net/netfilter/nf_conntrack.ko"): "nf_conntrack",
		} {
			if got, err := os.ReadFile(path); err != nil || string(got) != content {
				t.Errorf("%s: %s is %q, %v", ref, path, got, err)
			}
		}
		if len(k.Digest) != 64 || !k.Verified || len(k.Warnings) != 0 {
			t.Errorf("%s: %+v", ref, k)
		}
	}
}

func tree(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, rerr := filepath.Rel(dir, path)
			out, err = append(out, rel), rerr
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// With everything kept and fresh, neither resolving nor fetching asks the
// mirror; when the hour is over, only the release files are asked for.
func TestCached(t *testing.T) {
	f := standard(t)
	first := f.mustGet("debian:6.1")
	before := f.Hits("/")
	again := f.mustGet("debian:6.1")
	if d := cmp.Diff(first, again); d != "" {
		t.Errorf("second fetch differs:\n%s", d)
	}
	if n := f.Hits("/") - before; n != 0 {
		t.Errorf("%d requests although all was kept", n)
	}
	f.opt.Now = func() time.Time { return time.Now().Add(2 * time.Hour) }
	f.mustGet("debian:6.1")
	if n, all := f.Hits("/InRelease"), f.Hits("/"); n != 8 || all != before+4 {
		t.Errorf("%d requests for release files, %d in all; want 8 and %d", n, all, before+4)
	}
	f.opt.Refresh = true
	f.mustGet("debian:6.1")
	if n := f.Hits("/InRelease"); n != 12 {
		t.Errorf("%d requests for release files after a refresh, want 12", n)
	}
}

func TestUnknown(t *testing.T) {
	f := standard(t)
	for ref, want := range map[string]string{
		"debian:6.2":              "no kernel debian:6.2 for flavour cloud, arch amd64; nearest: 6.1.192-2, 6.12.43-1~bpo12+1",
		"debian:5.10":             "no kernel debian:5.10 for flavour cloud, arch amd64; nearest: 6.1.176-1",
		"debian:9.9":              "no kernel debian:9.9 for flavour cloud, arch amd64; nearest: 7.3.4-1~bpo13+1",
		"debian:6.1.180-1":        "no kernel debian:6.1.180-1 for flavour cloud, arch amd64; nearest: 6.1.176-1, 6.1.192-1",
		"debian:6.1?flavour=rt":   "no kernel debian:6.1 for flavour rt, arch amd64; nearest: none at all in bookworm, bookworm-security, trixie-backports, experimental",
		"debian:6.2..6.11":        "no kernel debian:6.2..6.11 for flavour cloud, arch amd64; nearest: 6.1.192-2, 6.12.43-1~bpo12+1",
		"debian:6.1?arch=riscv64": "no kernel debian:6.1 for flavour cloud, arch riscv64; nearest: none at all in bookworm, bookworm-security, trixie-backports, experimental",
		"debian:sarge":            `no such kernel debian:sarge: no suite "sarge"; there are bookworm, bookworm-security, trixie-backports, experimental`,
		"dir:" + f.opt.CacheDir:   "no such kernel in " + f.opt.CacheDir + ": no image: looked for vmlinuz-*, vmlinuz, bzImage, boot/vmlinuz-*",
		"dir:/nowhere/at/all":     "no such kernel in /nowhere/at/all: no such file or directory",
	} {
		_, err := f.catalog().Resolve(t.Context(), ref)
		if err == nil || err.Error() != want || !errors.Is(err, kernel.ErrUnknown) {
			t.Errorf("%s: %v\nwant %s", ref, err, want)
		}
	}
}

func TestUnverified(t *testing.T) {
	f := standard(t)
	_, err := f.get("debian:7.1")
	want := "debian:7.1: 7.1.13-1~bpo13+1: linux-base-7.1.13+deb13-cloud-amd64_7.1.13-1~bpo13+1_amd64.deb, " +
		"linux-modules-7.1.13+deb13-cloud-amd64_7.1.13-1~bpo13+1_amd64.deb: not in a signed index; --allow-unverified takes it"
	if err == nil || err.Error() != want || !errors.Is(err, kernel.ErrUnverified) {
		t.Errorf("%v\nwant %s", err, want)
	}
	if n := f.Hits("7.1.13"); n != 0 {
		t.Errorf("%d requests for files that are not allowed", n)
	}

	f.opt.AllowUnverified = true
	k := f.mustGet("debian:7.1")
	if k.Verified || k.Version != "7.1.13-1~bpo13+1" || len(tree(t, k.ModulesDir)) != 7 {
		t.Errorf("%+v", k)
	}
	if got := f.resolve("debian:*"); len(got) != 7 {
		t.Errorf("%d kernels with unverified ones, want 7", len(got))
	}
}

// A newer kernel that no index vouches for gives way to one that is verified.
func TestUnverifiedGivesWay(t *testing.T) {
	f := newFixture(t, "sid")
	f.Add("sid", kerneltest.Kernel{Version: "7.1.1-1", Release: "7.1.1-cloud-amd64", Layout: kerneltest.Split})
	f.Add("sid", kerneltest.Kernel{Version: "7.1.2-1", Release: "7.1.2-cloud-amd64", Layout: kerneltest.Split, Unlisted: []string{"modules"}})
	if got := f.resolve("debian:7.1")[0].Version; got != "7.1.1-1" {
		t.Errorf("resolved to %s", got)
	}
	want := []string{"debian:7.1: left out 7.1.2-1, which no signed index names in full; --allow-unverified takes them in"}
	if d := cmp.Diff(want, f.warned()); d != "" {
		t.Errorf("warnings (-want +got)\n%s", d)
	}
}

// A kernel that has left the index is named by its file in the pool.
func TestPool(t *testing.T) {
	f := newFixture(t, "bookworm")
	f.Add("bookworm", kerneltest.Kernel{Version: "6.1.192-2", Release: "6.1.0-56-cloud-amd64"})
	f.Add("old", kerneltest.Kernel{Version: "6.1.140-1", Release: "6.1.0-37-cloud-amd64"})
	if _, err := f.get("debian:6.1.0-37_6.1.140-1"); !errors.Is(err, kernel.ErrUnverified) {
		t.Errorf("not allowed: %v", err)
	}
	f.opt.AllowUnverified = true
	k := f.mustGet("debian:6.1.0-37_6.1.140-1")
	if k.Verified || k.Release != "6.1.0-37-cloud-amd64" || k.Series != "6.1" || k.Exact() != "debian:6.1.0-37_6.1.140-1" {
		t.Errorf("%+v", k)
	}
	if _, err := f.get("debian:6.1.0-38_6.1.147-1"); !errors.Is(err, kernel.ErrGone) {
		t.Errorf("absent from the pool: %v", err)
	}
}

func TestGone(t *testing.T) {
	f := standard(t)
	f.Remove("linux-image-6.1.0-56-cloud-amd64_6.1.192-2_amd64.deb")
	k := f.mustGet("debian:6.1")
	want := []string{"debian:6.1: package has gone from the mirror: linux-image-6.1.0-56-cloud-amd64_6.1.192-2_amd64.deb; taking 6.1.192-1"}
	if k.Version != "6.1.192-1" || k.Ref != "debian:6.1" {
		t.Errorf("took %s", k.Version)
	}
	if d := cmp.Diff(want, k.Warnings); d != "" {
		t.Errorf("warnings (-want +got)\n%s", d)
	}
	if d := cmp.Diff(want, f.warned()); d != "" {
		t.Errorf("warned (-want +got)\n%s", d)
	}
	for _, ref := range []string{"debian:6.1.192-2", "debian:6.1.*", "debian:bookworm"} {
		if _, err := f.get(ref); !errors.Is(err, kernel.ErrGone) {
			t.Errorf("%s: %v, want ErrGone", ref, err)
		}
	}
}

func TestWrongSignature(t *testing.T) {
	f := standard(t)
	f.Suite("bookworm-security").WrongKey = true
	if got := f.resolve("debian:6.1")[0].Version; got != "6.1.176-1" {
		t.Errorf("resolved to %s from a suite whose signature is bad", got)
	}
	if w := f.warned(); len(w) != 1 || !strings.HasPrefix(w[0], "suite bookworm-security: InRelease: no good signature: key ") ||
		!strings.HasSuffix(w[0], " is not in the keyring; passed over") {
		t.Errorf("warnings %q", w)
	}

	f.opt.Suites = []string{"bookworm-security"}
	_, err := f.catalog().Resolve(t.Context(), "debian:6.1")
	if !errors.Is(err, apt.ErrSignature) || strings.Contains(err.Error(), "\n") {
		t.Errorf("the only suite is badly signed: %v", err)
	}
}

// One suite must not pass for another, though the signature is good.
func TestSwappedSuite(t *testing.T) {
	f := newFixture(t, "trixie")
	f.Add("trixie", kerneltest.Kernel{Version: "6.12.1-1", Release: "6.12.1-cloud-amd64"})
	f.Suite("trixie").Claims = "bullseye"
	_, err := f.catalog().Resolve(t.Context(), "debian:6.12")
	if !errors.Is(err, apt.ErrSignature) {
		t.Errorf("got %v", err)
	}
}

func TestExpired(t *testing.T) {
	f := standard(t)
	f.Suite("experimental").ValidUntil = time.Date(2026, 10, 30, 8, 0, 0, 0, time.UTC)
	f.opt.Now = func() time.Time { return time.Date(2126, 1, 1, 0, 0, 0, 0, time.UTC) }
	want := []string{"the index of experimental expired on 2026-10-30"}
	k := f.mustGet("debian:experimental")
	if d := cmp.Diff(want, k.Warnings); d != "" {
		t.Errorf("of the kernel (-want +got)\n%s", d)
	}
	if d := cmp.Diff(want, f.warned()); d != "" {
		t.Errorf("of the catalog (-want +got)\n%s", d)
	}
	if k := f.mustGet("debian:6.1"); len(k.Warnings) != 0 {
		t.Errorf("a kernel of another suite is warned of: %q", k.Warnings)
	}
}

func TestCorrupt(t *testing.T) {
	f := standard(t)
	f.Corrupt("linux-image-6.1.0-56-cloud-amd64_6.1.192-2_amd64.deb")
	_, err := f.get("debian:6.1")
	if !errors.Is(err, kernel.ErrCorrupt) || strings.Contains(err.Error(), "\n") {
		t.Fatalf("got %v", err)
	}
	if n := f.Hits("192-2_amd64.deb"); n != 1 {
		t.Errorf("asked for %d times", n)
	}
	nothingLeft(t, f.opt.CacheDir)
}

// A changed index is not used, under whatever name it comes.
func TestCorruptIndex(t *testing.T) {
	f := newFixture(t, "sid")
	f.Add("sid", kerneltest.Kernel{Version: "7.1.1-1", Release: "7.1.1-cloud-amd64"})
	f.Corrupt("/by-hash/SHA256/")
	if _, err := f.catalog().Resolve(t.Context(), "debian:7.1"); !errors.Is(err, kernel.ErrCorrupt) {
		t.Errorf("got %v", err)
	}
}

func nothingLeft(t *testing.T, cache string) {
	t.Helper()
	for _, dir := range []string{"tmp", "kernels"} {
		if left, err := os.ReadDir(filepath.Join(cache, dir)); err != nil || len(left) != 0 {
			t.Errorf("left behind in %s: %v, %v", dir, left, err)
		}
	}
}

func TestCancel(t *testing.T) {
	f := standard(t)
	c := f.catalog()
	got, err := c.Resolve(t.Context(), "debian:6.1")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Hold("6.1.192-2_amd64.deb")()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := c.Fetch(ctx, got[0])
		done <- err
	}()
	for f.Hits("6.1.192-2_amd64.deb") == 0 {
		time.Sleep(time.Millisecond) // until the download has begun
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	nothingLeft(t, f.opt.CacheDir)
}

// Two who want the same kernel at once download it once. Each has a catalog of
// its own, as two processes have.
func TestTogether(t *testing.T) {
	f := standard(t)
	f.resolve("debian:6.1") // so that only the fetches meet
	var wg sync.WaitGroup
	kernels := make([]*kernel.Kernel, 4)
	for i := range kernels {
		wg.Go(func() {
			k, err := f.get("debian:6.1")
			if err != nil {
				t.Error(err)
			}
			kernels[i] = k
		})
	}
	wg.Wait()
	if n := f.Hits("6.1.192-2_amd64.deb"); n != 1 {
		t.Errorf("downloaded %d times", n)
	}
	for _, k := range kernels[1:] {
		if d := cmp.Diff(kernels[0], k); d != "" {
			t.Errorf("kernels differ:\n%s", d)
		}
	}
}

// Root may write anywhere, so what cannot be written lies below a file.
func TestUnwritable(t *testing.T) {
	f := standard(t)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	f.opt.CacheDir = filepath.Join(file, "cache")
	_, err := f.get("debian:6.1")
	if err == nil || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), f.opt.CacheDir) || !strings.Contains(err.Error(), "CTMATRIX_CACHE") {
		t.Errorf("got %v", err)
	}
}

func TestMissingSuite(t *testing.T) {
	f := standard(t)
	f.opt.Suites = append(f.opt.Suites, "bullseye-backports")
	var notes []string
	f.opt.Verbose = func(s string) { notes = append(notes, s) }
	f.resolve("debian:6.1")
	if d := cmp.Diff([]string{"suite bullseye-backports: not on the mirror; passed over"}, notes); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	if w := f.warned(); len(w) != 0 {
		t.Errorf("warnings %q", w)
	}
	f.opt.Suites = []string{"bullseye-backports"}
	_, err := f.catalog().Resolve(t.Context(), "debian:6.1")
	if err == nil || !strings.Contains(err.Error(), "--mirror") {
		t.Errorf("no suite at all: %v", err)
	}
}

func TestNoMirror(t *testing.T) {
	f := standard(t)
	f.opt.Mirror = ""
	_, err := f.catalog().Resolve(t.Context(), "debian:6.1")
	if !errors.Is(err, apt.ErrNoMirror) || !strings.Contains(err.Error(), "--mirror") || !strings.Contains(err.Error(), "mirror:") {
		t.Errorf("got %v", err)
	}
	// As apt's sources name it.
	list := "deb [arch=amd64 signed-by=" + f.Keyring + "] " + f.URL + "/ bookworm main\n"
	if err := os.WriteFile(filepath.Join(f.opt.AptDir, "sources.list"), []byte(list), 0o644); err != nil {
		t.Fatal(err)
	}
	f.opt.Keyring = ""
	if got := f.resolve("debian:6.1")[0].Version; got != "6.1.192-2" {
		t.Errorf("resolved to %s", got)
	}
}

// When the mirror cannot be reached, an old index is better than none.
func TestOffline(t *testing.T) {
	f := standard(t)
	want := f.resolve("debian:6.1")
	f.opt.Refresh = true
	f.Fail(503)
	if d := cmp.Diff(want, f.resolve("debian:6.1")); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	w := f.warned()
	if len(w) != 4 || !strings.Contains(w[0], "the mirror answers 503 Service Unavailable; using the index of ") {
		t.Errorf("warnings %q", w)
	}
	f.opt.CacheDir = t.TempDir()
	if _, err := f.catalog().Resolve(t.Context(), "debian:6.1"); err == nil {
		t.Error("resolved without any index")
	}
}

func TestStored(t *testing.T) {
	f := standard(t)
	k := f.mustGet("debian:6.1")
	stored, err := f.catalog().Stored()
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]*kernel.Kernel{k}, stored); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	if err := f.catalog().Store().Verify(t.Context(), k.Digest); err != nil {
		t.Error(err)
	}
	// A damaged entry is made anew.
	if err := os.Truncate(k.Image, 3); err != nil {
		t.Fatal(err)
	}
	f.mustGet("debian:6.1")
	if got, err := os.ReadFile(k.Image); err != nil || string(got) != "image of 6.1.0-56-cloud-amd64" {
		t.Errorf("image %q, %v", got, err)
	}
}

// Progress is told of each package, and that it is done.
func TestProgress(t *testing.T) {
	f := standard(t)
	p := &progress{open: map[string]int64{}}
	f.opt.Progress = p
	f.mustGet("debian:7.3")
	if len(p.open) != 0 {
		t.Errorf("never done: %v", p.open)
	}
	if p.done != 7 { // four indexes and three packages
		t.Errorf("%d tasks done, want 7", p.done)
	}
}

type progress struct {
	mu   sync.Mutex
	open map[string]int64
	done int
}

func (p *progress) Start(name string, total int64) kernel.Task {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open[name] = total
	return &task{p, name}
}

type task struct {
	p    *progress
	name string
}

func (t *task) Add(n int64) {
	t.p.mu.Lock()
	defer t.p.mu.Unlock()
	t.p.open[t.name] -= n
}

func (t *task) Done(err error) {
	t.p.mu.Lock()
	defer t.p.mu.Unlock()
	if err == nil && t.p.open[t.name] == 0 {
		delete(t.p.open, t.name)
	}
	t.p.done++
}
