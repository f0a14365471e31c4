package modules

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ctmatrix/ctmatrix/guest/observe"
)

// fake is a kernel that loads what it is given and knows who uses what.
type fake struct {
	deps  map[string][]string // hard ones
	live  map[string]bool
	fails map[string]error
	busy  map[string]error
	log   []string
}

func (k *fake) load(file, params string) error {
	name := strings.TrimSuffix(filepath.Base(file), ".ko")
	k.log = append(k.log, strings.TrimSpace("+"+name+" "+params))
	if err := k.fails[name]; err != nil {
		return err
	}
	for _, d := range k.deps[name] {
		if !k.live[d] {
			return unix.ENOENT
		}
	}
	k.live[name] = true
	return nil
}

func (k *fake) unload(name string) error {
	if users, _ := k.holders(name); len(users) > 0 {
		return unix.EWOULDBLOCK
	}
	k.log = append(k.log, "-"+name)
	delete(k.live, name)
	return nil
}

func (k *fake) loaded(name string) bool { return k.live[name] }

func (k *fake) holders(name string) ([]string, error) {
	var users []string
	for user := range k.live {
		if slices.Contains(k.deps[user], name) {
			users = append(users, user)
		}
	}
	slices.Sort(users)
	return users, nil
}

func (k *fake) unused(name string) error { return k.busy[name] }

func (k *fake) params(name string) string {
	return paramsOf("quiet nf-conntrack.hashsize=7 nf_conntrack.acct=1 x=y.z", name)
}

func sample(t testing.TB) (*Loader, *fake) {
	k := &fake{
		deps: map[string][]string{"nf_tables": {"libcrc32c"}, "nf_conntrack": {"defrag", "libcrc32c"}, "nft_ct": {"nf_tables", "nf_conntrack"}},
		live: map[string]bool{}, fails: map[string]error{}, busy: map[string]error{},
	}
	m := observe.Manifest{
		Release: "6.1-test",
		Files: []observe.ManifestFile{
			{Name: "crc32c_intel", File: "crc32c_intel.ko"},
			{Name: "libcrc32c", File: "libcrc32c.ko", Deps: []string{"crc32c_intel"}},
			{Name: "defrag", File: "defrag.ko"},
			{Name: "nf_conntrack", File: "nf_conntrack.ko", Deps: []string{"defrag", "libcrc32c"}, Wanted: true},
			{Name: "nf_tables", File: "nf_tables.ko", Deps: []string{"libcrc32c"}, Wanted: true},
			{Name: "nft_ct", File: "nft_ct.ko", Deps: []string{"nf_tables", "nf_conntrack"}, Wanted: true},
			{Name: "torn", File: "torn.ko", Deps: []string{"gone"}, Wanted: true},
			{Name: "ring", File: "ring.ko", Deps: []string{"ring"}, Wanted: true},
		},
		Builtin: []string{"virtio_pci"},
		Merged:  []observe.MergedModule{{Name: "nft_counter", Into: "nf_tables"}},
		Missing: []string{"sctp"},
	}
	data, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	l, err := parse(data, k)
	if err != nil {
		t.Fatal(err)
	}
	return l, k
}

func TestLoad(t *testing.T) {
	l, k := sample(t)
	if err := l.Load("nft-ct", "nf_tables", "virtio_pci", "nft_counter", "ring"); err != nil {
		t.Fatal(err)
	}
	want := []string{"+crc32c_intel", "+libcrc32c", "+nf_tables", "+defrag", "+nf_conntrack hashsize=7 acct=1", "+nft_ct", "+ring"}
	if !slices.Equal(k.log, want) {
		t.Errorf("loaded %q, want %q", k.log, want)
	}
}

func TestMergedLoadsTheOther(t *testing.T) {
	l, k := sample(t)
	if err := l.Load("nft_counter"); err != nil || !k.live["nf_tables"] {
		t.Errorf("%v, loaded %q", err, k.log)
	}
}

// What a module only likes to find may fail to load.
func TestLoadWithoutSoftDependency(t *testing.T) {
	l, k := sample(t)
	k.fails["crc32c_intel"] = unix.ENODEV
	if err := l.Load("nf_tables"); err != nil {
		t.Error(err)
	}
}

func TestLoadErrors(t *testing.T) {
	l, k := sample(t)
	if err := l.Load("nf_tables", "sctp", "torn"); !errors.Is(err, ErrMissing) || !strings.Contains(err.Error(), "sctp") || !strings.Contains(err.Error(), "6.1-test") {
		t.Errorf("missing module: %v", err)
	}
	if k.live["torn"] {
		t.Error("it went on after the first error")
	}
	k.fails["torn"] = unix.ENOENT
	err := l.Load("torn")
	if !errors.Is(err, unix.ENOENT) || !strings.Contains(err.Error(), "gone") || strings.Contains(err.Error(), "\n") {
		t.Errorf("module without what it needs: %v", err)
	}
	delete(k.fails, "torn")
	if err := l.Load("torn"); err != nil {
		t.Errorf("second attempt: %v", err)
	}
}

func TestUnload(t *testing.T) {
	l, k := sample(t)
	if err := l.Load("nft_ct"); err != nil {
		t.Fatal(err)
	}
	k.log = nil
	if err := errors.Join(l.Unload("nf-conntrack"), l.Unload("nf_conntrack"), l.Unload("never_there")); err != nil {
		t.Fatal(err)
	}
	if want := []string{"-nft_ct", "-nf_conntrack"}; !slices.Equal(k.log, want) {
		t.Errorf("unloaded %q, want %q", k.log, want)
	}
	if err := l.Unload("virtio_pci"); err == nil {
		t.Error("a part of the kernel was unloaded")
	}
	busy := fmt.Errorf("still in use")
	k.busy["nf_tables"] = busy
	if err := l.Unload("libcrc32c"); !errors.Is(err, busy) || !strings.Contains(err.Error(), "nf_tables") || !k.live["libcrc32c"] {
		t.Errorf("module in use: %v", err)
	}
}

func TestStates(t *testing.T) {
	l, k := sample(t)
	k.fails["torn"] = unix.ENOEXEC
	_ = l.Load("torn") // the state says what became of it
	if err := l.Load("nft_counter"); err != nil {
		t.Fatal(err)
	}
	want := []observe.Module{
		{Name: "nf_tables", State: observe.ModuleLoaded},
		{Name: "nft_counter", State: observe.ModuleLoaded, Note: "part of nf_tables"},
		{Name: "sctp", State: observe.ModuleMissing, Note: "no such module"},
		{Name: "torn", State: observe.ModuleFailed, Note: "load torn: exec format error (gone: no such module in 6.1-test)"},
		{Name: "virtio_pci", State: observe.ModuleBuiltin},
	}
	if got := l.States(); !reflect.DeepEqual(got, want) {
		t.Errorf("states %+v", got)
	}
}

func FuzzManifest(f *testing.F) {
	f.Add([]byte(`{"files":[{"name":"a","file":"a.ko","deps":["b"],"wanted":true},{"name":"b","file":"b.ko","deps":["a"]}]}`))
	f.Add([]byte(`{"files":[{"name":"a","file":"../a.ko"}],"builtin":["x"],"merged":[{"name":"y","into":"a"}],"missing":["z"]}`))
	f.Add([]byte(`{"merged":[{"name":"a","into":"a"}]}`))
	f.Add([]byte(`{"files":[{"name":"a","file":"a"}],"merged":[{"name":"a","into":"a"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := parse(data, &fake{live: map[string]bool{}})
		if err != nil {
			return
		}
		for _, m := range l.manifest.Files {
			if filepath.Dir(filepath.Join(observe.ModuleDir, m.File)) != observe.ModuleDir {
				t.Fatalf("%q would be read as a module", m.File)
			}
			_ = l.Load(m.Name) // must end
		}
		l.States()
	})
}
