package probe

import (
	"strings"

	"github.com/ctmatrix/ctmatrix/guest/internal/wire"
	"github.com/ctmatrix/ctmatrix/guest/observe"
)

// BothWays sends packets into the near link, waits until they are through, and
// returns what came back out of it and what came out of the far link.
func (p *P) BothWays(pkts ...wire.Packet) (back, forth []wire.Seen) {
	p.sends(pkts)
	back, forth, err := p.Box.BothWays(pkts...)
	p.Must(err)
	p.sent = p.rec.SentAt(p.sent)
	return back, forth
}

// BackBothWays sends packets into the far link, waits until they are through, and
// returns what came back out of it and what came out of the near link.
func (p *P) BackBothWays(pkts ...wire.Packet) (back, over []wire.Seen) {
	p.sends(pkts)
	back, over, err := p.Box.BackBothWays(pkts...)
	p.Must(err)
	p.sent = p.rec.SentAt(p.sent)
	return back, over
}

// OutcomeBothWays is Outcome with what the box answered, if it did: "new, lost,
// answered icmp: none".
func (p *P) OutcomeBothWays(subject string, forth, answers []wire.Seen) {
	entries := p.justGiven(subject)
	text := p.Classes()
	if len(forth) == 0 {
		text += ", lost"
	}
	if len(answers) > 0 {
		kinds := newTally()
		for _, s := range answers {
			kinds.add(s.Kind())
		}
		text += ", answered " + kinds.Words()
	}
	p.record(subject, "outcome", observe.Text, text+": "+lives(entries))
}

// Classes is what tracking thought of the packets that passed the class meters
// since the probe or part began, as in Outcome: "invalid".
func (p *P) Classes() string { return classes(p.Meters()).Words() }

// Logged lists the lines of the kernel's log since the probe or part began that
// contain text, in their order.
func (p *P) Logged(text string) []string {
	p.drainLog()
	var lines []string
	for _, l := range p.lines[p.logFrom:] {
		if strings.Contains(l.Text, text) {
			lines = append(lines, l.Text)
		}
	}
	return lines
}
