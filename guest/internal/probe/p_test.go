package probe

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ctmatrix/ctmatrix/guest/internal/ct"
	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/internal/wire"
	"github.com/ctmatrix/ctmatrix/guest/observe"
)

// fakeTable answers as a kernel would that has these entries.
type fakeTable struct {
	entries []ct.Entry
	stats   ct.Stats
	err     error
}

func (f *fakeTable) Expectations() ([]ct.Expectation, error)      { return nil, f.err }
func (f *fakeTable) Entries() ([]ct.Entry, error)                 { return f.entries, f.err }
func (f *fakeTable) Among([]wire.Tuple) ([]ct.Entry, bool, error) { return nil, false, f.err }
func (f *fakeTable) Counted() (int, error)                        { return len(f.entries), f.err }
func (f *fakeTable) Count() (int, error)                          { return len(f.entries), f.err }
func (f *fakeTable) Stats() (ct.Stats, error)                     { return f.stats, f.err }
func (f *fakeTable) Delete(ct.Entry) error                        { return f.err }
func (f *fakeTable) SetTCPState(ct.Entry, uint8) error            { return f.err }
func (f *fakeTable) Flush() error                                 { f.entries = nil; return f.err }

func newP(table Table) *P {
	return &P{table: table, name: "family/probe", seen: map[string]bool{}, clock: guestClock}
}

// ending runs a body and says how it ended.
func ending(body func()) (outcome observe.Outcome, reason string) {
	defer func() {
		if s, ok := recover().(stop); ok {
			outcome, reason = s.outcome, s.reason
		}
	}()
	body()
	return observe.Recorded, ""
}

func TestRows(t *testing.T) {
	synSent := ct.Entry{Proto: "tcp", State: "SYN_SENT", Flags: []string{"unreplied"}, Seconds: 119}
	table := &fakeTable{entries: []ct.Entry{synSent, synSent, {Proto: "udp", Seconds: 29}}, stats: ct.Stats{Drop: 5}}
	p := newP(table)
	p.stats = ct.Stats{Drop: 2}
	p.sent = lab.Now()
	p.Count("syn", "raw", 10)
	p.Delta("table", "drop", p.Stats().Drop)
	p.Flag("max", "writable", false)
	p.Text("loose", "value", "1")
	p.Errno("udp", fmt.Errorf("sendto: %w", unix.EPERM))
	p.Errno("tcp", nil)
	p.Entry("syn", p.Entries())
	p.Entry("none", nil)
	p.Timeout("syn")
	p.Fate("answer", []wire.Seen{{Proto: "tcp", Flags: wire.SYN | wire.ACK}, {Proto: "udp"}, {Proto: "tcp", Flags: wire.SYN | wire.ACK}})
	p.Events("syn", []ct.Event{{Type: "new"}, {Type: "new"}, {Type: "destroy"}})
	want := []observe.Row{
		{Name: "family/probe/syn.raw", Kind: observe.Count, Value: "10"},
		{Name: "family/probe/table.drop", Kind: observe.Delta, Value: "3"},
		{Name: "family/probe/max.writable", Kind: observe.Flag, Value: "no"},
		{Name: "family/probe/loose.value", Kind: observe.Text, Value: "1"},
		{Name: "family/probe/udp.errno", Kind: observe.Errno, Value: "EPERM"},
		{Name: "family/probe/tcp.errno", Kind: observe.Errno, Value: "ok"},
		{Name: "family/probe/syn.entry", Kind: observe.Entry, Value: "2 tcp SYN_SENT unreplied, 1 udp"},
		{Name: "family/probe/none.entry", Kind: observe.Entry, Value: "none"},
		{Name: "family/probe/syn.timeout", Kind: observe.Timeout, Value: "2 120, 1 30"},
		{Name: "family/probe/answer.fate", Kind: observe.Fate, Value: "2 SYN+ACK, 1 udp"},
		{Name: "family/probe/syn.events", Kind: observe.Events, Value: "2 new, destroy"},
	}
	if diff := cmp.Diff(want, p.rows); diff != "" {
		t.Error(diff)
	}
}

// What became of one packet is one row, which names what there is one of without
// a number.
func TestOutcome(t *testing.T) {
	entry := ct.Entry{Proto: "tcp", State: "SYN_SENT", Flags: []string{"unreplied"}, Seconds: 119}
	for want, got := range map[string]string{
		"new: tcp SYN_SENT unreplied 120 s":               became(tally{"new": 1}, false, []ct.Entry{entry}),
		"2 new: 2 tcp SYN_SENT unreplied 120 s, udp 30 s": became(tally{"new": 2}, false, []ct.Entry{entry, entry, {Proto: "udp", Seconds: 29}}),
		"invalid, lost: none":                             became(tally{"invalid": 1}, true, nil),
		"none, lost: none":                                became(tally{}, true, nil),
		"established, related: tcp ESTABLISHED assured 432000 s": became(tally{"related": 1, "established": 1}, false,
			[]ct.Entry{{Proto: "tcp", State: "ESTABLISHED", Flags: []string{"assured"}, Seconds: 431999}}),
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestEndings(t *testing.T) {
	for _, test := range []struct {
		name    string
		body    func(p *P)
		outcome observe.Outcome
		reason  string
	}{
		{"same row twice", func(p *P) { p.Count("a", "b", 1); p.Count("a", "b", 2) }, observe.Broken, "row family/probe/a.b recorded twice"},
		{"row of a bad name", func(p *P) { p.Count("a b", "c", 1) }, observe.Broken, "only a-z"},
		{"netlink fails", func(p *P) { p.table = &fakeTable{err: errors.New("no buffer")}; p.Entries() }, observe.Broken, "no buffer"},
		{"timeout read too late", func(p *P) { p.sent = lab.Now() - 2e9; p.Timeout("a") }, observe.Broken, "leaves its value to chance"},
		{"kernel lacks something", func(p *P) { p.Unsupported("no %s", "flowtable") }, observe.Unsupported, "no flowtable"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newP(&fakeTable{entries: []ct.Entry{{}}})
			outcome, reason := ending(func() { test.body(p) })
			if outcome != test.outcome || !strings.Contains(reason, test.reason) {
				t.Errorf("ended as %s (%s), want %s (%s)", outcome, reason, test.outcome, test.reason)
			}
		})
	}
}

func TestRuns(t *testing.T) {
	for in, want := range map[string]string{
		"":            "none",
		"a":           "a",
		"a a b a":     "2 a, b, a",
		"new new new": "3 new",
	} {
		if got := runs(strings.Fields(in)); got != want {
			t.Errorf("runs(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestClassTally(t *testing.T) {
	meters := map[string]uint64{"class.invalid": 3, "class.new": 7, "class.related": 0, "raw": 10}
	if got, want := classTally(meters), "7 new, 3 invalid"; got != want {
		t.Errorf("classTally = %q, want %q", got, want)
	}
	meters["class.new"] = 1
	if got, want := classes(meters).Words(), "3 invalid, new"; got != want {
		t.Errorf("classes are written %q, want %q", got, want)
	}
}
