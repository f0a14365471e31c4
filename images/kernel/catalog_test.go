package kernel_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ctmatrix/ctmatrix/images/kernel"
	"github.com/ctmatrix/ctmatrix/images/kernel/kerneltest"
)

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

// What lies in the store is found without a look at what it holds.
func TestHeld(t *testing.T) {
	f := standard(t)
	found, err := f.catalog().Resolve(t.Context(), "debian:6.1")
	if err != nil {
		t.Fatal(err)
	}
	if c := f.catalog(); c.Has(t.Context(), found[0]) || c.Held(t.Context(), found[0]) != nil {
		t.Error("it is there before it was fetched")
	}
	want := f.mustGet("debian:6.1")
	if d := cmp.Diff(want, f.catalog().Held(t.Context(), found[0])); d != "" || !f.catalog().Has(t.Context(), found[0]) {
		t.Errorf("held (-fetched +held)\n%s", d)
	}
	// Of a file that has changed Fetch is told; one of another size is no kernel's.
	spoil(t, want.Image)
	if k := f.catalog().Held(t.Context(), found[0]); k == nil || k.Digest != want.Digest {
		t.Errorf("%+v", k)
	}
	if err := os.Truncate(want.Image, 3); err != nil {
		t.Fatal(err)
	}
	if k := f.catalog().Held(t.Context(), found[0]); k != nil {
		t.Errorf("damaged, and held as %+v", k)
	}
	local := found[0]
	local.Source = kernel.SchemeDir
	if c := f.catalog(); !c.Has(t.Context(), local) || c.Held(t.Context(), local) != nil {
		t.Error("a directory's kernel is downloaded, or held unread")
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
