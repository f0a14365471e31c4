package kernel_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/ctmatrix/ctmatrix/images/kernel/apt"
	"github.com/ctmatrix/ctmatrix/images/kernel/kerneltest"
)

// small is a fixture with one suite of one kernel.
func small(t *testing.T) *fixture {
	f := newFixture(t, "bookworm")
	f.Add("bookworm", kerneltest.Kernel{Version: "6.1.192-2", Release: "6.1.0-56-cloud-amd64"})
	return f
}

// What a mirror does wrong is told in one line that says which file and why, and
// is over soon. Nothing is left of it.
func TestOddMirrors(t *testing.T) {
	const deb = "6.1.192-2_amd64.deb"
	for name, c := range map[string]struct {
		odd  func(*fixture)
		want string
	}{
		"package cut off": {func(f *fixture) { f.CutOff(deb) }, " bytes: unexpected EOF"},
		"index cut off":   {func(f *fixture) { f.CutOff("/by-hash/") }, "no index of it is kept: name another mirror with --mirror, or try again"},
		"release cut off": {func(f *fixture) { f.CutOff("InRelease") }, "unexpected EOF; no index of it is kept: name another mirror with --mirror, or try again"},
		"package drips":   {func(f *fixture) { f.Drip(deb, 10*time.Millisecond) }, "bytes came in 500ms"},
		"package stalls":  {func(f *fixture) { f.Drip(deb, time.Hour) }, "bytes came in 500ms"},
		"release drips":   {func(f *fixture) { f.Drip("InRelease", 10*time.Millisecond) }, ": not there after 500ms; no index of it is kept: name another mirror with --mirror, or try again"},
		"package endless": {func(f *fixture) { f.Endless(deb) }, "content differs from the signed index: "},
		"release endless": {func(f *fixture) { f.Endless("InRelease") }, "more than 8388608 bytes; no index"},
		"round and round": {func(f *fixture) { f.Redirect(deb, "/"+deb) }, "stopped after 10 redirects"},
		"to a file":       {func(f *fixture) { f.Redirect(deb, "file:///etc/passwd") }, `unsupported protocol scheme "file"`},
		"to nobody":       {func(f *fixture) { f.Redirect(deb, "http://127.0.0.1:1/") }, "connection refused"},
		"elsewhere":       {func(f *fixture) { f.Redirect(deb, f.URL+"/dists/bookworm/InRelease") }, "content differs from the signed index: "},
		"not HTTP":        {func(f *fixture) { f.Say("InRelease", "SSH-2.0-x\r\n") }, "malformed HTTP"},
		"server error":    {func(f *fixture) { f.Say(deb, "HTTP/1.0 503 \x1b[2Jgone\r\n\r\n") }, "the mirror answers 503 Service Unavailable"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := small(t)
			if strings.HasPrefix(name, "package") {
				f.resolve("debian:6.1") // however long that takes on a host at work
			}
			if strings.Contains(name, "drips") || strings.Contains(name, "stalls") {
				f.opt.Patience = 500 * time.Millisecond
			}
			c.odd(f)
			began := time.Now()
			_, err := f.get("debian:6.1")
			if err == nil || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v", err)
			}
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("took %s", took)
			}
		})
	}
}

// A signed index that is older than the one before is not used: whoever serves
// it would have us test what has been replaced since.
func TestRollback(t *testing.T) {
	f := small(t)
	s := f.Suite("bookworm")
	now := time.Now().Truncate(time.Second)
	s.Signed = now.Add(-time.Hour)
	want := f.resolve("debian:6.1")[0].Version

	s.Signed = now.Add(-48 * time.Hour)
	f.Add("bookworm", kerneltest.Kernel{Version: "6.1.200-1", Release: "6.1.0-60-cloud-amd64"})
	f.opt.Refresh = true
	if got := f.resolve("debian:6.1")[0].Version; got != want {
		t.Errorf("%s is taken from the older index, want %s", got, want)
	}
	w := f.warned()
	if len(w) != 1 || !strings.HasPrefix(w[0], "suite bookworm: the mirror serves the index signed on ") || !strings.Contains(w[0], " before; using the index of ") {
		t.Errorf("warnings %q", w)
	}

	// A newer one is taken as ever.
	s.Signed = now
	if got := f.resolve("debian:6.1")[0].Version; got != "6.1.200-1" {
		t.Errorf("%s is taken from the newer index", got)
	}
}

// A suite that goes, to come back older, is told of both times.
func TestRollbackOverNothing(t *testing.T) {
	f := small(t)
	f.Suite("trixie")
	f.opt.Suites = append(f.opt.Suites, "trixie")
	f.resolve("debian:6.1")
	f.opt.Refresh = true
	f.Remove("/trixie/InRelease")
	f.resolve("debian:6.1")
	f.resolve("debian:6.1")
	f.Restore()
	f.Suite("trixie").Signed = time.Now().Add(-time.Hour)
	f.resolve("debian:6.1")
	w := f.warned()
	if len(w) != 2 || !strings.HasSuffix(w[0], ", and has it no more; passed over") || !strings.HasSuffix(w[1], " before; passed over") {
		t.Errorf("warnings %q", w)
	}
}

// A signature may end, and a clock be wrong: either is told.
func TestSignatureTime(t *testing.T) {
	f := small(t)
	f.Suite("bookworm").Signed = time.Now().Add(-48 * time.Hour)
	f.Suite("bookworm").SigLife = time.Hour
	_, err := f.get("debian:6.1")
	if !errors.Is(err, apt.ErrSignature) || !strings.HasSuffix(err.Error(), " has expired") {
		t.Errorf("an expired signature: %v", err)
	}
	f.Suite("bookworm").SigLife = 0
	f.opt.Now = func() time.Time { return time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC) }
	_, err = f.get("debian:6.1")
	if !errors.Is(err, apt.ErrSignature) || !strings.Contains(err.Error(), "is this host's clock right, which says 2001-02-03") {
		t.Errorf("a clock far behind: %v", err)
	}
}

// A clock that jumps, either way, between runs leaves the kept index of use.
func TestClockJumps(t *testing.T) {
	f := small(t)
	at := time.Now()
	f.opt.Now = func() time.Time { return at }
	want := f.resolve("debian:6.1")
	hits := f.Hits("/by-hash/")
	for _, jump := range []time.Duration{100 * 365 * 24 * time.Hour, -2 * time.Hour, time.Hour} {
		at = time.Now().Add(jump)
		if got := f.resolve("debian:6.1"); len(got) != 1 || got[0].Version != want[0].Version {
			t.Errorf("after a jump of %s: %v", jump, got)
		}
	}
	if n := f.Hits("/by-hash/"); n != hits {
		t.Errorf("the index is downloaded again, %d times", n-hits)
	}
	if w := f.warned(); len(w) != 0 {
		t.Errorf("warnings %q", w)
	}
}

// An endless answer takes no more memory than what it is bounded by.
func TestEndlessIsBounded(t *testing.T) {
	f := small(t)
	f.Endless("InRelease")
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := f.get("debian:6.1")
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; err == nil || n > 128<<20 {
		t.Errorf("%v, %d bytes were allocated", err, n)
	}
}

// A bit that flips in what is kept of an index is not held against the mirror: it
// is asked again.
func TestKeptIndexChanges(t *testing.T) {
	f := small(t)
	want := f.resolve("debian:6.1")
	files, err := filepath.Glob(filepath.Join(f.opt.CacheDir, "docs", "*", "*"))
	if err != nil || len(files) != 2 {
		t.Fatalf("%q, %v", files, err)
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(data); i += 1 + len(data)/12 {
			changed := bytes.Clone(data)
			changed[i] ^= 1
			if err := os.WriteFile(name, changed, 0o600); err != nil {
				t.Fatal(err)
			}
			if got := f.resolve("debian:6.1"); got[0].Version != want[0].Version {
				t.Fatalf("%s, byte %d: %+v", name, i, got)
			}
			if k := f.mustGet("debian:6.1"); k.Version != want[0].Version {
				t.Fatalf("%s, byte %d: fetched %+v", name, i, k)
			}
		}
	}
	if w := f.warned(); len(w) != 0 {
		t.Errorf("warnings %q", w)
	}
}
