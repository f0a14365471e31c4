package render

import (
	"fmt"
	"io"
	"strings"

	"github.com/ctmatrix/ctmatrix/guest/observe"
)

// PacketsDiff lays two conversations alongside and writes where they part: what
// both have in common once, what differs side by side, or one above the other
// where there is no room for that. Times are not compared. It reports whether
// anything differs.
func PacketsDiff(w io.Writer, a, b Conversation, o Options) (differs bool, err error) {
	d := &parting{p: newPrinter(o), labels: [2]string{a.Label, b.Label}}
	if a.Label == b.Label {
		d.labels = [2]string{a.Label + " (before)", b.Label + " (after)"}
	}
	d.p.para(0, name, a.Probe+" on "+d.labels[0]+" and "+d.labels[1])
	if a.Question != "" {
		d.p.para(2, plain, a.Question)
	}
	d.p.para(2, dim, packetsLegend)
	d.p.blank()
	d.pairs = align(eventsOf(a.Capture), eventsOf(b.Capture))
	d.write()
	_, err = w.Write(d.p.buf.Bytes())
	return d.count > 0, err
}

// pair is an event of one conversation or of both.
type pair struct{ a, b *event }

func (p pair) same() bool { return p.a != nil && p.b != nil && p.a.same(*p.b) }

// mostAligned bounds the cells of the table by which conversations are aligned.
const mostAligned = 1 << 24

// align lays two conversations alongside by the longest sequence of shapes that
// they share. What begins and ends alike is taken off first; where what is left is
// too long, it is laid alongside in its order.
func align(a, b []event) []pair {
	var head, tail []pair
	for len(a) > 0 && len(b) > 0 && a[0].shape == b[0].shape {
		head, a, b = append(head, pair{&a[0], &b[0]}), a[1:], b[1:]
	}
	for len(a) > 0 && len(b) > 0 && a[len(a)-1].shape == b[len(b)-1].shape {
		tail = append(tail, pair{&a[len(a)-1], &b[len(b)-1]})
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	out := head
	if (len(a)+1)*(len(b)+1) > mostAligned {
		for i := range max(len(a), len(b)) {
			var p pair
			if i < len(a) {
				p.a = &a[i]
			}
			if i < len(b) {
				p.b = &b[i]
			}
			out = append(out, p)
		}
	} else {
		out = append(out, common(a, b)...)
	}
	for i := len(tail) - 1; i >= 0; i-- {
		out = append(out, tail[i])
	}
	return out
}

// common is align by the table of the longest common sequences.
func common(a, b []event) []pair {
	long := make([][]int32, len(a)+1)
	for i := range long {
		long[i] = make([]int32, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i].shape == b[j].shape {
				long[i][j] = long[i+1][j+1] + 1
			} else {
				long[i][j] = max(long[i+1][j], long[i][j+1])
			}
		}
	}
	var out []pair
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		switch {
		case i < len(a) && j < len(b) && a[i].shape == b[j].shape:
			out = append(out, pair{&a[i], &b[j]})
			i, j = i+1, j+1
		case j == len(b) || i < len(a) && long[i+1][j] >= long[i][j+1]:
			out = append(out, pair{a: &a[i]})
			i++
		default:
			out = append(out, pair{b: &b[j]})
			j++
		}
	}
	return out
}

// parting is one PacketsDiff being written.
type parting struct {
	p      *printer
	labels [2]string
	pairs  []pair
	count  int   // of pairs that differ
	first  int64 // when the first does
}

func (d *parting) write() {
	var shared []event
	for _, pr := range d.pairs {
		if pr.same() {
			shared = append(shared, *pr.a)
		}
	}
	t := newTalk(d.p, shared)
	for i := 0; i < len(d.pairs); i++ {
		pr := d.pairs[i]
		if !pr.same() {
			d.differ(pr)
			continue
		}
		if !pr.a.step() {
			t.packet(*pr.a)
			continue
		}
		steps := []event{*pr.a}
		for i+1 < len(d.pairs) && d.pairs[i+1].same() && d.pairs[i+1].a.step() {
			i++
			steps = append(steps, *d.pairs[i].a)
		}
		t.steps(steps)
	}
	d.verdict()
}

func (d *parting) verdict() {
	packets, steps := 0, 0
	for _, pr := range d.pairs {
		if e := pr.either(); e.step() {
			steps++
		} else {
			packets++
		}
	}
	of := fmt.Sprintf("%s and %s", count(packets, "packet"), count(steps, "step"))
	d.p.blank()
	if d.count == 0 {
		d.p.para(0, strong, "The conversations are the same: "+of+".")
		return
	}
	d.p.para(0, strong, fmt.Sprintf("%d of %s differ, the first after %s s.", d.count, of, clock(d.first)))
}

func (pr pair) either() *event {
	if pr.a != nil {
		return pr.a
	}
	return pr.b
}

// marks of what differs. The first has a line of its own before it.
const (
	bothMark  = "≠"
	onlyAMark = "<"
	onlyBMark = ">"
)

func (d *parting) differ(pr pair) {
	if d.count++; d.count == 1 {
		d.first = pr.either().at
		d.p.line(span{bad, "── here they part " + strings.Repeat("─", max(d.p.width-18, 0))})
		if d.wide() {
			d.side("", []string{d.labels[0]}, []string{d.labels[1]}, strong)
		}
	}
	mark := bothMark
	switch {
	case pr.b == nil:
		mark = onlyAMark
	case pr.a == nil:
		mark = onlyBMark
	}
	if d.wide() {
		d.side(mark, spoken(pr.a), spoken(pr.b), boundary)
		return
	}
	for i, e := range []*event{pr.a, pr.b} {
		for j, l := range spoken(e) {
			head := span{bad, mark + " "}
			if j == 0 {
				l = d.labels[i] + ": " + l
			}
			for k, part := range fold(observe.Escape(l), d.p.width-4) {
				if j+k > 0 {
					head = span{plain, "    "}
				}
				d.p.line(head, span{boundary, part})
			}
		}
	}
}

// wide says whether there is room for two columns.
func (d *parting) wide() bool { return d.p.width >= leastSides }

// leastSides is the width from which there is room for two columns.
const leastSides = 100

// side writes two lists of lines side by side, behind a mark.
func (d *parting) side(mark string, a, b []string, s style) {
	half := (d.p.width - 2 - 3) / 2
	g := grid{bars: true}
	g.rows = [][]cell{{{s, a}, {s, b}}}
	for n, row := 0, g.folded(half); n < len(row); n++ {
		lead := "  "
		if n == 0 && mark != "" {
			lead = mark + " "
		}
		left := row[n][0]
		d.p.line(span{bad, lead}, span{s, left}, span{plain, strings.Repeat(" ", max(half-width(left), 0))}, g.between(), span{s, row[n][1]})
	}
}

// folded are the lines of a grid of one row with two cells, each of a width.
func (g *grid) folded(limit int) [][2]string {
	a, b := g.rows[0][0].folded(limit), g.rows[0][1].folded(limit)
	out := make([][2]string, max(len(a), len(b)))
	for i := range out {
		if i < len(a) {
			out[i][0] = a[i]
		}
		if i < len(b) {
			out[i][1] = b[i]
		}
	}
	return out
}

// spoken is an event in words, of which there may be none.
func spoken(e *event) []string {
	switch {
	case e == nil:
		return nil
	case e.step():
		return []string{e.text}
	case e.mind == "":
		return []string{e.where + " " + e.text}
	}
	return []string{e.where + " " + e.text, "  " + e.mind}
}
