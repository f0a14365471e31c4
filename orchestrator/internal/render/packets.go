package render

import (
	"fmt"
	"io"
	"strings"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/dissect"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/packets"
)

// Conversation is what was captured of a probe on a kernel.
type Conversation struct {
	Label    string // of the kernel
	Question string // of the probe; "" where nobody knows it
	*packets.Capture
}

// PacketsText writes a conversation as it went: each packet that passed a link, with
// what tracking thought of it, and between them what the probe did.
func PacketsText(w io.Writer, c Conversation, o Options) error {
	p := newPrinter(o)
	p.para(0, name, c.Probe+" on "+c.Label)
	if c.Kernel != "" {
		p.para(2, dim, c.Kernel)
	}
	if c.Question != "" {
		p.para(2, plain, c.Question)
	}
	p.para(2, dim, packetsLegend)
	p.blank()
	events := eventsOf(c.Capture)
	if len(events) == 0 {
		p.para(0, plain, "No packet passed a link, and nothing else was done.")
	}
	t := newTalk(p, events)
	for i := 0; i < len(events); i++ {
		if !events[i].step() {
			t.packet(events[i])
			continue
		}
		end := i
		for end+1 < len(events) && events[end+1].step() {
			end++
		}
		t.steps(events[i : end+1])
		i = end
	}
	_, err := w.Write(p.buf.Bytes())
	return err
}

const packetsLegend = "→ into the box, ← out of it; seconds of guest time; what tracking thought: class: entry before → after"

// event is a packet or a step in words.
type event struct {
	at    int64  // nanoseconds since the first
	where string // "near →"; "" of a step
	text  string // the packet, or the step
	mind  string // what tracking thought, and what came out
	shape string // what two conversations are laid alongside by
}

func (e event) step() bool { return e.where == "" }

// same is what two conversations agree in: all but the time.
func (e event) same(other event) bool {
	return e.where == other.where && e.text == other.text && e.mind == other.mind
}

func eventsOf(c *packets.Capture) []event {
	var out []event
	for _, rec := range c.Events {
		e := event{at: packets.At(rec) - packets.At(c.Events[0])}
		if s := rec.Step; s != nil {
			e.text, e.shape = s.Text, s.Text
			if before, _, ok := strings.Cut(s.Text, " = "); ok {
				e.shape = before
			}
		} else {
			e.packet(rec.Packet)
		}
		out = append(out, e)
	}
	return out
}

func (e *event) packet(p *observe.Packet) {
	var l dissect.Line
	if p.Medium == observe.Ethernet {
		l = dissect.Ethernet(p.Data)
	} else {
		l = dissect.IP(p.Data)
	}
	arrow := " ←"
	if p.In {
		arrow = " →"
	}
	e.where = p.Link + arrow
	e.text, e.shape, e.mind = l.Text, e.where+" "+l.Shape, p.Tracking
	// What did come out stands behind the packet.
	if p.Fate != "" && !strings.Contains(p.Fate, "out by ") {
		if e.mind != "" {
			e.mind += "; "
		}
		e.mind += p.Fate
	}
}

// clock is a time of a conversation: "0.004012".
func clock(ns int64) string { return fmt.Sprintf("%d.%06d", ns/1e9, ns%1e9/1e3) }

// talk lays out a conversation: in columns where there is room, else with what
// tracking thought below each packet.
type talk struct {
	p      *printer
	limits []int // of the columns; nil where there is no room for them
	heads  []int // widths of the time and of the link
}

// leastTalk is the width from which a conversation has columns: that of a TCP packet
// without options and of what is mostly thought of it.
const leastTalk = 144

func newTalk(p *printer, events []event) *talk {
	t := &talk{p: p, heads: make([]int, 2)}
	g := grid{}
	for _, e := range events {
		t.heads[0] = max(t.heads[0], width(clock(e.at)))
		t.heads[1] = max(t.heads[1], width(observe.Escape(e.where)))
		if !e.step() {
			g.add(t.row(e)...)
		}
	}
	if p.width >= leastTalk && len(g.rows) > 0 {
		natural, words := g.natural(), g.words()
		for i, n := range t.heads { // these are not to be folded
			natural[i], words[i] = n, n
		}
		t.limits = share(natural, words, p.width-3*width(g.between().text))
	}
	return t
}

func (t *talk) row(e event) []span {
	return []span{{dim, t.clock(e)}, {strong, e.where}, {plain, e.text}, {boundary, e.mind}}
}

// clock is the time of an event, right-aligned.
func (t *talk) clock(e event) string {
	text := clock(e.at)
	return strings.Repeat(" ", max(t.heads[0]-len(text), 0)) + text
}

func (t *talk) packet(e event) {
	if t.limits != nil {
		g := grid{}
		g.add(t.row(e)...)
		g.writeRow(t.p, g.rows[0], t.limits)
		return
	}
	indent := t.heads[0] + 2
	link := fmt.Sprintf("%s%s  ", e.where, strings.Repeat(" ", max(t.heads[1]-width(observe.Escape(e.where)), 0)))
	at := indent + t.heads[1] + 2
	if t.p.width-at < leastColumn*2 { // a link with a long name
		t.p.para(0, strong, t.clock(e)+"  "+link)
		t.p.para(2, plain, e.text)
		t.mind(4, e)
		return
	}
	for i, l := range fold(observe.Escape(e.text), t.p.width-at) {
		head := []span{{dim, t.clock(e) + "  "}, {strong, link}}
		if i > 0 {
			head = []span{{plain, strings.Repeat(" ", at)}}
		}
		t.p.line(append(head, span{plain, l})...)
	}
	t.mind(at+2, e)
}

func (t *talk) mind(indent int, e event) {
	if e.mind != "" {
		t.p.brief(indent, boundary, e.mind)
	}
}

// rowStep begins the step that a row was recorded, said once of several.
const rowStep = "row "

// steps writes what a probe did between two packets, as one list.
func (t *talk) steps(events []event) {
	texts := make([]string, len(events))
	for i, e := range events {
		texts[i] = e.text
		if row, ok := strings.CutPrefix(e.text, rowStep); ok && i > 0 && strings.HasPrefix(events[i-1].text, rowStep) {
			texts[i] = row
		}
	}
	const most = 64
	indent := t.heads[0] + 2
	lines := fold(observe.Escape(strings.Join(texts, "; ")), t.p.width-indent)
	for i, l := range lines {
		if i == most {
			t.p.line(span{dim, strings.Repeat(" ", indent)}, span{dim, fmt.Sprintf("… %d more lines", len(lines)-most)})
			break
		}
		head := span{dim, t.clock(events[0]) + "  "}
		if i > 0 {
			head = span{plain, strings.Repeat(" ", indent)}
		}
		t.p.line(head, span{dim, l})
	}
}
