package probe

import (
	"strings"
	"testing"
	"time"

	"github.com/ctmatrix/ctmatrix/guest/internal/ct"
	"github.com/ctmatrix/ctmatrix/guest/observe"
)

// fakeClock is a clock on which waiting takes no time, and looking a little.
type fakeClock struct{ at time.Duration }

func (c *fakeClock) clock() clock {
	return clock{
		now:   func() time.Duration { c.at += time.Millisecond; return c.at },
		until: func(at time.Duration) error { c.at = max(c.at, at); return nil },
	}
}

// mortal is a table with one entry, which ends when it ends whatever the table
// says of it.
type mortal struct {
	Table
	now  func() time.Duration
	end  time.Duration // guest time
	says func(left time.Duration) uint32
}

func (m mortal) Entries() ([]ct.Entry, error) {
	left := m.end - m.now()
	if left <= 0 {
		return nil, nil
	}
	return []ct.Entry{{Proto: "udp", Seconds: m.says(left)}}, nil
}

func (m mortal) Count() (int, error) {
	entries, err := m.Entries()
	return len(entries), err
}

func floor(left time.Duration) uint32 { return uint32(left / time.Second) }

// What is recorded is what happened, not what the table said.
func TestLifetime(t *testing.T) {
	for name, c := range map[string]struct {
		life time.Duration
		says func(time.Duration) uint32
		want string
	}{
		"five days":              {432000 * time.Second, floor, "432000"},
		"as it says":             {2 * time.Second, floor, "2"},
		"a fraction":             {300 * time.Millisecond, floor, "0.3"},
		"sooner than it says":    {500 * time.Millisecond, func(time.Duration) uint32 { return 2 }, "<1.8"},
		"longer than it says":    {2500 * time.Millisecond, func(time.Duration) uint32 { return 0 }, "2.5"},
		"nothing is there":       {0, floor, "none"},
		"a fraction of a second": {1200 * time.Millisecond, floor, "1.2"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newP(nil)
			p.clock = new(fakeClock).clock()
			p.sent = p.clock.now()
			p.table = mortal{now: p.clock.now, end: p.sent + c.life, says: c.says}
			p.Lifetime("flow")
			want := observe.Row{Name: "family/probe/flow.lifetime", Kind: observe.Timeout, Value: c.want}
			if len(p.rows) != 1 || p.rows[0] != want {
				t.Errorf("recorded %v, want %v", p.rows, want)
			}
		})
	}
}

// Nobody waits for days on the host's clock, and no value is made up instead.
func TestHostClock(t *testing.T) {
	p := newP(nil)
	p.clock, p.hostClock = new(fakeClock).clock(), true
	p.sent = p.clock.now()
	p.table = mortal{now: p.clock.now, end: p.sent + 432000*time.Second, says: floor}
	outcome, reason := ending(func() { p.Lifetime("flow") })
	if outcome != observe.Unsupported || !strings.Contains(reason, "virtual clock") || len(p.rows) != 0 {
		t.Errorf("%s: %q, rows %v", outcome, reason, p.rows)
	}
	if outcome, reason := ending(func() { p.Wait(time.Millisecond) }); outcome != observe.Recorded {
		t.Errorf("a short wait is %s: %s", outcome, reason)
	}
}
