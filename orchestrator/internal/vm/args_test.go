package vm

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/shlex"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestArgs(t *testing.T) {
	for name, v := range map[string]*VM{
		"defaults": {Kernel: "vmlinuz", Initrd: "initrd"},
		"full": {
			Kernel: "vmlinuz", Initrd: "initrd", CPUs: 1, MemoryMB: 128, Append: []string{"a=b", "c"},
			Devices: []Device{Sandbox{}, SerialPort{Name: "port.one", FD: 3}}, monitor: &monitor{4},
		},
		"saved": {
			Kernel: "vmlinuz", Initrd: "initrd", RAM: &RAM{Path: "ram"}, Seed: 7,
			Devices: []Device{SharedMemory{FD: 3, Size: 4096}}, monitor: &monitor{4},
		},
		"restored": {
			RAM: &RAM{Path: "ram", Private: true}, Incoming: true,
			Devices: []Device{SharedMemory{FD: 3, Size: 4096}}, monitor: &monitor{4},
		},
		"host-clock": {Kernel: "vmlinuz", Initrd: "initrd", CPUs: 2},
		"kvm":        {Kernel: "vmlinuz", Initrd: "initrd", Accel: KVM, Machine: "pc"},
	} {
		t.Run(name, func(t *testing.T) {
			got := strings.Join(v.Args(), "\n") + "\n"
			if again := strings.Join(v.Args(), "\n") + "\n"; again != got {
				t.Errorf("asked again, the arguments are\n%s", again)
			}
			file := filepath.Join("testdata", name+".args")
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("arguments\n%s\nare not those of %s\n%s", got, file, want)
			}
		})
	}
}

func TestCheck(t *testing.T) {
	for _, test := range []struct {
		v    VM
		want string
	}{
		{VM{}, "start a guest: no kernel is named"},
		{VM{Kernel: "k", Accel: KVM, Clock: Virtual}, "start a guest: a virtual clock needs accel tcg, not kvm"},
		{VM{Kernel: "k", CPUs: 2, Clock: Virtual}, "start a guest: a virtual clock needs one CPU, not 2"},
	} {
		err := test.v.Start(t.Context())
		if err == nil || err.Error() != test.want {
			t.Errorf("start of %+v: %v, want %q", test.v, err, test.want)
		}
	}
	for _, v := range []VM{{Kernel: "k"}, {Kernel: "k", CPUs: 2}, {Kernel: "k", Accel: KVM}, {Kernel: "k", CPUs: 2, Clock: Host}} {
		if err := v.check(); err != nil {
			t.Errorf("check of %+v: %v", v, err)
		}
	}
}

func TestBaseArgsHaveReasons(t *testing.T) {
	seen := map[string]bool{}
	for _, a := range BaseArgs {
		name, _, _ := strings.Cut(a.Arg, "=")
		if a.Why == "" || strings.ContainsAny(a.Arg, " \"'") || seen[name] {
			t.Errorf("%q: no reason, or more than one argument, or given twice", a.Arg)
		}
		seen[name] = true
	}
}

func FuzzQuote(f *testing.F) {
	f.Add("plain", "two words")
	f.Add("", "it's")
	f.Add("\r", "0")
	f.Add(`back\slash "and" $dollar`, "new\nline #no comment")
	f.Fuzz(func(t *testing.T, a, b string) {
		// The splitter takes other bytes than UTF-8 for a replacement character.
		argv := []string{strings.ToValidUTF8(a, "?"), strings.ToValidUTF8(b, "?")}
		got, err := shlex.Split(Quote(argv))
		if err != nil || !slices.Equal(got, argv) {
			t.Fatalf("%q quoted is %s, which reads as %q, %v", argv, Quote(argv), got, err)
		}
	})
}

func TestQuote(t *testing.T) {
	got := Quote([]string{"qemu", "-m", "256M", "-append", "a=b c", "", "it's", "x\ty"})
	if want := `qemu -m 256M -append 'a=b c' '' 'it'\''s' 'x` + "\t" + `y'`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
