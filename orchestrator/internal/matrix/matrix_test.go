package matrix

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// write puts a matrix into a file of its own.
func write(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "m.yaml")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Without a file a run does what the shipped one says, but for the notes that lie
// beside it.
func TestShippedIsDefault(t *testing.T) {
	shipped, err := Load("../../../matrix.yaml", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	builtin, err := Load("", nil)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"../../../notes.yaml"}; !reflect.DeepEqual(shipped.Notes, want) {
		t.Errorf("notes %q, want %q", shipped.Notes, want)
	}
	shipped.Notes = builtin.Notes
	if !reflect.DeepEqual(shipped, builtin) {
		t.Errorf("shipped matrix.yaml is\n%+v\nthe built-in one\n%+v", shipped, builtin)
	}
	if len(builtin.Kernels) < 2 {
		t.Errorf("kernels %q: nothing to compare", builtin.Kernels)
	}
}

func TestPrecedence(t *testing.T) {
	file := write(t, `
kernels: ["debian:5.10"]
guest: {memory: 512M}
mirror: http://file.example/debian
jobs: 3
`)
	t.Setenv("CTMATRIX_GUEST_MEMORY", "1G")
	t.Setenv("CTMATRIX_MIRROR", "http://env.example/debian")
	t.Setenv("CTMATRIX_PROBES", "a/b,c")
	c, err := Load(file, map[string]Override{"mirror": {"http://flag.example/debian", "--mirror"}})
	if err != nil {
		t.Fatal(err)
	}
	want := &Config{
		Kernels: []string{"debian:5.10"}, Probes: []string{"a/b", "c"},
		Variants: []Variant{{Name: "default"}},
		Guest:    Guest{Memory: "1G", CPUs: 1, Machine: "auto", Accel: "auto", Clock: "virtual"},
		Jobs:     "3", Mirror: "http://flag.example/debian", Suites: []string{}, Notes: []string{},
		Baseline: DefaultBaseline,
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
}

// A baseline lies beside the file that names it, else where the program runs, and
// need not be there unless it was named.
func TestBaseline(t *testing.T) {
	file := write(t, `baseline: blessed`)
	none := write(t, `baseline: ""`)
	silent := write(t, `jobs: 2`)
	flag := map[string]Override{"baseline": {"flagged", "--baseline"}}
	for name, c := range map[string]struct {
		file, env string
		flags     map[string]Override
		want      string
		named     bool
	}{
		"nobody":   {silent, "", nil, "baseline", false},
		"file":     {file, "", nil, filepath.Join(filepath.Dir(file), "blessed"), true},
		"variable": {file, "elsewhere", nil, "elsewhere", true},
		"flag":     {file, "elsewhere", flag, "flagged", true},
		"none":     {none, "", nil, "", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("CTMATRIX_BASELINE", c.env)
			got, err := Load(c.file, c.flags)
			if err != nil {
				t.Fatal(err)
			}
			if got.Baseline != c.want || got.BaselineNamed != c.named {
				t.Errorf("%q, named %v, want %q, %v", got.Baseline, got.BaselineNamed, c.want, c.named)
			}
		})
	}
}

func TestDefaultFile(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile(DefaultFile, []byte(`kernels: ["dir:/k"]`), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load("", nil)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(c.Kernels, []string{"dir:/k"}) {
		t.Errorf("kernels %q: %s was not read", c.Kernels, DefaultFile)
	}
}

// Names in the file are of files beside it, others are as the user sees them.
func TestNotes(t *testing.T) {
	file := write(t, `notes: [a.yaml, /b.yaml]`)
	for _, c := range []struct {
		variable string
		flag     map[string]Override
		want     []string
	}{
		{"", nil, []string{filepath.Join(filepath.Dir(file), "a.yaml"), "/b.yaml"}},
		{"c.yaml,d.yaml", nil, []string{"c.yaml", "d.yaml"}},
		{"", map[string]Override{"notes": {[]string{"e.yaml"}, "--notes"}}, []string{"e.yaml"}},
	} {
		t.Setenv("CTMATRIX_NOTES", c.variable)
		got, err := Load(file, c.flag)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got.Notes, c.want) {
			t.Errorf("notes %q, want %q", got.Notes, c.want)
		}
	}
}

// The errors say where, what, and what to write.
func TestFaults(t *testing.T) {
	for _, tt := range []struct{ name, content, want string }{
		{"number", "kernels: [5.10]", `:1: kernels[0]: 5.10 is a number to YAML, not a string: write "debian:5.10", in quotes`},
		{"number in a block", "kernels:\n  - debian:6.1\n  - 6.10\n", `:3: kernels[1]: 6.10 is a number to YAML, not a string: write "debian:6.10", in quotes`},
		{"no scheme", "\nkernels: [\"6.1\"]", `:2: kernels[0]: "6.1" has no source: write "debian:6.1"`},
		{"no list", "kernels: debian:6.1", `:1: kernels: not a list: write kernels: ["debian:6.1"]`},
		{"unlisted number", "kernels: 6.1", `:1: kernels: not a list: write kernels: ["debian:6.1"]`},
		{"no kernels", "kernels: []", `:1: kernels: none is named: write kernels: ["debian:6.1"] or use --kernel debian:6.1`},
		{"null", "kernels:", `:1: kernels: not a list: write kernels: ["debian:6.1"]`},
		{"truth", "kernels: [yes]\nprobes: [true]", `:2: probes[0]: true is a truth value to YAML, not a string: write "true", in quotes`},
		{"unknown key", "kernel: [\"debian:6.1\"]", `:1: unknown key "kernel": write kernels`},
		{"unknown key, far", "zz: 1", `:1: unknown key "zz": known are allow_unverified, baseline, guest, jobs, kernels, keyring, mirror, notes, probes, security_mirror, suites, variants`},
		{"capitals", "Kernels: []", `:1: unknown key "Kernels": write kernels`},
		{"unknown guest key", "guest:\n  mem: 1G", `:2: unknown key "mem": write memory`},
		{"unknown variant key", "variants: [{name: a, acel: kvm}]", `:1: unknown key "acel": known are args, clock, cpus, memory, name`},
		{"twice", "jobs: 1\njobs: 2", `:2: jobs: is there twice: remove one`},
		{"two documents", "jobs: 1\n---\njobs: 2", `: more than one document: write everything into one, without a line of ---`},
		{"list", "- debian:6.1", `:1: not a mapping: write kernels: ["debian:6.1"]`},
		{"alias", "probes: &p [a]\nsuites: *p", `:2: suites: an alias: write the value out`},
		{"variant number", "variants: [{name: 5.10}]", `:1: variants[0].name: 5.10 is a number to YAML, not a string: write "5.10", in quotes`},
		{"variant name", "variants:\n- {name: a}\n- {name: a b}", `:3: variants[1]: name "a b": write one of letters, digits, - and _`},
		{"variant twice", "variants:\n- {name: a}\n- {name: a}", `:3: variants[1]: name "a" stands twice: write another`},
		{"variant no list", "variants: {name: a}", `:1: variants: not a list: write variants: [{name: default}]`},
		{"memory", "guest:\n  memory: 256", `:2: guest.memory: "256" is no size: write one such as 256M or 1G`},
		{"little memory", "guest: {memory: 64M}", `:1: guest.memory: 64M: kernels need 128M or more`},
		{"cpus", "guest: {cpus: two}", `:1: guest.cpus: "two" is a string: write a whole number`},
		{"virtual cpus", "guest: {cpus: 2}", `:1: guest.cpus: 2: a virtual clock drives one CPU: write cpus: 1 or clock: host`},
		{"variant cpus", "variants:\n- name: smp\n  cpus: 2", `:3: variants[0].cpus: 2: a virtual clock drives one CPU: write cpus: 1 or clock: host`},
		{"virtual kvm", "guest: {accel: kvm}", `:1: guest.accel: kvm: KVM has no virtual clock: write accel: tcg or clock: host`},
		{"virtual kvm variant", "guest: {accel: kvm, clock: host}\nvariants:\n- name: exact\n  clock: virtual", `:4: variants[0].clock: virtual: guest.accel is kvm, which has no virtual clock: write clock: host`},
		{"accel", "guest: {accel: hvf}", `:1: guest.accel: "hvf": write auto, tcg or kvm`},
		{"clock", "guest: {clock: wall}", `:1: guest.clock: "wall": write virtual or host`},
		{"machine", "guest: {machine: microvm}", `:1: guest.machine: "microvm": write auto, q35 or pc`},
		{"guest", "guest: 256M", `:1: guest: not a mapping: write guest: {memory: 256M}`},
		{"jobs", "jobs: many", `:1: jobs: "many": write auto or a number from 1 to 1024`},
		{"jobs 0", "jobs: 0", `:1: jobs: "0": write auto or a number from 1 to 1024`},
		{"unverified", "allow_unverified: perhaps", `:1: allow_unverified: "perhaps" is a string: write true or false`},
		{"syntax", "kernels: [", `: yaml: line 1: did not find expected node content`},
		{"nothing chosen", "probes: []", `:1: probes: none is chosen: write probes: ["*"] for all`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := write(t, tt.content)
			_, err := Load(path, nil)
			var fault *Fault
			if !errors.As(err, &fault) {
				t.Fatalf("error %v is no Fault", err)
			}
			if got := strings.TrimPrefix(err.Error(), path); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// A fault is blamed on where the setting was made.
func TestBlame(t *testing.T) {
	file := write(t, `kernels: ["debian:6.1"]`)
	_, err := Load(file, map[string]Override{"kernels": {[]string{"6.1"}, "--kernel"}})
	if want := `--kernel: "6.1" has no source: write "debian:6.1"`; err == nil || err.Error() != want {
		t.Errorf("flag: got %v, want %s", err, want)
	}
	t.Setenv("CTMATRIX_GUEST_MEMORY", "lots")
	_, err = Load(file, nil)
	if want := `CTMATRIX_GUEST_MEMORY: "lots" is no size: write one such as 256M or 1G`; err == nil || err.Error() != want {
		t.Errorf("environment: got %v, want %s", err, want)
	}
}

func TestNoFile(t *testing.T) {
	_, err := Load(filepath.Join(t.TempDir(), "none.yaml"), nil)
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v for a named file that is not there", err)
	}
}

// Empty files and files of comments are all defaults.
func TestEmpty(t *testing.T) {
	for _, content := range []string{"", "\n", "# nothing\n", "---\n"} {
		c, err := Load(write(t, content), nil)
		if err != nil {
			t.Errorf("%q: %v", content, err)
			continue
		}
		if len(c.Kernels) != 4 {
			t.Errorf("%q: kernels %q", content, c.Kernels)
		}
	}
}

func TestGuestFor(t *testing.T) {
	c := Config{Guest: Guest{Memory: "256M", CPUs: 1, Machine: "q35", Accel: "auto", Clock: "virtual"}}
	got := c.GuestFor(Variant{Name: "smp", CPUs: 4, Clock: "host", Memory: "1G"})
	if want := (Guest{Memory: "1G", CPUs: 4, Machine: "q35", Accel: "auto", Clock: "host"}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := c.GuestFor(Variant{Name: "default"}); got != c.Guest {
		t.Errorf("a variant without settings has %+v, not %+v", got, c.Guest)
	}
}

func TestJobCount(t *testing.T) {
	for _, tt := range []struct {
		jobs string
		host Host
		want int
	}{
		{"auto", Host{CPUs: 8}, 8},
		{"auto", Host{CPUs: 8, MemoryMB: 2000}, 2},
		{"auto", Host{CPUs: 2, MemoryMB: 100}, 1},
		{"auto", Host{}, 1},
		{"5", Host{CPUs: 2, MemoryMB: 100}, 5},
	} {
		c := Config{
			Jobs: tt.jobs, Guest: Guest{Memory: "256M"},
			Variants: []Variant{{Name: "default"}, {Name: "big", Memory: "768M"}},
		}
		got, err := c.JobCount(tt.host)
		if err != nil || got != tt.want {
			t.Errorf("jobs %s on %+v: got %d, %v; want %d", tt.jobs, tt.host, got, err, tt.want)
		}
	}
}

// Guests of several CPUs get them: on the host's clock, one that must wait for
// its turn sees time pass.
func TestJobCountOfSeveralCPUs(t *testing.T) {
	c := Config{
		Jobs: "auto", Guest: Guest{Memory: "256M", CPUs: 1},
		Variants: []Variant{{Name: "default"}, {Name: "smp", CPUs: 3, Clock: "host"}},
	}
	for cpus, want := range map[int]int{2: 1, 8: 2} {
		if got, err := c.JobCount(Host{CPUs: cpus}); err != nil || got != want {
			t.Errorf("on %d CPUs: got %d, %v; want %d", cpus, got, err, want)
		}
	}
}

func TestMemoryMB(t *testing.T) {
	for text, want := range map[string]int{"256M": 256, "2G": 2048, "0M": 0} {
		if got, err := (Guest{Memory: text}).MemoryMB(); err != nil || got != want {
			t.Errorf("%s: got %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "M", "256", "256m", "1.5G", "-1M", "1GM", "99999999G", "0x10M"} {
		if got, err := (Guest{Memory: text}).MemoryMB(); err == nil {
			t.Errorf("%q is %d", text, got)
		}
	}
}

// Whatever stands in a file, it is read or refused with one line, and what is
// read can be run.
func FuzzLoad(f *testing.F) {
	shipped, err := os.ReadFile("../../../matrix.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(shipped)
	for _, s := range []string{
		"", "kernels: [5.10]", "guest: {memory: 1G, cpus: 2, clock: host}", "variants: [{name: a, args: [x]}]",
		"a: &a [*a]", "? [x]\n: y", "kernels: !!binary aaaa", "!!set {kernels}", "guest: {<<: {memory: 1G}}", "jobs: 0b11",
		"jobs: 1e3", "guest: {cpus: 99999999999999999999}", "\xff", "kernels: [\"a:\\nb\"]",
	} {
		f.Add([]byte(s))
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(dir, "m.yaml")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := Load(path, nil)
		if err != nil {
			var fault *Fault
			if !errors.As(err, &fault) || strings.Contains(err.Error(), "\n") {
				t.Fatalf("error %q is no Fault of one line", err)
			}
			return
		}
		if len(c.Kernels) == 0 || len(c.Variants) == 0 || len(c.Probes) == 0 {
			t.Fatalf("nothing to run in %+v", c)
		}
		for _, v := range c.Variants {
			if mb, err := c.GuestFor(v).MemoryMB(); err != nil || mb < leastMB {
				t.Fatalf("variant %s has %d MB, %v", v.Name, mb, err)
			}
		}
	})
}
