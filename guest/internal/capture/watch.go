package capture

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ctmatrix/ctmatrix/guest/internal/ct"
	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/internal/wire"
	"github.com/ctmatrix/ctmatrix/guest/observe"
)

// watch is the recording of one box. It is a lab.Watcher.
type watch struct {
	rec   *Recorder
	box   *lab.Box
	table *ct.Finder // nil where there is none to ask
	names map[*lab.Link]string
	told  map[uint32]told          // what was last said of an entry, by its id
	parts map[wire.Part]wire.Tuple // of packets whose first fragment was seen
	going *going                   // the packet that is on its way in
}

// going is a packet between Sending and Sent.
type going struct {
	packet *observe.Packet
	kept   bool
	tuple  wire.Tuple
	asked  bool   // whether the table can be asked about it
	entry  string // before
	meters map[string]uint64
	out    map[string]int // packets that came out because of it, by link
	links  []string       // the keys of out, as they came
}

func (w *watch) Sending(l *lab.Link, frame, data []byte) {
	_ = w.settle() // what came out before; what cannot be read, the next fence tells of
	g := &going{packet: &observe.Packet{Link: w.names[l], Medium: medium(l), In: true, Data: slices.Clone(frame)}, out: map[string]int{}}
	if w.rec.full() {
		w.going = g
		w.rec.keep(observe.Record{Packet: g.packet}, 0)
		return
	}
	g.tuple, g.asked = w.tupleOf(data)
	g.asked = g.asked && w.table != nil
	if g.asked {
		before, err := w.find(g.tuple)
		g.entry, g.asked = before.String(), err == nil
	}
	if meters, err := w.box.Rules.Meters(); err == nil {
		g.meters = meters
	}
	lab.FreshTick() // so that what is left of an entry's time is read in the tick that gives it
	g.packet.AtNS = lab.Now().Nanoseconds()
	w.going = g
	g.kept = w.rec.keep(observe.Record{Packet: g.packet}, 0)
	w.rec.sent = lab.Now()
}

func (w *watch) Sent(l *lab.Link, err error) {
	g := w.going
	if g == nil {
		return
	}
	if err == nil && g.kept {
		g.packet.Tracking = w.tracking(g, w.names[l])
	}
	if err == nil {
		err = w.settle()
	}
	w.going = nil
	g.packet.Fate = g.fate()
	if err != nil {
		g.packet.Fate = observe.Bounded(err.Error())
	}
	if g.kept {
		w.rec.bytes += len(g.packet.Tracking) + len(g.packet.Fate)
	}
}

// settle takes what has come out by any link.
func (w *watch) settle() error {
	for _, l := range w.box.Links() {
		if err := l.Drain(); err != nil {
			return fmt.Errorf("read %s: %w", l.Name, err)
		}
	}
	return nil
}

func (w *watch) Out(l *lab.Link, frame []byte) {
	name := w.names[l]
	p := &observe.Packet{AtNS: lab.Now().Nanoseconds(), Link: name, Medium: medium(l), Data: slices.Clone(frame)}
	if g := w.going; g != nil {
		if g.out[name] == 0 {
			g.links = append(g.links, name)
		}
		g.out[name]++
	} else if t, ok := w.tupleOf(l.Payload(frame)); ok && w.table != nil && !w.rec.full() {
		// The box speaks by itself: whoever answers has the tuple's inverse.
		if es, err := w.find(t.Inverse()); err == nil && len(es) > 0 {
			p.Tracking = w.timed(es, lab.Now())
		}
	}
	w.rec.keep(observe.Record{Packet: p}, len(p.Tracking))
}

// tracking says what tracking thought of a packet that has gone in.
func (w *watch) tracking(g *going, link string) string {
	var es entries
	if g.asked {
		var err error
		es, err = w.find(g.tuple)
		g.asked = err == nil
	}
	now, err := w.box.Rules.Meters()
	if err != nil {
		now = nil
	}
	class := classOf(g.meters, now, link == lab.NearName)
	if !g.asked {
		return class
	}
	after := w.timed(es, lab.Now())
	if es.String() == g.entry {
		return class + ": " + after
	}
	return class + ": " + g.entry + " → " + after
}

// entries are what a tuple leads to, one in each zone at most.
type entries []entry

type entry struct {
	*ct.Found
	zone uint16
}

// find asks in each zone that the box has.
func (w *watch) find(t wire.Tuple) (entries, error) {
	var es entries
	for _, zone := range w.box.Rules.Zones() {
		e, err := w.table.Find(t, zone)
		if err != nil {
			return nil, err
		}
		if e != nil {
			es = append(es, entry{e, zone})
		}
	}
	return es, nil
}

// String is "none", or the entries without their times, for comparing.
func (es entries) String() string {
	return es.join(func(e entry) string { return e.Text })
}

// timed are the entries with the seconds that they have left.
func (w *watch) timed(es entries, now time.Duration) string {
	return es.join(func(e entry) string { return w.entry(e.Found, now) })
}

func (es entries) join(say func(entry) string) string {
	if len(es) == 0 {
		return "none"
	}
	var parts []string
	for _, e := range es {
		text := say(e)
		if e.zone != 0 {
			text += fmt.Sprintf(" in zone %d", e.zone)
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, " and ")
}

// The words for a packet that no class meter counted.
const (
	noClass   = "class not asked"
	held      = "not seen before tracking"
	vanished  = "not seen after tracking"
	uncounted = "no class"
)

// classOf is the class that the meters of the rules counted between two readings,
// either of which is nil where it failed. The meters before and after tracking count
// what comes in by the near link.
func classOf(before, now map[string]uint64, near bool) string {
	if now == nil || before == nil {
		return noClass
	}
	moved := func(meter string) bool { return now[meter] > before[meter] }
	var classes []string
	metered := false
	for _, c := range lab.ClassNames() {
		if _, there := now["class."+c]; there {
			metered = true
			if moved("class." + c) {
				classes = append(classes, c)
			}
		}
	}
	_, counted := now["raw"]
	switch {
	case len(classes) > 0:
		return strings.Join(classes, "+")
	case counted && near && !moved("raw"):
		return held
	case counted && near && !moved("mangle"):
		return vanished
	case metered:
		return uncounted
	}
	return noClass
}

// told is what was said of an entry's time, and when.
type told struct {
	seconds uint32
	at      time.Duration
}

// entry is an entry with the seconds that it has left. The kernel rounds these
// down, so that a tick after it was given T it says T-1: what is one less than it
// was within the last second is the same.
func (w *watch) entry(e *ct.Found, now time.Duration) string {
	last := w.told[e.ID]
	seconds := e.Seconds
	if last.seconds == seconds+1 && now-last.at < time.Second {
		seconds = last.seconds
	} else {
		w.told[e.ID] = told{seconds, now}
	}
	return fmt.Sprintf("%s %d s", e.Text, seconds)
}

// tupleOf is the tuple of a packet; that of a fragment is the first fragment's.
func (w *watch) tupleOf(packet []byte) (wire.Tuple, bool) {
	t, part, ok := wire.TupleOf(packet)
	if part == nil {
		return t, ok
	}
	if ok {
		w.parts[*part] = t
		return t, true
	}
	t, ok = w.parts[*part]
	return t, ok
}

// fate says what came out because of a packet.
func (g *going) fate() string {
	if len(g.links) == 0 {
		return "nothing came out"
	}
	var parts []string
	for _, name := range g.links {
		part := "out by " + name
		if n := g.out[name]; n > 1 {
			part = fmt.Sprintf("%d out by %s", n, name)
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, ", ")
}

func medium(l *lab.Link) observe.Medium {
	if l.IsEthernet() {
		return observe.Ethernet
	}
	return observe.IP
}
