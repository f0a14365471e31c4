package results

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ctmatrix/ctmatrix/guest/observe"
)

func identity() Identity {
	return Identity{Kernel: "digest", Agent: "agent", Args: []string{"-m", "256M"}}
}

// knownOf is a cell with one row for each probe, whose value is given.
func knownOf(value string, probes ...string) Known {
	k := Known{
		Cell:    Cell{Outcome: CellOK, Kernel: Kernel{Digest: "digest"}, Guest: Guest{Agent: "agent"}},
		Console: []byte("console of " + value),
	}
	for _, p := range probes {
		k.Cell.Probes = append(k.Cell.Probes, Probe{Name: p, Outcome: observe.Recorded, Rows: 1})
		k.Rows = append(k.Rows, observe.Row{Name: p + "/s.n", Kind: observe.Text, Value: value})
	}
	return k
}

func put(t *testing.T, c *Cache, k Known, run string) {
	t.Helper()
	if err := c.Put(t.Context(), identity(), k, Origin{Run: run, At: began.UTC()}); err != nil {
		t.Fatal(err)
	}
}

// shows puts what a cache knows into a line: probes with values, and runs.
func shows(t *testing.T, c *Cache) string {
	t.Helper()
	k, err := c.Get(identity())
	if err != nil {
		t.Fatal(err)
	}
	if k == nil {
		return "nothing"
	}
	var parts []string
	for _, r := range k.Rows {
		parts = append(parts, r.Probe()+"="+r.Value)
	}
	for _, o := range k.Cell.Cached {
		parts = append(parts, fmt.Sprint(o.Run, o.Probes))
	}
	return strings.Join(parts, " ")
}

// An entry grows with every run that asks for more, and says who found what.
func TestCacheIsAUnion(t *testing.T) {
	c := NewCache(filepath.Join(t.TempDir(), "cells"))
	check := func(want string) {
		t.Helper()
		if got := shows(t, c); got != want {
			t.Errorf("knows %s\n want %s", got, want)
		}
	}
	check("nothing")
	put(t, c, knownOf("1", "a/two", "a/one"), "first")
	check("a/one=1 a/two=1 first[a/one a/two]")
	put(t, c, knownOf("2", "b/one"), "second")
	check("a/one=1 a/two=1 b/one=2 first[a/one a/two] second[b/one]")

	// What was measured anew takes the place of what was there.
	put(t, c, knownOf("3", "a/one"), "third")
	check("a/one=3 a/two=1 b/one=2 first[a/two] second[b/one] third[a/one]")

	// What a cell has from the cache is not this run's to put.
	mixed := knownOf("4", "a/one", "c/one")
	mixed.Cell.Cached = []Origin{{Run: "third", Probes: []string{"a/one"}}}
	put(t, c, mixed, "fourth")
	check("a/one=3 a/two=1 b/one=2 c/one=4 first[a/two] second[b/one] third[a/one] fourth[c/one]")
}

// Only answers of a cell that went well are kept.
func TestCacheKeepsAnswers(t *testing.T) {
	for name, change := range map[string]func(k *Known){
		"crashed cell": func(k *Known) { k.Cell.Outcome = CellCrashed },
		"failed cell":  func(k *Known) { k.Cell.Outcome = CellFailed },
		"missing cell": func(k *Known) { k.Cell.Outcome = CellMissing },
		"no answer": func(k *Known) {
			for i, o := range []observe.Outcome{observe.Broken, observe.Missing, observe.Crashed} {
				k.Cell.Probes[i].Outcome, k.Cell.Probes[i].Rows = o, 0
			}
			k.Rows = nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := NewCache(t.TempDir())
			k := knownOf("1", "a/one", "a/three", "a/two")
			change(&k)
			put(t, c, k, "run")
			if got := shows(t, c); got != "nothing" {
				t.Errorf("knows %s", got)
			}
		})
	}
	c := NewCache(t.TempDir())
	k := knownOf("1", "a/one", "a/three", "a/two")
	k.Cell.Probes[0] = Probe{Name: "a/one", Outcome: observe.Unsupported, Reason: "no module"}
	k.Cell.Probes[1] = Probe{Name: "a/three", Outcome: observe.Broken, Reason: "left behind"}
	k.Rows = k.Rows[2:]
	put(t, c, k, "run")
	got, err := c.Get(identity())
	if err != nil || len(got.Cell.Probes) != 2 || got.Cell.Probes[0].Reason != "no module" {
		t.Errorf("knows %+v, %v", got, err)
	}
}

// Whatever became of an entry on the disk, no table comes of it, and it is
// What another ctmatrix wrote in a form of its own is not there, and is replaced.
func TestCacheOfAnotherForm(t *testing.T) {
	c := NewCache(t.TempDir())
	if err := os.WriteFile(c.path(identity()), []byte("ctmatrix cell 1 "+sumOf(nil)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if k, err := c.Get(identity()); k != nil || err != nil {
		t.Errorf("knows %+v, error %v", k, err)
	}
	put(t, c, knownOf("5", "a/one"), "later")
	if got, want := shows(t, c), "a/one=5 later[a/one]"; got != want {
		t.Errorf("knows %s, want %s", got, want)
	}
}

// written anew.
func TestCacheIsDamaged(t *testing.T) {
	other := identity()
	other.Kernel = "another"
	forge := func(change func(k *Known)) []byte {
		k := knownOf("1", "a/one")
		k.Cell.Cached = []Origin{{Run: "r", Probes: []string{"a/one"}}}
		change(&k)
		data, err := encodeEntry(identity(), k)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	foreign, err := encodeEntry(other, knownOf("1", "a/one"))
	if err != nil {
		t.Fatal(err)
	}
	good := forge(func(*Known) {})
	for name, data := range map[string][]byte{
		"empty":       nil,
		"cut":         good[:len(good)/2],
		"a bit":       bytes.Replace(good, []byte(`"value":"1"`), []byte(`"value":"2"`), 1),
		"longer":      append(bytes.Clone(good), '\n'),
		"foreign":     foreign,
		"not JSON":    []byte(entryHead + sumOf([]byte("x")) + "\nx"),
		"no answer":   forge(func(k *Known) { k.Cell.Probes[0].Outcome = observe.Broken }),
		"not ok":      forge(func(k *Known) { k.Cell.Outcome = CellCrashed }),
		"kernel":      forge(func(k *Known) { k.Cell.Kernel.Digest = "another" }),
		"no origin":   forge(func(k *Known) { k.Cell.Cached = nil }),
		"two origins": forge(func(k *Known) { k.Cell.Cached = append(k.Cell.Cached, k.Cell.Cached[0]) }),
		"origin of nothing": forge(func(k *Known) {
			k.Cell.Cached[0].Probes = append(k.Cell.Cached[0].Probes, "b/one")
		}),
	} {
		t.Run(name, func(t *testing.T) {
			c := NewCache(t.TempDir())
			path := c.path(identity())
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
			k, err := c.Get(identity())
			var file *FileError
			if k != nil || !errors.As(err, &file) || file.Path != path {
				t.Fatalf("knows %+v, error %v", k, err)
			}
			put(t, c, knownOf("5", "a/one"), "mended")
			if got, want := shows(t, c), "a/one=5 mended[a/one]"; got != want {
				t.Errorf("after that it knows %s, want %s", got, want)
			}
		})
	}
	c := NewCache(t.TempDir())
	if err := os.WriteFile(c.path(identity()), good, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, want := shows(t, c), "a/one=1 r[a/one]"; got != want {
		t.Errorf("what was not damaged: knows %s, want %s", got, want)
	}
}

// Several processes that put at the same time lose nothing of each other.
func TestCacheIsShared(t *testing.T) {
	dir := t.TempDir()
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			k := knownOf("1", fmt.Sprintf("a/p%02d", i))
			if err := NewCache(dir).Put(t.Context(), identity(), k, Origin{Run: "r"}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if k, err := NewCache(dir).Get(identity()); err != nil || len(k.Rows) != 20 {
		t.Errorf("knows %+v, %v", k, err)
	}
}

func TestCacheBoundsConsole(t *testing.T) {
	c := NewCache(t.TempDir())
	k := knownOf("1", "a/one")
	k.Console = append(bytes.Repeat([]byte("x"), MaxConsole), "end"...)
	put(t, c, k, "r")
	got, err := c.Get(identity())
	if err != nil || len(got.Console) != MaxConsole || !bytes.HasSuffix(got.Console, []byte("xend")) {
		t.Errorf("console of %d bytes, %v", len(got.Console), err)
	}
}

// Using an entry keeps it.
func TestCacheCollect(t *testing.T) {
	c := NewCache(filepath.Join(t.TempDir(), "cells"))
	if n, _, err := c.Collect(t.Context(), time.Now(), false); n != 0 || err != nil {
		t.Errorf("of none: removed %d, %v", n, err)
	}
	put(t, c, knownOf("1", "a/one"), "r")
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(c.path(identity()), old, old); err != nil {
		t.Fatal(err)
	}
	shows(t, c)
	if n, _, err := c.Collect(t.Context(), time.Now().Add(-time.Minute), false); n != 0 || err != nil {
		t.Errorf("removed %d in use, %v", n, err)
	}
	if n, freed, err := c.Collect(t.Context(), time.Now().Add(time.Minute), true); n != 1 || freed == 0 || err != nil {
		t.Errorf("dry: %d entries of %d bytes, %v", n, freed, err)
	}
	n, freed, err := c.Collect(t.Context(), time.Now().Add(time.Minute), false)
	if n != 1 || freed == 0 || err != nil {
		t.Errorf("removed %d of %d bytes, %v", n, freed, err)
	}
	if got := shows(t, c); got != "nothing" {
		t.Errorf("knows %s", got)
	}
}

func TestKnownOf(t *testing.T) {
	k := knownOf("1", "a/one", "a/two", "b/one")
	k.Cell.Cached = []Origin{{Run: "first", Probes: []string{"a/one", "b/one"}}, {Run: "second", Probes: []string{"a/two"}}}
	want := knownOf("1", "b/one")
	want.Cell.Cached = []Origin{{Run: "first", Probes: []string{"b/one"}}}
	if diff := cmp.Diff(want, k.Of([]string{"b/one", "c/none"})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A configuration is the kernel's, which whoever asks has.
func TestCacheLeavesConfig(t *testing.T) {
	c := NewCache(t.TempDir())
	k := knownOf("1", "a/one")
	k.Cell.Config = map[string]string{"CONFIG_NF_CONNTRACK": "m"}
	put(t, c, k, "run")
	got, err := c.Get(identity())
	if err != nil || got == nil || got.Cell.Config != nil {
		t.Errorf("%+v, %v", got, err)
	}
	if k.Cell.Config == nil {
		t.Error("the cell itself was changed")
	}
}
