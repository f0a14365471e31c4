package capture

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ctmatrix/ctmatrix/guest/internal/ct"
	"github.com/ctmatrix/ctmatrix/guest/observe"
)

func TestNilRecorder(t *testing.T) {
	var r *Recorder
	r.Step("set %s", "x")
	ran := false
	r.Unwatched(func() { ran = true })
	leave, err := r.Watch(nil, true)
	if err != nil || !ran || r.Records() != nil || r.SentAt(7) != 7 {
		t.Errorf("a recorder that is none does something: %v, %v", err, r.Records())
	}
	leave()
}

// What a recorder gives is what a stream takes, with what was left out.
func TestRecordsFit(t *testing.T) {
	for name, fill := range map[string]func(*Recorder){
		"steps":   func(r *Recorder) { r.Step("%s", strings.Repeat("s", 4000)) },
		"escapes": func(r *Recorder) { r.Step("%s", strings.Repeat(`"`, 4000)) },
		"packets": func(r *Recorder) {
			r.keep(observe.Record{Packet: &observe.Packet{Link: "near", Medium: observe.IP, Data: make([]byte, 1000)}}, 0)
		},
	} {
		r := &Recorder{}
		for range 1000 {
			fill(r)
		}
		records := r.Records()
		var out bytes.Buffer
		w := observe.NewWriter(&out)
		for _, rec := range append([]observe.Record{
			{Hello: &observe.Hello{Protocol: observe.Protocol, Probes: []string{"a/b"}}}, {Begin: &observe.Begin{Probe: "a/b"}},
		}, records...) {
			if err := w.Write(rec); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		if out.Len() > observe.MaxCapture+200 || out.Len() < observe.MaxCapture*3/4 {
			t.Errorf("%s: %d bytes, of %d", name, out.Len(), observe.MaxCapture)
		}
		last := records[len(records)-1].Step
		kept := len(records) - 1
		want := fmt.Sprintf("left out: 0 packets of 0 bytes and %d steps", 1000-kept)
		if name == "packets" {
			want = fmt.Sprintf("left out: %d packets of %d bytes and 0 steps", 1000-kept, (1000-kept)*1000)
		}
		if last == nil || !strings.HasPrefix(last.Text, want) {
			t.Errorf("%s: the last record is %+v, want %q", name, last, want)
		}
	}
}

func TestLinkNames(t *testing.T) {
	r := &Recorder{}
	for _, want := range []string{"near", "near@child-1", "near@child-2"} {
		if got := r.name("near"); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestClassOf(t *testing.T) {
	meters := func(raw, mangle, fresh, invalid uint64) map[string]uint64 {
		return map[string]uint64{"raw": raw, "mangle": mangle, "class.new": fresh, "class.invalid": invalid}
	}
	before := meters(4, 4, 4, 0)
	for _, c := range []struct {
		now  map[string]uint64
		near bool
		want string
	}{
		{meters(5, 5, 5, 0), true, "new"},
		{meters(5, 5, 4, 1), true, "invalid"},
		{meters(6, 6, 5, 1), true, "new+invalid"},
		{meters(5, 4, 4, 0), true, vanished},
		{meters(4, 4, 4, 0), true, held},
		{meters(4, 4, 4, 0), false, uncounted},
		{map[string]uint64{"raw": 5, "mangle": 5}, true, noClass},
		{map[string]uint64{}, true, noClass},
		{nil, true, noClass},
	} {
		if got := classOf(before, c.now, c.near); got != c.want {
			t.Errorf("from %v to %v: %q, want %q", before, c.now, got, c.want)
		}
	}
}

// A tick that passes between a packet and the question about it does not show, and
// a second does.
func TestEntryTime(t *testing.T) {
	w := &watch{told: map[uint32]told{}}
	for _, c := range []struct {
		id, seconds uint32
		at          time.Duration
		want        string
	}{
		{1, 120, 0, "tcp SYN_SENT 120 s"},
		{1, 119, 10 * time.Millisecond, "tcp SYN_SENT 120 s"},
		{1, 119, 900 * time.Millisecond, "tcp SYN_SENT 120 s"},
		{2, 119, 900 * time.Millisecond, "tcp SYN_SENT 119 s"},
		{1, 118, 1100 * time.Millisecond, "tcp SYN_SENT 118 s"},
		{1, 60, 1200 * time.Millisecond, "tcp SYN_SENT 60 s"},
		{1, 120, 1300 * time.Millisecond, "tcp SYN_SENT 120 s"},
	} {
		if got := w.entry(&ct.Found{Text: "tcp SYN_SENT", Seconds: c.seconds, ID: c.id}, c.at); got != c.want {
			t.Errorf("entry %d with %d s at %v: %q, want %q", c.id, c.seconds, c.at, got, c.want)
		}
	}
}

func TestEntries(t *testing.T) {
	w := &watch{told: map[uint32]told{}}
	for want, es := range map[string]entries{
		"none":               nil,
		"udp unreplied 30 s": {{&ct.Found{Text: "udp unreplied", Seconds: 30, ID: 1}, 0}},
		"udp 120 s in zone 1 and udp unreplied 30 s in zone 2": {
			{&ct.Found{Text: "udp", Seconds: 120, ID: 2}, 1}, {&ct.Found{Text: "udp unreplied", Seconds: 30, ID: 3}, 2}},
	} {
		if got := w.timed(es, 0); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if got := (entries{{&ct.Found{Text: "udp", Seconds: 120}, 1}}).String(); got != "udp in zone 1" {
		t.Errorf("%q", got)
	}
}

func TestFate(t *testing.T) {
	for want, g := range map[string]going{
		"nothing came out":          {},
		"out by far":                {links: []string{"far"}, out: map[string]int{"far": 1}},
		"3 out by far, out by near": {links: []string{"far", "near"}, out: map[string]int{"far": 3, "near": 1}},
	} {
		if got := g.fate(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
