package probe

import (
	"strconv"
	"time"

	"github.com/ctmatrix/ctmatrix/guest/internal/ct"
	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/observe"
)

// clock is the guest's; tests have one of their own.
type clock struct {
	now   func() time.Duration
	until func(at time.Duration) error
}

var guestClock = clock{lab.Now, lab.WaitUntil}

// mostHostWait is the longest that a probe may wait on the host's clock.
const mostHostWait = 10 * time.Second

// Wait lets kernel time pass. Under a virtual clock that costs almost nothing;
// on the host's, a long wait ends the probe as unsupported.
func (p *P) Wait(d time.Duration) {
	p.waitUntil(p.clock.now() + d)
	p.rec.Step("waited %s s", strconv.FormatFloat(d.Seconds(), 'f', -1, 64))
}

// waitUntil waits until guest time is at least at.
func (p *P) waitUntil(at time.Duration) {
	if left := at - p.clock.now(); p.hostClock && left > mostHostWait {
		p.Unsupported("waits %v, which takes a virtual clock", left.Round(time.Second))
	}
	p.Must(p.clock.until(at))
}

// How Lifetime looks for the end of an entry: from lookFrom before the moment
// that the kernel gives, every lookEvery, for lookLong after it. No entry is waited
// for beyond mostLife.
const (
	lookFrom  = 200 * time.Millisecond
	lookEvery = 40 * time.Millisecond
	lookLong  = 2 * time.Second
	mostLife  = 10 * 24 * time.Hour
)

// Lifetime records the seconds from the last packet to the moment at which the
// entries in the table are gone from it, measured and not believed: "120", "0.3".
// It takes the table's word only for when to look.
//
// The kernel stores the tick at which an entry ends (nf_ct_refresh_acct) and from
// that tick on leaves it out of every dump and lookup (nf_ct_is_expired), whether
// it was collected or not. The packet is handled at most a few ticks of 4 ms after
// p.sent, and a look comes at most lookEvery after the end: the two together stay
// below half of the tenth of a second that is recorded. A dump refreshes nothing.
func (p *P) Lifetime(subject string) {
	entries := p.Entries()
	if len(entries) == 0 {
		p.record(subject, "lifetime", observe.Timeout, "none")
		return
	}
	var seen time.Duration // the last look that found them
	for len(entries) > 0 {
		// What is left is told in whole seconds, rounded down: the end is
		// within a second after them. An entry that outlives what was told is
		// asked again.
		seen = p.clock.now() - p.sent
		if seen > mostLife {
			p.record(subject, "lifetime", observe.Timeout, ">"+seconds(mostLife))
			return
		}
		end := seen + longest(entries)
		if from := end - lookFrom; from > seen {
			p.waitUntil(p.sent + from)
			if entries = p.Entries(); len(entries) == 0 {
				p.record(subject, "lifetime", observe.Timeout, "<"+seconds(from))
				return
			}
		}
		alive := true
		for look := (p.clock.now() - p.sent).Truncate(lookEvery); look < end+lookLong && alive; {
			look += lookEvery
			p.waitUntil(p.sent + look)
			alive, seen = p.Held() > 0, p.clock.now()-p.sent
		}
		if alive {
			entries = p.Entries()
		} else {
			entries = nil
		}
	}
	p.record(subject, "lifetime", observe.Timeout, seconds(seen))
}

// longest is the longest time that the table gives any of entries.
func longest(entries []ct.Entry) time.Duration {
	var most uint32
	for _, e := range entries {
		most = max(most, e.Seconds)
	}
	return time.Duration(most) * time.Second
}

// seconds writes a time to a tenth of a second.
func seconds(d time.Duration) string {
	return strconv.FormatFloat(d.Round(100*time.Millisecond).Seconds(), 'f', -1, 64)
}
