package packets

import (
	"bytes"
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ctmatrix/ctmatrix/guest/observe"
)

var update = flag.Bool("update", false, "write what the tests get into testdata")

func step(at int64, text string) observe.Record {
	return observe.Record{Step: &observe.Step{AtNS: at, Text: text}}
}

func packet(at int64, link string, medium observe.Medium, in bool, tracking, fate string) observe.Record {
	return observe.Record{Packet: &observe.Packet{
		AtNS: at, Link: link, Medium: medium, In: in, Data: []byte{0x45, 0, 0, byte(at)}, Tracking: tracking, Fate: fate,
	}}
}

var sample = &Capture{
	Probe: "table-full/syn", Kernel: "6.1.0-56-cloud-amd64 (6.1.192-2)",
	Events: []observe.Record{
		step(1, "set net.netfilter.nf_conntrack_max = 7"),
		step(20_000_000_002, "rule raw: drop"),
		packet(20_000_000_003, "near", observe.IP, true, "new: none → tcp SYN_SENT unreplied 120 s", "out by far"),
		packet(20_000_000_004, "far", observe.Ethernet, false, "", ""),
		step(20_000_000_005, "waited 30 s"),
		packet(50_000_000_006, "near", observe.IP, true, "", "nothing came out"),
		step(50_000_000_007, "row syn.raw = 10"),
		step(50_000_000_007, "row syn.text = a: b s: c"),
	},
}

func TestRoundTrip(t *testing.T) {
	for name, c := range map[string]*Capture{
		"sample":     sample,
		"no packets": {Probe: "sysctl/defaults", Kernel: "k", Events: []observe.Record{step(1, "a"), step(2, "b")}},
		"nothing":    {Probe: "a/b"},
	} {
		data, err := Encode(c)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Decode(data)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c, got); diff != "" {
			t.Errorf("%s (-kept +read):\n%s", name, diff)
		}
	}
}

func TestBytes(t *testing.T) {
	data, err := Encode(sample)
	if err != nil {
		t.Fatal(err)
	}
	got, path := []byte(hex.Dump(data)), filepath.Join("testdata", "sample.hex")
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// What comes from a guest is in the file only as text that no terminal acts on.
func TestEscapes(t *testing.T) {
	bad := "\x1b[2J\nstep at 0.000000000 s: forged"
	data, err := Encode(&Capture{Probe: "a/b", Kernel: bad, Events: []observe.Record{
		step(1, bad), packet(2, bad, observe.IP, true, bad, bad), step(3, bad),
	}})
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(data, []byte("\x1b")) || bytes.Contains(data, []byte("\n"+sayStep)) {
		t.Errorf("control characters in\n%s", hex.Dump(data))
	}
	c, err := Decode(data)
	if err != nil || len(c.Events) != 3 || !strings.HasPrefix(c.Events[0].Step.Text, `\x1b[2J\n`) {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestStepOf(t *testing.T) {
	for _, bad := range []string{
		"", "step at", "step at 1 s: x", "step at 1.5 s: x", "step at -1.000000000 s: x", "step at 1.00000000x s: x",
		"step at 99999999999.000000000 s: x", "step at 1.000000000 s: ", "STEP at 1.000000000 s: x",
	} {
		if rec, ok := stepOf(sayStep, bad); ok {
			t.Errorf("%q is %+v", bad, rec.Step)
		}
	}
}

func FuzzDecode(f *testing.F) {
	data, err := Encode(sample)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Decode(data)
		if err != nil {
			return
		}
		for i := 1; i < len(c.Events); i++ {
			if At(c.Events[i-1]) > At(c.Events[i]) {
				t.Errorf("event %d is before the one it follows", i)
			}
		}
	})
}
