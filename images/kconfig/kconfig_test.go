package kconfig

import (
	"compress/gzip"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const sample = `#
# Automatically generated file; DO NOT EDIT.
# Linux/x86 6.12.1 Kernel Configuration
#
CONFIG_NF_CONNTRACK=m
CONFIG_NF_CT_PROTO_DCCP=y
# CONFIG_NF_CONNTRACK_PROCFS is not set
CONFIG_HZ=250
CONFIG_DEFAULT_TCP_CONG="cubic"
CONFIG_EXT4_FS=m
# CONFIG_NF_CONNTRACK_PROCFS is not set, says somebody
CONFIG_=y
CONFIG_NF CT=y
NF_CONNTRACK=y
CONFIG_NF_NAT=
`

func TestParse(t *testing.T) {
	c, err := Parse(strings.NewReader(sample))
	if err != nil {
		t.Fatal(err)
	}
	want := Config{
		"CONFIG_NF_CONNTRACK": "m", "CONFIG_NF_CT_PROTO_DCCP": "y", "CONFIG_NF_CONNTRACK_PROCFS": "n",
		"CONFIG_HZ": "250", "CONFIG_DEFAULT_TCP_CONG": `"cubic"`, "CONFIG_EXT4_FS": "m",
	}
	if d := cmp.Diff(want, c); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	delete(want, "CONFIG_EXT4_FS")
	if d := cmp.Diff(want, c.Kept()); d != "" {
		t.Errorf("kept (-want +got)\n%s", d)
	}
}

func TestParseRefuses(t *testing.T) {
	var many strings.Builder
	for i := range maxOptions + 1 {
		fmt.Fprintf(&many, "CONFIG_A%d=y\n", i)
	}
	for name, text := range map[string]string{
		"nothing": "", "no options": "<html>CONFIG</html>\n", "too many": many.String(), "too long": strings.Repeat("#\n", maxBytes/2+1),
	} {
		if c, err := Parse(strings.NewReader(text)); err == nil || c != nil {
			t.Errorf("%s: %d options, %v", name, len(c), err)
		}
	}
}

func TestRead(t *testing.T) {
	dir := t.TempDir()
	plain, packed := filepath.Join(dir, "config-6.1.0-56-cloud-amd64"), filepath.Join(dir, "config.gz")
	if err := os.WriteFile(plain, []byte(sample), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(packed)
	if err != nil {
		t.Fatal(err)
	}
	z := gzip.NewWriter(f)
	if _, err := z.Write([]byte(sample)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	a, errA := Read(plain)
	b, errB := Read(packed)
	if errA != nil || errB != nil || !maps.Equal(a, b) {
		t.Errorf("%v, %v; %d and %d options", errA, errB, len(a), len(b))
	}
	if _, err := Read(filepath.Join(dir, "none")); err == nil {
		t.Error("a file that is not there was read")
	}
}

// A glob that cannot match would keep nothing, and nobody would see.
func TestKept(t *testing.T) {
	for _, g := range kept {
		if _, err := path.Match(g.pattern, "A"); err != nil {
			t.Errorf("%s: %v", g.pattern, err)
		}
		if !validName(prefix+strings.TrimRight(g.pattern, "*")) || !strings.HasPrefix(g.pattern, g.begins) {
			t.Errorf("%s begins no option's name", g.pattern)
		}
	}
	for name, want := range map[string]bool{
		"CONFIG_NF_CONNTRACK_MARK": true, "CONFIG_NFT_CT": true, "CONFIG_HZ": true, "CONFIG_HZ_250": true,
		"CONFIG_NFS_FS": false, "CONFIG_EXT4_FS": false, "NF_CONNTRACK": false,
	} {
		if Keeps(name) != want {
			t.Errorf("Keeps(%s) = %v", name, !want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{sample, "CONFIG_A=y\r\n", "# CONFIG_A is not set", "CONFIG_A==", "\x00CONFIG_A=y"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := Parse(strings.NewReader(text))
		if (err == nil) != (len(c) > 0) {
			t.Fatalf("%d options, %v", len(c), err)
		}
		for name, value := range c {
			if !validName(name) || value == "" || len(value) > maxValue || strings.Contains(value, "\n") {
				t.Errorf("%q=%q", name, value)
			}
		}
		var again strings.Builder
		for name, value := range c {
			again.WriteString(name + "=" + value + "\n")
		}
		if d, err := Parse(strings.NewReader(again.String())); len(c) > 0 && (err != nil || !maps.Equal(c, d)) {
			t.Errorf("written and read again: %v, %d options of %d", err, len(d), len(c))
		}
	})
}

func TestSignedOnly(t *testing.T) {
	for _, c := range []struct {
		config Config
		want   bool
	}{
		{nil, true},
		{Config{"CONFIG_MODULE_SIG": "y", "CONFIG_MODULE_SIG_FORCE": "n"}, false},
		{Config{"CONFIG_MODULE_SIG_FORCE": "y"}, true},
		{Config{"CONFIG_LOCK_DOWN_KERNEL_FORCE_INTEGRITY": "y"}, true},
		{Config{"CONFIG_MODULES": "n"}, false},
	} {
		if got := c.config.SignedOnly(); got != c.want {
			t.Errorf("%v: %v", c.config, got)
		}
	}
}
