package dissect

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write what the tests get into testdata")

// cases are packets that passed a link in a real guest: those of each kind and
// those that are damaged, as medium and bytes.
func cases(t testing.TB) [][]byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "packets.txt"))
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Split(bytes.TrimSuffix(data, []byte("\n")), []byte("\n"))
}

func lineOf(t testing.TB, text []byte) (Line, []byte) {
	t.Helper()
	medium, digits, _ := strings.Cut(string(text), " ")
	packet, err := hex.DecodeString(digits)
	if err != nil {
		t.Fatal(err)
	}
	if medium == "ethernet" {
		return Ethernet(packet), packet
	}
	return IP(packet), packet
}

func TestPackets(t *testing.T) {
	var got bytes.Buffer
	for _, text := range cases(t) {
		line, _ := lineOf(t, text)
		fmt.Fprintln(&got, line.Text)
	}
	path := filepath.Join("testdata", "packets.golden")
	if *update {
		if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Cut off anywhere, a packet is told as far as it goes.
func TestCutOff(t *testing.T) {
	for _, text := range cases(t) {
		_, packet := lineOf(t, text)
		for n := range packet {
			if l := IP(packet[:n]); l.Text == "" || l.Shape == "" {
				t.Errorf("the first %d bytes of %x: %+v", n, packet, l)
			}
		}
	}
}

// A packet's shape leaves out what counts on, and nothing that tells it apart.
func TestShape(t *testing.T) {
	parse := func(digits string) Line {
		b, err := hex.DecodeString(digits)
		if err != nil {
			t.Fatal(err)
		}
		return IP(b)
	}
	const (
		ip     = "4500002800004000400600000a0000010a000002"
		syn    = ip + "2710005000000001000000005002ffff00000000"
		later  = ip + "2710005000000009000000005002ffff00000000"
		synAck = ip + "2710005000000001000000005012ffff00000000"
		port   = ip + "2711005000000001000000005002ffff00000000"
	)
	if a, b := parse(syn), parse(later); a.Shape != b.Shape || a.Text == b.Text {
		t.Errorf("%+v and %+v", a, b)
	}
	for _, other := range []string{synAck, port} {
		if a, b := parse(syn), parse(other); a.Shape == b.Shape {
			t.Errorf("%+v and %+v", a, b)
		}
	}
}

func FuzzDissect(f *testing.F) {
	for _, text := range cases(f) {
		_, packet := lineOf(f, text)
		f.Add(packet)
	}
	f.Fuzz(func(t *testing.T, packet []byte) {
		for _, l := range []Line{IP(packet), Ethernet(packet)} {
			if l.Text == "" || l.Shape == "" || !utf8.ValidString(l.Text) || strings.ContainsAny(l.Text, "\n\x1b") {
				t.Errorf("%+v", l)
			}
		}
	})
}
