package pcapng

import (
	"bytes"
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write what the tests get into testdata")

var sample = &Section{
	Comments: []string{"probe: table-full/syn"}, OS: "6.1.0", Application: "ctmatrix",
	Interfaces: []Interface{{"near", LinkRaw}, {"far", LinkEthernet}},
	Packets: []Packet{
		{Interface: 0, At: 20*time.Second + 1, Direction: Inbound, Data: []byte{0x45, 0, 0}, Comments: []string{"step at 19.000000000 s: x", "tracking: new"}},
		{Interface: 1, At: 1 << 40, Direction: Outbound, Data: []byte{1, 2, 3, 4}},
		{Interface: 1, At: 1 << 40, Data: []byte{}, Comments: []string{"größe → 5"}},
	},
}

func write(t *testing.T, s *Section) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := Write(&out, s); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// The bytes are as they were, and what they were has been seen in Wireshark.
func TestBytes(t *testing.T) {
	got, path := []byte(hex.Dump(write(t, sample))), filepath.Join("testdata", "sample.hex")
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

func TestRoundTrip(t *testing.T) {
	for name, s := range map[string]*Section{"sample": sample, "empty": {}, "interface alone": {Interfaces: []Interface{{"x", LinkRaw}}}} {
		got, err := Read(bytes.NewReader(write(t, s)))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !reflect.DeepEqual(got, s) {
			t.Errorf("%s: read back %+v, want %+v", name, got, s)
		}
	}
}

func TestWriteRefuses(t *testing.T) {
	for name, s := range map[string]*Section{
		"no such interface": {Packets: []Packet{{}}},
		"before the epoch":  {Interfaces: sample.Interfaces, Packets: []Packet{{At: -1}}},
		"packet too long":   {Interfaces: sample.Interfaces, Packets: []Packet{{Data: make([]byte, maxData+1)}}},
		"comment too long":  {Comments: []string{strings.Repeat("x", maxOption+1)}},
	} {
		var out bytes.Buffer
		if err := Write(&out, s); err == nil || out.Len() > 0 {
			t.Errorf("%s: wrote %d bytes, %v", name, out.Len(), err)
		}
	}
}

func TestReadRefuses(t *testing.T) {
	whole := write(t, sample)
	with := func(at int, bytes ...byte) []byte {
		out := append([]byte{}, whole...)
		copy(out[at:], bytes)
		return out
	}
	first := int(whole[4]) // length of the section's block
	packet := first
	for range sample.Interfaces {
		packet += int(whole[packet+4])
	}
	for says, data := range map[string][]byte{
		"empty":                       {},
		"cut short":                   whole[:10],
		"big-endian":                  with(8, 0x1a, 0x2b, 0x3c, 0x4d),
		"not a capture in pcapng":     with(0, 1, 0, 0, 0),
		"version 2 of pcapng":         with(12, 2),
		"another section":             append(append([]byte{}, whole...), whole...),
		"length of 3 bytes":           with(4, 3),
		"before and":                  with(first-4, 99),
		"nanoseconds":                 with(first+8+8+4+4+4, 6),
		"packet on interface 9 of 2":  with(packet+8, 9),
		"of which 3 of 9 bytes":       with(packet+8+16, 9),
		"packet of 16777219 bytes":    with(packet+8+12, 3, 0, 0, 1),
		"option of":                   with(packet+8+20+4+2, 0xff, 0xff),
		"packet in a block of type 3": with(packet, 3),
		"packet in a block of type 2": with(packet, 2),
	} {
		if _, err := Read(bytes.NewReader(data)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("error %v, want %q", err, says)
		}
	}
	// Blocks of other kinds, which Wireshark adds, are passed over.
	if s, err := Read(bytes.NewReader(with(packet, 5))); err != nil || len(s.Packets) != len(sample.Packets)-1 {
		t.Errorf("a block of statistics: %v", err)
	}
	for cut := range len(whole) {
		if s, err := Read(bytes.NewReader(whole[:cut])); err == nil && len(s.Packets) == len(sample.Packets) {
			t.Errorf("cut at %d: everything is there", cut)
		}
	}
}

// What can be read can be written and read again.
func FuzzRead(f *testing.F) {
	var out bytes.Buffer
	if err := Write(&out, sample); err != nil {
		f.Fatal(err)
	}
	f.Add(out.Bytes())
	f.Add(out.Bytes()[:40])
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Read(bytes.NewReader(data))
		if err != nil {
			return
		}
		var again bytes.Buffer
		if err := Write(&again, s); err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		second, err := Read(&again)
		if err != nil || !reflect.DeepEqual(s, second) {
			t.Fatalf("read %+v, again %+v, %v", s, second, err)
		}
	})
}
