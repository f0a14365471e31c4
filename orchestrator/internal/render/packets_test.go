package render

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/packets"
)

// talked reads what was captured on a real kernel.
func talked(t *testing.T, probe, label string) Conversation {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "packets", strings.Replace(probe, "/", "~", 1)+"."+label+".pcapng"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := packets.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	return Conversation{Label: label, Question: "What is asked?", Capture: c}
}

var looks = []struct {
	name string
	o    Options
}{{"80", Options{Width: 80}}, {"120", Options{Width: 120}}, {"160", Options{Width: 160}}, {"80.color", Options{Width: 80, Color: true}}}

func TestPacketsText(t *testing.T) {
	for name, c := range map[string]Conversation{
		"full":       talked(t, "table-full/syn", "6.1.192"),
		"vlan":       talked(t, "devices/vlan@child", "6.1.192"),
		"namespaces": talked(t, "devices/namespaces", "6.1.192"),
		"nat":        talked(t, "nat/masquerade-address", "6.1.192"),
		"fragments":  talked(t, "fragments/zones@child", "6.1.192"),
		"steps":      {Label: "6.1.192", Capture: &packets.Capture{Probe: "sysctl/modes", Events: []observe.Record{{Step: &observe.Step{Text: "row a.b = 0644"}}}}},
		"nothing":    {Label: "6.1.192", Capture: &packets.Capture{Probe: "a/b"}},
		"hostile":    hostileTalk(),
	} {
		for _, look := range looks {
			var buf bytes.Buffer
			if err := PacketsText(&buf, c, look.o); err != nil {
				t.Fatal(err)
			}
			golden(t, fmt.Sprintf("packets/%s.%s.txt", name, look.name), buf.Bytes())
			laidOut(t, buf.Bytes(), look.o)
		}
		for _, width := range []int{40, 57, 100, 144} {
			var buf bytes.Buffer
			if err := PacketsText(&buf, c, Options{Width: width}); err != nil {
				t.Fatal(err)
			}
			laidOut(t, buf.Bytes(), Options{Width: width})
		}
	}
}

// hostileTalk is what a guest says that wants to take the terminal over.
func hostileTalk() Conversation {
	bad := "\x1b]0;owned\a\nnear → 1"
	var events []observe.Record
	for i := range 3 {
		events = append(events,
			observe.Record{Step: &observe.Step{AtNS: int64(i) * 1e9 * 3600 * 24, Text: bad + strings.Repeat(" long", 300)}},
			observe.Record{Packet: &observe.Packet{AtNS: int64(i) * 1e9 * 3600 * 24, Link: bad, In: true, Data: []byte{byte(0x40 + 0x20*i)}, Tracking: strings.Repeat(bad, 40), Fate: bad}})
	}
	return Conversation{Label: bad, Question: bad, Capture: &packets.Capture{Probe: bad, Kernel: bad, Events: events}}
}

// laidOut holds a text to its width, and to what a terminal may see.
func laidOut(t *testing.T, text []byte, o Options) {
	t.Helper()
	if o.Color {
		return
	}
	fits(t, text, o.Width)
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSuffix(line, "\n"); observe.Escape(line) != line {
			t.Errorf("not escaped: %q", line)
		}
	}
}

func TestPacketsDiff(t *testing.T) {
	for name, c := range map[string]struct {
		a, b    Conversation
		differs bool
	}{
		"rst":     {talked(t, "tcp-rst/in-window", "6.1.192"), talked(t, "tcp-rst/in-window", "7.3.4"), true},
		"queue":   {talked(t, "queue/payload", "5.10.262"), talked(t, "queue/payload", "7.3.4"), true},
		"same":    {talked(t, "nat/masquerade-address", "6.1.192"), talked(t, "nat/masquerade-address", "7.3.4"), false},
		"itself":  {talked(t, "tcp-rst/in-window", "6.1.192"), talked(t, "tcp-rst/in-window", "6.1.192"), false},
		"others":  {talked(t, "table-full/syn", "6.1.192"), talked(t, "devices/vlan@child", "6.1.192"), true},
		"hostile": {hostileTalk(), talked(t, "devices/vlan@child", "6.1.192"), true},
	} {
		for _, look := range looks {
			var buf bytes.Buffer
			differs, err := PacketsDiff(&buf, c.a, c.b, look.o)
			if err != nil || differs != c.differs {
				t.Errorf("%s: differs %v, %v", name, differs, err)
			}
			golden(t, fmt.Sprintf("packets/diff.%s.%s.txt", name, look.name), buf.Bytes())
			laidOut(t, buf.Bytes(), look.o)
		}
		for _, width := range []int{40, 57, 100, 144} {
			var buf bytes.Buffer
			if _, err := PacketsDiff(&buf, c.a, c.b, Options{Width: width}); err != nil {
				t.Fatal(err)
			}
			laidOut(t, buf.Bytes(), Options{Width: width})
		}
	}
}

// However long two conversations are, they are laid alongside in bounded room.
func TestPacketsDiffLong(t *testing.T) {
	long := func(seed int) Conversation {
		c := &packets.Capture{Probe: "a/b"}
		for i := range 5000 {
			c.Events = append(c.Events, observe.Record{Step: &observe.Step{AtNS: int64(i), Text: fmt.Sprint("step ", i*seed)}})
		}
		return Conversation{Label: fmt.Sprint(seed), Capture: c}
	}
	if differs, err := PacketsDiff(io.Discard, long(3), long(7), Options{}); !differs || err != nil {
		t.Errorf("differs %v, %v", differs, err)
	}
}

func TestAlign(t *testing.T) {
	events := func(shapes string) []event {
		var out []event
		for _, s := range shapes {
			out = append(out, event{shape: string(s)})
		}
		return out
	}
	for _, c := range []struct{ a, b, want string }{
		{"", "", ""},
		{"abc", "abc", "a=a b=b c=c"},
		{"abc", "ac", "a=a b< c=c"},
		{"ac", "abc", "a=a b> c=c"},
		{"axc", "ayc", "a=a x< y> c=c"},
		{"abab", "ab", "a=a b=b a< b<"},
		{"xabcy", "zabcw", "x< z> a=a b=b c=c y< w>"},
	} {
		var got []string
		for _, p := range align(events(c.a), events(c.b)) {
			switch {
			case p.b == nil:
				got = append(got, p.a.shape+"<")
			case p.a == nil:
				got = append(got, p.b.shape+">")
			default:
				got = append(got, p.a.shape+"="+p.b.shape)
			}
		}
		if text := strings.Join(got, " "); text != c.want {
			t.Errorf("%s and %s: %s, want %s", c.a, c.b, text, c.want)
		}
	}
}
