package kernel_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ctmatrix/ctmatrix/images/kernel"
	"github.com/ctmatrix/ctmatrix/images/kernel/apt"
	"github.com/ctmatrix/ctmatrix/images/kernel/kerneltest"
)

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
	if warned := f.warned(); len(warned) != 0 {
		t.Errorf("the catalog warns of what the kernel says already: %q", warned)
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
