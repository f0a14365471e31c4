package probe

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ctmatrix/ctmatrix/guest/internal/capture"
	"github.com/ctmatrix/ctmatrix/guest/internal/ct"
	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/internal/wire"
	"github.com/ctmatrix/ctmatrix/guest/observe"
)

// Table is what a body asks of conntrack. A ct.Table is one.
type Table interface {
	Entries() ([]ct.Entry, error)
	Among([]wire.Tuple) (entries []ct.Entry, all bool, err error)
	Count() (int, error)
	Counted() (int, error)
	Expectations() ([]ct.Expectation, error)
	Stats() (ct.Stats, error)
	Delete(ct.Entry) error
	SetTCPState(e ct.Entry, state uint8) error
	Flush() error
}

// P is a running probe. Its methods do what their names say or end the probe:
// a body needs no error handling. P is used by one goroutine, on the thread of
// its box.
type P struct {
	Box   *lab.Box
	table Table
	log   *lab.Log
	name  string
	rows  []observe.Row
	seen  map[string]bool
	sent  time.Duration // guest time when the last packets set out
	talk  talk
	lines []observe.Log

	// What the statistics, meters and log stood at when the probe, or the part
	// of it that Mark began, started.
	stats   ct.Stats
	meters  map[string]uint64
	logFrom int
	first   ct.Stats // what the statistics stood at when the probe started

	cleanups []func() error

	clock     clock
	hostClock bool // waiting takes the host's time, too

	rec *capture.Recorder // nil unless the run captures
}

// stop ends a body with an outcome.
type stop struct {
	outcome observe.Outcome
	reason  string
}

// Unsupported ends the probe: the kernel lacks what the reason names.
func (p *P) Unsupported(format string, args ...any) {
	panic(stop{observe.Unsupported, fmt.Sprintf(format, args...)})
}

// Broken ends the probe: the rig failed, and nothing it recorded counts.
func (p *P) Broken(format string, args ...any) {
	panic(stop{observe.Broken, fmt.Sprintf(format, args...)})
}

// Must ends the probe as broken if err is not nil.
func (p *P) Must(err error) {
	if err != nil {
		p.Broken("%v", err)
	}
}

// Supported ends the probe if err is not nil: as unsupported if it says that the
// kernel has no such thing, which an option of its configuration brings, and as
// broken otherwise.
func (p *P) Supported(err error, option string) {
	if isMissing(err) {
		p.Unsupported("kernel was built without %s: %v", option, err)
	}
	p.Must(err)
}

// Through sends packets into the near link, waits until they are through, and
// returns what the box sent back on that link.
func (p *P) Through(pkts ...wire.Packet) []wire.Seen {
	p.sends(pkts)
	out, err := p.Box.Through(pkts...)
	p.Must(err)
	p.sent = p.rec.SentAt(p.sent)
	return out
}

// Forth sends packets into the near link, waits until they are through, and
// returns what came out of the far link.
func (p *P) Forth(pkts ...wire.Packet) []wire.Seen {
	p.sends(pkts)
	out, err := p.Box.Forth(pkts...)
	p.Must(err)
	p.sent = p.rec.SentAt(p.sent)
	return out
}

// Back sends packets into the far link, so that they answer what Through sent,
// waits until they are through, and returns what came out of the near link.
func (p *P) Back(pkts ...wire.Packet) []wire.Seen {
	p.sends(pkts)
	out, err := p.Box.Back(pkts...)
	p.Must(err)
	p.sent = p.rec.SentAt(p.sent)
	return out
}

// sends notes what is about to be sent, and when.
func (p *P) sends(pkts []wire.Packet) {
	p.talk.heard(pkts)
	p.sent = lab.Now()
}

// ComeOut fences the near link and returns what the box sent on it since the
// last fence, for probes in which the box itself speaks first.
func (p *P) ComeOut() []wire.Seen { return p.Through() }

// Set writes a sysctl until the probe ends.
func (p *P) Set(name, value string) {
	err := p.Box.SetSysctl(name, value)
	if isMissing(err) {
		p.Unsupported("no sysctl %s", name)
	}
	p.Must(err)
	p.rec.Step("set %s = %s", name, value)
}

// Add loads rules until the probe ends.
func (p *P) Add(rules ...lab.Rule) {
	p.load(rules)
	for _, r := range rules {
		p.rec.Step("rule %s", r)
	}
}

func (p *P) load(rules []lab.Rule) {
	err := p.Box.Rules.Add(rules...)
	if isMissing(err) {
		p.Unsupported("kernel refuses rules [%s]: %v", ruleList(rules), err)
	}
	p.Must(err)
}

func ruleList(rules []lab.Rule) string {
	var texts []string
	for _, r := range rules {
		texts = append(texts, r.String())
	}
	return strings.Join(texts, "; ")
}

// ClearRules removes every rule, its own and the meters, before the probe ends.
func (p *P) ClearRules() {
	p.Must(p.Box.Rules.Clear())
	p.rec.Step("remove all rules")
}

// Cleanup has f called when the body is over, last one first.
func (p *P) Cleanup(f func() error) { p.cleanups = append(p.cleanups, f) }

func (p *P) clean() error {
	var errs []error
	for i := len(p.cleanups) - 1; i >= 0; i-- {
		errs = append(errs, p.cleanups[i]())
	}
	p.cleanups = nil
	return errors.Join(errs...)
}

// Listen subscribes to the events of the box. The function it returns takes
// those of packets that are through.
func (p *P) Listen() func() []ct.Event {
	events, err := ct.Listen()
	p.Must(err)
	p.Cleanup(events.Close)
	p.rec.Step("listen to events")
	return func() []ct.Event {
		got, err := events.Take()
		p.Must(err)
		return got
	}
}

// Entries are those of the table. Where the packets that the probe has sent lead to
// as many as the kernel counts, it is not listed for that.
func (p *P) Entries() []ct.Entry {
	if p.talk.worthAsking() {
		entries, all, err := p.table.Among(p.talk.tuples)
		p.Must(err)
		if all {
			return entries
		}
	}
	entries, err := p.table.Entries()
	p.Must(err)
	return entries
}

// Held is how many entries the table holds: of those that Entries has.
func (p *P) Held() int {
	if p.talk.worthAsking() {
		return len(p.Entries())
	}
	return p.Listed()
}

// Has reports whether a tuple leads to an entry.
func (p *P) Has(t wire.Tuple) bool {
	entries, _, err := p.table.Among([]wire.Tuple{t})
	p.Must(err)
	return len(entries) > 0
}

// Counted is how many entries the kernel counts, in whatever state they are.
func (p *P) Counted() int {
	n, err := p.table.Counted()
	p.Must(err)
	return n
}

// Listed is how many entries the table lists, for questions about the list.
func (p *P) Listed() int {
	n, err := p.table.Count()
	p.Must(err)
	return n
}

// Flush empties the table.
func (p *P) Flush() {
	p.Must(p.table.Flush())
	p.talk = talk{}
	p.rec.Step("flush the table")
}

// Delete takes an entry out of the table.
func (p *P) Delete(e ct.Entry) {
	p.Must(p.table.Delete(e))
	p.rec.Step("delete entry %s, %s", e.Orig, e)
}

// SetTCPState has the kernel change the state of a TCP entry, by number.
func (p *P) SetTCPState(e ct.Entry, state uint8) error {
	err := p.table.SetTCPState(e, state)
	p.rec.Step("set the state of entry %s to %d: %s", e.Orig, state, ErrnoName(err))
	return err
}

// Mark makes what is counted from now on, by statistics, meters and log lines,
// count from zero: a new part of the experiment begins.
func (p *P) Mark() {
	p.drainLog()
	p.logFrom = len(p.lines)
	stats, err := p.table.Stats()
	p.Must(err)
	p.stats = stats
	p.meters, err = p.Box.Rules.Meters()
	p.Must(err)
	p.rec.Step("count from zero")
}

// Stats returns what the statistics counted since the probe or part began.
func (p *P) Stats() ct.Stats {
	now, err := p.table.Stats()
	p.Must(err)
	return now.Sub(p.stats)
}

// Moved records the statistics that the whole probe moved, whatever parts it
// has, and by how much: "invalid 1, insert 2".
func (p *P) Moved(subject string) {
	now, err := p.table.Stats()
	p.Must(err)
	p.record(subject, "stats", observe.Text, now.Sub(p.first).String())
}

// Meters returns what the named counters of the rules counted since the probe
// or part began.
func (p *P) Meters() map[string]uint64 {
	m, err := p.Box.Rules.Meters()
	p.Must(err)
	for name := range m {
		m[name] -= p.meters[name]
	}
	return m
}

// LogLines counts the kernel's log lines since the probe or part began that
// contain text.
func (p *P) LogLines(text string) int {
	p.drainLog()
	n := 0
	for _, l := range p.lines[p.logFrom:] {
		if strings.Contains(l.Text, text) {
			n++
		}
	}
	return n
}

// netnsNumber is the number by which the kernel names a namespace in its log. It
// is an inode, handed out anew each time.
var netnsNumber = regexp.MustCompile(`netns [0-9]+`)

// LogText records the different lines of the kernel's log since the probe or
// part began that contain text.
func (p *P) LogText(subject, text string) {
	p.drainLog()
	var lines []string
	for _, l := range p.lines[p.logFrom:] {
		if strings.Contains(l.Text, text) {
			lines = append(lines, netnsNumber.ReplaceAllString(l.Text, "netns N"))
		}
	}
	slices.Sort(lines)
	lines = slices.Compact(lines)
	if len(lines) == 0 {
		lines = []string{"none"}
	}
	p.record(subject, "text", observe.Text, strings.Join(lines, "; "))
}

func (p *P) drainLog() {
	lines, err := p.log.Take()
	p.lines = append(p.lines, lines...)
	p.Must(err)
}

// record keeps a row. One subject's attribute is observed once.
func (p *P) record(subject, attr string, kind observe.Kind, value string) {
	row := observe.Row{Name: p.name + "/" + subject + "." + attr, Kind: kind, Value: value}
	if p.seen[row.Name] {
		p.Broken("row %s recorded twice", row.Name)
	}
	p.Must(row.Check())
	p.seen[row.Name] = true
	p.rows = append(p.rows, row)
	p.rec.Step("row %s.%s = %s", subject, attr, value)
}

// Count records a number of things.
func (p *P) Count(subject, attr string, n int) {
	p.record(subject, attr, observe.Count, strconv.Itoa(n))
}

// Delta records by how much a statistic grew while the probe ran.
func (p *P) Delta(subject, attr string, n uint32) {
	p.record(subject, attr, observe.Delta, strconv.FormatUint(uint64(n), 10))
}

// Flag records a yes or a no.
func (p *P) Flag(subject, attr string, yes bool) {
	value := "no"
	if yes {
		value = "yes"
	}
	p.record(subject, attr, observe.Flag, value)
}

// Text records something else, already in a canonical form.
func (p *P) Text(subject, attr, value string) {
	p.record(subject, attr, observe.Text, value)
}

// Errno records how a system call ended.
func (p *P) Errno(subject string, err error) {
	p.record(subject, "errno", observe.Errno, ErrnoName(err))
}

// ErrnoName is how a row names the way in which a system call ended.
func ErrnoName(err error) string {
	var errno unix.Errno
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &errno) && unix.ErrnoName(errno) != "":
		return unix.ErrnoName(errno)
	}
	return "not an errno: " + err.Error()
}

// Entry records the entries of a subject: how many there are of each state
// and set of flags.
func (p *P) Entry(subject string, entries []ct.Entry) {
	tally := newTally()
	for _, e := range entries {
		tally.add(e.String())
	}
	p.record(subject, "entry", observe.Entry, tally.String())
}

// Fate records what came out: how many packets of each kind.
func (p *P) Fate(subject string, out []wire.Seen) {
	tally := newTally()
	for _, s := range out {
		tally.add(s.Kind())
	}
	p.record(subject, "fate", observe.Fate, tally.String())
}

// Class records what tracking thought of the packets that passed the class
// meters since the probe or part began: those from the client, and from the
// server where that is behind the far link.
func (p *P) Class(subject string) {
	p.record(subject, "class", observe.Class, classTally(p.Meters()))
}

// Events records the kinds of events in order of arrival, runs of one kind
// folded.
func (p *P) Events(subject string, events []ct.Event) {
	var kinds []string
	for _, e := range events {
		kinds = append(kinds, e.Type)
	}
	p.record(subject, "events", observe.Events, runs(kinds))
}

// Timeout records the seconds that entries were given when the last packets
// refreshed them.
func (p *P) Timeout(subject string) {
	tally := newTally()
	for _, e := range p.justGiven(subject) {
		tally.add(given(e))
	}
	p.record(subject, "timeout", observe.Timeout, tally.String())
}

// Outcome records in one row all that became of a packet, for probes that ask
// the same of many: the class that it had, whether it was lost on its way to the
// other side, the entries there are then and the seconds that they were given:
// "invalid: tcp ESTABLISHED assured 432000 s".
func (p *P) Outcome(subject string, out []wire.Seen) {
	entries := p.justGiven(subject)
	p.record(subject, "outcome", observe.Text, became(classes(p.Meters()), len(out) == 0, entries))
}

func became(class tally, lost bool, entries []ct.Entry) string {
	text := class.Words()
	if lost {
		text += ", lost"
	}
	return text + ": " + lives(entries)
}

// lives are entries with the seconds that they were given.
func lives(entries []ct.Entry) string {
	left := newTally()
	for _, e := range entries {
		left.add(e.String() + " " + given(e) + " s")
	}
	return left.Words()
}

// given is the timeout in seconds that an entry of justGiven had just got.
func given(e ct.Entry) string { return strconv.FormatUint(uint64(e.Seconds)+1, 10) }

// justGiven lists the table so that luck is in no entry's time.
//
// The kernel reports what is left rounded down to a second. Read in the very
// tick of the packet that is the timeout itself; a tick later, and for a whole
// second after, it is one less. So this lets two ticks pass before it reads,
// and gives up if a second is over.
func (p *P) justGiven(subject string) []ct.Entry {
	p.Must(lab.PassTicks(2))
	entries := p.Entries()
	if late := lab.Now() - p.sent; late >= time.Second {
		p.Broken("timeout of %s read %v after the packet, which leaves its value to chance", subject, late)
	}
	return entries
}
