package lab

import (
	"maps"
	"os"
	"path/filepath"
	"testing"
)

// Modules come, go, and come back between two readings, and each time their use counts
// are those of now.
func TestModuleUses(t *testing.T) {
	dir := t.TempDir()
	load := func(name, uses string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name, "refcnt"), []byte(uses+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	unload := func(name string) {
		t.Helper()
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	m := moduleUses{modules: dir, prefix: "nft_"}
	defer m.forget()
	for _, step := range []struct {
		what string
		do   func()
		want map[string]string
	}{
		{"none", func() { load("sctp", "1") }, map[string]string{}},
		{"two", func() { load("nft_ct", "0"); load("nft_nat", "2") }, map[string]string{"nft_ct": "0", "nft_nat": "2"}},
		{"another count", func() { load("nft_ct", "12") }, map[string]string{"nft_ct": "12", "nft_nat": "2"}},
		{"one gone", func() { unload("nft_ct") }, map[string]string{"nft_nat": "2"}},
		{"one for another", func() { unload("nft_nat"); load("nft_log", "3") }, map[string]string{"nft_log": "3"}},
		{"back again", func() { unload("nft_log"); load("nft_log", "0") }, map[string]string{"nft_log": "0"}},
		{"built in", func() {
			if err := os.Mkdir(filepath.Join(dir, "nft_fib"), 0o755); err != nil {
				t.Fatal(err)
			}
		}, map[string]string{"nft_log": "0"}},
	} {
		step.do()
		got, err := m.read()
		if err != nil || !maps.Equal(got, step.want) {
			t.Errorf("%s: %v, %v; want %v", step.what, got, err, step.want)
		}
	}
}

func TestNoModules(t *testing.T) {
	m := moduleUses{modules: filepath.Join(t.TempDir(), "none"), prefix: "nft_"}
	if got, err := m.read(); err != nil || len(got) != 0 {
		t.Errorf("%v, %v", got, err)
	}
}
