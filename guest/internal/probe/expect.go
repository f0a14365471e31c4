package probe

import (
	"fmt"
	"strings"

	"github.com/ctmatrix/ctmatrix/guest/internal/ct"
	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/observe"
)

// Expectations lists what is expected.
func (p *P) Expectations() []ct.Expectation {
	all, err := p.table.Expectations()
	p.Must(err)
	return all
}

// Expected records what is expected, with the helper that does and the seconds
// that the last packet gave it: "tcp 198.19.0.2:any -> 198.18.0.2:20000, ftp 300
// s". Like Timeout it lets two ticks pass, so that luck is in no time.
func (p *P) Expected(subject string) {
	p.Must(lab.PassTicks(2))
	var texts []string
	for _, e := range p.Expectations() {
		helper := "no helper"
		if e.Helper != "" {
			helper = e.Helper
		}
		texts = append(texts, fmt.Sprintf("%s, %s %d s", e, helper, e.Seconds+1))
	}
	text := "none"
	if len(texts) > 0 {
		text = strings.Join(texts, "; ")
	}
	p.record(subject, "expected", observe.Text, text)
}
