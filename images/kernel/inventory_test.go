package kernel_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ctmatrix/ctmatrix/images/kernel"
	"github.com/ctmatrix/ctmatrix/images/kernel/kerneltest"
	"github.com/ctmatrix/ctmatrix/images/kernel/store"
)

// versions are those of kernels, with a mark on what no signed index vouches
// for, what is stored, and what has no known size.
func versions(infos []kernel.Info) []string {
	var out []string
	for _, i := range infos {
		s := i.Version
		if !i.Verified {
			s += " unverified"
		}
		if i.Download == 0 {
			s += " unsized"
		}
		if i.Stored != nil {
			s += " stored"
		}
		out = append(out, s)
	}
	return out
}

func TestOffers(t *testing.T) {
	f := standard(t)
	f.mustGet("debian:6.1.192-2")
	for ref, want := range map[string][]string{
		"debian:6.1.*":                     {"6.1.176-1", "6.1.192-1", "6.1.192-2 stored"},
		"debian:6.1":                       {"6.1.192-2 stored"},
		"debian:7.1..7.3":                  {"7.1.13-1~bpo13+1 unverified unsized", "7.3~rc7-1~exp1", "7.3.4-1~bpo13+1"},
		"debian:7.1":                       {"7.1.13-1~bpo13+1 unverified unsized"},
		"debian:6.1.0-50_6.1.176-1":        {"6.1.176-1 unverified unsized"},
		"debian:6.1.176-1?flavour=generic": {"6.1.176-1"},
	} {
		got, err := f.catalog().Offers(t.Context(), ref)
		if err != nil {
			t.Errorf("%s: %v", ref, err)
			continue
		}
		if d := cmp.Diff(want, versions(got)); d != "" {
			t.Errorf("%s: (-want +got)\n%s", ref, d)
		}
	}
	if _, err := f.catalog().Offers(t.Context(), "debian:4.4"); !errors.Is(err, kernel.ErrUnknown) {
		t.Errorf("debian:4.4: %v", err)
	}
	if w := f.warned(); len(w) > 0 {
		t.Errorf("warned: %q", w)
	}
}

// What the mirror turned out not to have is marked, until it has it.
func TestOffersGone(t *testing.T) {
	f := standard(t)
	f.Remove("6.1.192-1")
	if _, err := f.get("debian:6.1.192-1"); !errors.Is(err, kernel.ErrGone) {
		t.Fatalf("got %v", err)
	}
	got, err := f.catalog().Offers(t.Context(), "debian:6.1.*")
	if err != nil || len(got) != 3 || got[0].Gone || !got[1].Gone || got[2].Gone {
		t.Errorf("%+v, %v; want the second gone", got, err)
	}
	f.Restore()
	f.mustGet("debian:6.1.192-1")
	if got, err = f.catalog().Offers(t.Context(), "debian:6.1.192-1"); err != nil || got[0].Gone {
		t.Errorf("%+v, %v; want it back", got, err)
	}
}

// To look is not to use.
func TestOffersUseNothing(t *testing.T) {
	f := standard(t)
	k := f.mustGet("debian:6.1")
	past := time.Now().Add(-time.Hour).Truncate(time.Second)
	manifest := filepath.Join(filepath.Dir(k.Image), "manifest.json")
	if err := os.Chtimes(manifest, past, past); err != nil {
		t.Fatal(err)
	}
	got, err := f.catalog().Offers(t.Context(), "debian:6.1")
	if err != nil || !got[0].Stored.Used.Equal(past) {
		t.Fatalf("used %v, want %v; %v", got[0].Stored.Used, past, err)
	}
	if info, err := os.Stat(manifest); err != nil || !info.ModTime().Equal(past) {
		t.Errorf("listing touched it: %v, %v", info.ModTime(), err)
	}
}

func TestInventory(t *testing.T) {
	f := standard(t)
	dir := put(t, t.TempDir(), built(t))
	for _, ref := range []string{"debian:7.3", "debian:6.1.192-2", "tree:" + dir, "debian:6.1.176-1?flavour=generic"} {
		f.mustGet(ref)
	}
	c := f.catalog()
	all, err := c.Inventory()
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"6.1.176-1 unsized stored", "6.1.192-2 unsized stored", mine + " unverified unsized stored", "7.3.4-1~bpo13+1 unsized stored"}
	if d := cmp.Diff(want, versions(all)); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	if s := c.StoredAs(all[0].Stored.Digest); s == nil || s.Size != all[0].Stored.Size {
		t.Errorf("StoredAs = %+v, want %+v", s, all[0].Stored)
	}
	if s := c.StoredAs("0123"); s != nil {
		t.Errorf("StoredAs of what is not there = %+v", s)
	}
	for name, want := range map[string]int{
		"debian:*": 3, "debian:6.1": 2, "debian:6.1?flavour=cloud": 1, "debian:6.1.0..6.1.180": 1, "debian:bookworm": 1,
		"tree:" + dir: 1, "dir:" + dir: 0, "debian:6.12": 0, all[1].Stored.Digest[:8]: 1, all[1].Stored.Digest: 1,
	} {
		got, err := c.Select(name)
		if len(got) != want || (want == 0) != errors.Is(err, kernel.ErrUnknown) {
			t.Errorf("Select(%s) = %q, %v, want %d", name, got, err, want)
		}
	}
	if got, err := c.Select(); err != nil || len(got) != 4 {
		t.Errorf("Select() = %q, %v, want all", got, err)
	}
	if _, err := c.Select("deb:6.1"); !errors.Is(err, kernel.ErrBadRef) {
		t.Errorf("Select of a bad ref: %v", err)
	}
}

// spoil changes a file of a stored kernel whose size stays.
func spoil(t *testing.T, name string) {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	data[0] ^= 1
	if err := os.WriteFile(name, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestVerifyAndRepair(t *testing.T) {
	f := standard(t)
	k := f.mustGet("debian:6.1")
	c := f.catalog()
	if got, err := c.Verify(t.Context(), k.Digest); err != nil || len(got.Damage) > 0 || got.Version != "6.1.192-2" {
		t.Fatalf("whole: %+v, %v", got, err)
	}
	spoil(t, filepath.Join(k.ModulesDir, "kernel/drivers/net/tun.ko"))
	put(t, k.ModulesDir, map[string]string{"kernel/net/more.ko": "more"})
	if err := os.Remove(k.Config); err != nil {
		t.Fatal(err)
	}
	got, err := c.Verify(t.Context(), k.Digest)
	want := []store.Damage{{File: "config", What: "is missing"}, {File: "modules/kernel/drivers/net/tun.ko", What: "has changed"}, {File: "modules/kernel/net/more.ko", What: "is not part of it"}}
	if d := cmp.Diff(want, got.Damage); d != "" || err != nil || !got.Known {
		t.Errorf("damaged: %v (-want +got)\n%s", err, d)
	}
	again, err := c.Repair(t.Context(), got)
	if err != nil || again.Digest != k.Digest {
		t.Fatalf("Repair = %+v, %v", again, err)
	}
	if got, err = c.Verify(t.Context(), k.Digest); err != nil || len(got.Damage) > 0 {
		t.Errorf("repaired: %+v, %v", got, err)
	}
	spoil(t, filepath.Join(filepath.Dir(k.Image), "manifest.json"))
	if got, err = c.Verify(t.Context(), k.Digest); err != nil || len(got.Damage) != 1 || got.Known {
		t.Errorf("no manifest: %+v, %v", got, err)
	}
	if _, err := c.Repair(t.Context(), got); err == nil || !strings.Contains(err.Error(), "does not say which it was") {
		t.Errorf("no manifest: Repair: %v", err)
	}
	if _, err := c.Verify(t.Context(), k.Digest); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("removed: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	k = f.mustGet("debian:6.1")
	if _, err := c.Verify(ctx, k.Digest); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// An image that has changed is not handed out, and the user is told.
func TestChangedImage(t *testing.T) {
	f := standard(t)
	dir := put(t, t.TempDir(), built(t))
	for _, ref := range []string{"debian:6.1", "tree:" + dir} {
		f.mu.Lock()
		f.warnings = nil
		f.mu.Unlock()
		k := f.mustGet(ref)
		want, err := os.ReadFile(k.Image)
		if err != nil {
			t.Fatal(err)
		}
		spoil(t, k.Image)
		k = f.mustGet(ref)
		if got, err := os.ReadFile(k.Image); err != nil || string(got) != string(want) {
			t.Errorf("%s: the changed image is handed out, %v", ref, err)
		}
		if w := f.warned(); len(w) != 1 || !strings.Contains(w[0], "has changed; making it anew") {
			t.Errorf("%s: warned %q", ref, w)
		}
	}
}

func TestStale(t *testing.T) {
	f := standard(t)
	k := f.mustGet("debian:6.1")
	if got, err := f.catalog().Stale(time.Now().Add(-time.Hour)); err != nil || len(got) > 0 {
		t.Errorf("just used: %+v, %v", got, err)
	}
	got, err := f.catalog().Stale(time.Now().Add(time.Hour))
	if err != nil || len(got) != 1 || got[0].Version != "6.1.192-2" || got[0].Stored.Digest != k.Digest {
		t.Errorf("long ago: %+v, %v", got, err)
	}
	if err := os.Truncate(k.Image, 1); err != nil {
		t.Fatal(err)
	}
	if got, err = f.catalog().Stale(time.Now().Add(-time.Hour)); err != nil || len(got) != 1 || got[0].Version != "" {
		t.Errorf("damaged: %+v, %v", got, err)
	}
}

// What programs read keeps its names.
func TestInfoJSON(t *testing.T) {
	i := kernel.Info{
		Candidate: kernel.Candidate{Ref: "debian:6.1", Source: "debian", Version: "6.1.192-2"}, Offered: true, Download: 7,
		Stored: &kernel.Stored{Digest: "d", Dir: "/d", Size: 8, Used: time.Unix(0, 0).UTC()},
	}
	got, err := json.Marshal(i)
	want := `{"ref":"debian:6.1","source":"debian","version":"6.1.192-2","upstream":"","series":"","release":"","arch":"","verified":false,` +
		`"offered":true,"download":7,"stored":{"digest":"d","dir":"/d","size":8,"used":"1970-01-01T00:00:00Z"}}`
	if err != nil || string(got) != want {
		t.Errorf("%s, %v\nwant %s", got, err, want)
	}
}

// A kernel in two flavours is two kernels.
func TestOffersFlavours(t *testing.T) {
	f := newFixture(t, "bookworm")
	for _, release := range []string{"6.1.0-56-cloud-amd64", "6.1.0-56-amd64", "6.1.0-56-rt-amd64"} {
		f.Add("bookworm", kerneltest.Kernel{Version: "6.1.192-2", Release: release})
	}
	digests := map[string]string{}
	for _, flavour := range []string{"cloud", "generic", "rt"} {
		ref := "debian:*?flavour=" + flavour
		k := f.mustGet(ref)
		if k.Flavour != flavour || digests[k.Digest] != "" {
			t.Errorf("%s: %+v, the same as %s", ref, k, digests[k.Digest])
		}
		digests[k.Digest] = flavour
	}
}
