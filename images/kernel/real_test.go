package kernel

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestReal resolves and fetches kernels from the host's mirror into the default
// store: those of the shipped matrix, or those that CTMATRIX_REAL lists.
func TestReal(t *testing.T) {
	refs := strings.Fields(os.Getenv("CTMATRIX_REAL"))
	if len(refs) == 0 {
		refs = []string{"debian:5.10", "debian:6.1", "debian:6.12", "debian:7.3"}
		if os.Getenv("CTMATRIX_REAL_TESTS") == "" {
			t.Skip("fetches real kernels: run `make test`")
		}
	}
	o := Options{
		AllowUnverified: os.Getenv("CTMATRIX_REAL_UNVERIFIED") != "",
		Refresh:         os.Getenv("CTMATRIX_REAL_REFRESH") != "",
		Warn:            func(s string) { t.Log("warning:", s) },
		Verbose:         func(s string) { t.Log("note:", s) },
	}
	for _, ref := range refs {
		c, err := New(o) // a new one each, as a new process would have
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		cands, err := c.Resolve(context.Background(), ref)
		if err != nil {
			t.Errorf("%s: %v", ref, err)
			continue
		}
		t.Logf("%s: %d found in %s", ref, len(cands), time.Since(start))
		for _, cand := range cands {
			start := time.Now()
			k, err := c.Fetch(context.Background(), cand)
			if err != nil {
				t.Errorf("%s: %v", cand.Exact(), err)
				continue
			}
			n, size := usage(t, filepath.Dir(k.Image))
			t.Logf("%s from %s: fetched in %s, %d files, %.1f MB, verified %v, %v", k.Version, k.Suite, time.Since(start), n, size, k.Verified, k.Warnings)
			fmt.Println(k.Series, k.Image, k.ModulesDir, k.Release)
		}
		o.Refresh = false
	}
}

func usage(t *testing.T, dir string) (n int, mb float64) {
	t.Helper()
	var size int64
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		n++
		size += info.Size()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n, float64(size) / 1e6
}

// TestRealChangelog reads changelogs from the host's mirror: of a kernel whose
// package is small, or of those that CTMATRIX_REAL lists.
func TestRealChangelog(t *testing.T) {
	refs := strings.Fields(os.Getenv("CTMATRIX_REAL"))
	if len(refs) == 0 {
		refs = []string{"debian:7.3"}
		if os.Getenv("CTMATRIX_REAL_TESTS") == "" {
			t.Skip("fetches real packages: run `make test`")
		}
	}
	c, err := New(Options{AllowUnverified: os.Getenv("CTMATRIX_REAL_UNVERIFIED") != "", Warn: func(s string) { t.Log("warning:", s) }})
	if err != nil {
		t.Fatal(err)
	}
	for _, ref := range refs {
		cands, err := c.Resolve(t.Context(), ref)
		if err != nil {
			t.Errorf("%s: %v", ref, err)
			continue
		}
		for _, cand := range cands {
			start := time.Now()
			text, err := c.Changelog(t.Context(), cand)
			if err != nil {
				t.Errorf("%s: %v", cand.Exact(), err)
				continue
			}
			// A signed package's own entry has a plus for the last hyphen.
			own := strings.HasPrefix(string(text), "linux")
			at := strings.LastIndexByte(cand.Version, '-')
			signed := cand.Version[:at] + "+" + cand.Version[at+1:]
			head, _, _ := strings.Cut(string(text), "\n")
			if !own || !strings.Contains(head, "("+cand.Version+")") && !strings.Contains(head, "("+signed+")") {
				t.Errorf("%s: its changelog begins with %q", cand.Exact(), head)
			}
			n := strings.Count(string(text), "\n    - netfilter: ")
			if n < 100 {
				t.Errorf("%s: its changelog has %d commits of netfilter", cand.Exact(), n)
			}
			t.Logf("%s: %d bytes, %d commits of netfilter, in %s: %s", cand.Version, len(text), n, time.Since(start), head)
		}
	}
}
