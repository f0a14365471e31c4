package kernel_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ctmatrix/ctmatrix/images/kernel"
	"github.com/ctmatrix/ctmatrix/images/kernel/apt"
	"github.com/ctmatrix/ctmatrix/images/kernel/kerneltest"
)

// programs has a mirror whose packages stand for programs.
func programs(t *testing.T) (*kerneltest.Mirror, func() *kernel.Catalog, kernel.Selection) {
	t.Helper()
	m := kerneltest.NewMirror(t)
	m.Add("bookworm", kerneltest.Kernel{Version: "6.1.176-1", Release: "6.1.0-50-cloud-amd64"})
	m.Add("bookworm-security", kerneltest.Kernel{Version: "6.1.192-2", Release: "6.1.0-50-cloud-amd64"})
	cache := t.TempDir()
	open := func() *kernel.Catalog {
		c, err := kernel.New(kernel.Options{CacheDir: cache, Mirror: m.URL, SecurityMirror: m.Security, Keyring: m.Keyring})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	return m, open, kernel.Selection{Suites: []string{"bookworm", "bookworm-updates", "bookworm-security"}, Names: []string{"linux-image-6.1.0-50-cloud-amd64"}, Without: []string{"kmod", "linux-base", "initramfs-tools"}}
}

func TestPackages(t *testing.T) {
	m, open, sel := programs(t)
	got, err := open().Packages(t.Context(), sel)
	if err != nil || len(got) != 1 || got[0].Version != "6.1.192-2" || !strings.HasPrefix(got[0].URL, m.Security+"/") {
		t.Fatalf("%+v, %v; want the newest, from where it is", got, err)
	}
	asked := m.Hits("")
	again, err := open().Packages(t.Context(), sel)
	if err != nil || len(again) != 1 || again[0] != got[0] || m.Hits("") != asked {
		t.Errorf("again: %+v, %v, %d requests", again, err, m.Hits("")-asked)
	}
	var deb bytes.Buffer
	if err := open().Download(t.Context(), got[0], &deb); err != nil || int64(deb.Len()) != got[0].Size {
		t.Errorf("%d bytes, %v", deb.Len(), err)
	}
	m.Corrupt("pool")
	if err := open().Download(t.Context(), got[0], &deb); !errors.Is(err, kernel.ErrCorrupt) {
		t.Errorf("corrupt: %v", err)
	}
	m.Remove("pool")
	if err := open().Download(t.Context(), got[0], &deb); !errors.Is(err, kernel.ErrGone) {
		t.Errorf("gone: %v", err)
	}
}

func TestPackagesErrors(t *testing.T) {
	m, open, sel := programs(t)
	none := sel
	none.Names = []string{"nonesuch"}
	if got, err := open().Packages(t.Context(), none); !errors.Is(err, apt.ErrUnmet) {
		t.Errorf("unknown: %v, %v", got, err)
	}
	none = sel
	none.Suites = []string{"trixie"}
	if got, err := open().Packages(t.Context(), none); err == nil || !strings.Contains(err.Error(), "trixie") {
		t.Errorf("no such suite: %v, %v", got, err)
	}
	m.SignWrongly("bookworm")
	c, err := kernel.New(kernel.Options{CacheDir: t.TempDir(), Mirror: m.URL, SecurityMirror: m.Security, Keyring: m.Keyring})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := c.Packages(t.Context(), sel); !errors.Is(err, apt.ErrSignature) {
		t.Errorf("signed wrongly: %v, %v", got, err)
	}
}

// An index of programs that is older than the one before is not used either.
func TestPackagesRollback(t *testing.T) {
	m, _, sel := programs(t)
	cache := t.TempDir()
	var warned []string
	open := func() *kernel.Catalog {
		c, err := kernel.New(kernel.Options{
			CacheDir: cache, Mirror: m.URL, SecurityMirror: m.Security, Keyring: m.Keyring, Refresh: true,
			Warn: func(s string) { warned = append(warned, s) },
		})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	want, err := open().Packages(t.Context(), sel)
	if err != nil {
		t.Fatal(err)
	}
	m.Suite("bookworm-security").Signed = time.Now().Add(-48 * time.Hour)
	m.Add("bookworm-security", kerneltest.Kernel{Version: "6.1.199-1", Release: "6.1.0-50-cloud-amd64"})
	got, err := open().Packages(t.Context(), sel)
	if err != nil || len(got) != 1 || got[0] != want[0] {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
	if len(warned) != 1 || !strings.HasPrefix(warned[0], "suite bookworm-security: the mirror serves the index signed on ") {
		t.Errorf("warnings %q", warned)
	}
}
