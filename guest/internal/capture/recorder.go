// Package capture keeps what passes the links of a box while a probe runs, with
// what tracking thought of it and what the probe did in between.
//
// Capturing may change no row. It sends nothing, asks the kernel only what changes
// nothing, and takes packets from a link in the order in which the probe would
// have. What it does take is guest time, up to a tick of the kernel's timer a packet.
package capture

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/ctmatrix/ctmatrix/guest/internal/ct"
	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/internal/wire"
	"github.com/ctmatrix/ctmatrix/guest/observe"
)

// Recorder records one probe. Its methods do nothing on a nil Recorder, which is
// that of a run that does not capture. It is used by one goroutine.
type Recorder struct {
	events []observe.Record
	bytes  int // that events take at least
	left   leftOut
	names  map[string]bool // of links
	boxes  []*watch        // the current one is the last
	sent   time.Duration
}

// leftOut is what there was no room for.
type leftOut struct{ packets, bytes, steps int }

// Step records what the probe did.
func (r *Recorder) Step(format string, args ...any) {
	if r == nil {
		return
	}
	text := observe.Bounded(fmt.Sprintf(format, args...))
	r.keep(observe.Record{Step: &observe.Step{AtNS: lab.Now().Nanoseconds(), Text: text}}, len(text))
}

// SentAt is when the last packet was sent after a moment, or that moment: asking
// about the packets of a batch takes time between them.
func (r *Recorder) SentAt(began time.Duration) time.Duration {
	if r == nil {
		return began
	}
	return max(began, r.sent)
}

// Watch records what passes the links of a box until the function that it returns
// is called, in the calling thread's namespace. Where ask is set, the table is
// asked about them.
func (r *Recorder) Watch(box *lab.Box, ask bool) (leave func(), err error) {
	if r == nil {
		return func() {}, nil
	}
	var table *ct.Finder
	if ask {
		if table, err = ct.OpenFinder(); err != nil {
			return nil, err
		}
	}
	w := &watch{rec: r, box: box, table: table, names: map[*lab.Link]string{}, told: map[uint32]told{}, parts: map[wire.Part]wire.Tuple{}}
	for _, l := range box.Links() {
		w.names[l] = r.name(l.Name)
	}
	r.boxes = append(r.boxes, w)
	box.Watch(w)
	return func() {
		box.Watch(nil)
		r.boxes = r.boxes[:len(r.boxes)-1]
		if table != nil {
			_ = table.Close() // which was only read
		}
	}, nil
}

// Unwatched does something of which nothing is recorded.
func (r *Recorder) Unwatched(do func()) {
	if r == nil || len(r.boxes) == 0 {
		do()
		return
	}
	w := r.boxes[len(r.boxes)-1]
	w.box.Watch(nil)
	do()
	w.box.Watch(w)
}

// name makes a link's name one that no other of the probe has: later boxes, which
// are in child namespaces, call theirs the same.
func (r *Recorder) name(link string) string {
	if r.names == nil {
		r.names = map[string]bool{}
	}
	name := link
	for n := 1; r.names[name]; n++ {
		name = fmt.Sprintf("%s@child-%d", link, n)
	}
	r.names[name] = true
	return name
}

// leastRecord is less than a record takes in the stream without what it says.
const leastRecord = 48

// keep keeps a record that says so many bytes of text, if there is room.
func (r *Recorder) keep(rec observe.Record, text int) bool {
	size := leastRecord + text
	if p := rec.Packet; p != nil {
		size += base64.StdEncoding.EncodedLen(len(p.Data))
	}
	if r.full() || r.bytes+size > observe.MaxCapture {
		r.leave(rec)
		return false
	}
	r.bytes += size
	r.events = append(r.events, rec)
	return true
}

// full reports whether there is no room for anything more. What is left out is not
// asked about either, so that a flood takes no longer than it must.
func (r *Recorder) full() bool { return r.left != (leftOut{}) }

func (r *Recorder) leave(rec observe.Record) {
	if rec.Step != nil {
		r.left.steps++
		return
	}
	r.left.packets++
	r.left.bytes += len(rec.Packet.Data)
}

// roomToTell is left in the stream for the step that says what was left out.
const roomToTell = 1 << 10

// Records are the packets and steps in their order, as many as a stream takes of
// one probe. What was left out is told by the last.
func (r *Recorder) Records() []observe.Record {
	if r == nil {
		return nil
	}
	size := 0
	for i, rec := range r.events {
		line, err := json.Marshal(rec)
		if err != nil {
			panic(err) // texts and numbers can be encoded
		}
		if size += len(line) + 1; size > observe.MaxCapture-roomToTell {
			for _, more := range r.events[i:] {
				r.leave(more)
			}
			r.events = r.events[:i]
			break
		}
	}
	out := slices.Clip(r.events)
	if l := r.left; r.full() {
		var at int64
		if n := len(out); n > 0 {
			at = atOf(out[n-1])
		}
		text := fmt.Sprintf("left out: %d packets of %d bytes and %d steps, since a probe's capture takes at most %d bytes",
			l.packets, l.bytes, l.steps, observe.MaxCapture)
		out = append(out, observe.Record{Step: &observe.Step{AtNS: at, Text: text}})
	}
	return out
}

func atOf(rec observe.Record) int64 {
	if rec.Step != nil {
		return rec.Step.AtNS
	}
	return rec.Packet.AtNS
}
