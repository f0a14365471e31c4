package render

import (
	"bytes"
	"strings"

	"github.com/mattn/go-runewidth"

	"github.com/ctmatrix/ctmatrix/guest/observe"
)

// style is what a piece of text means to the reader. Meaning never rests on
// colour alone: without it the text says the same.
type style int

const (
	plain style = iota
	strong
	dim
	name     // of a probe
	boundary // where a change is
	bad      // what failed
	shade1   // values of a row, each its own
	shade2
	shade3
	shade4
	styles
)

// sgr are the parameters of the terminal's "select graphic rendition". Only
// the eight basic colours are used, which every theme makes readable.
var sgr = [styles]string{plain: "", strong: "1", dim: "2", name: "1;36", boundary: "33", bad: "1;31", shade1: "32", shade2: "35", shade3: "34", shade4: "36"}

// span is a piece of a line.
type span struct {
	style style
	text  string
}

// widths measures text as terminals do that are not set to East Asian rules,
// wherever the program runs.
var widths = &runewidth.Condition{StrictEmojiNeutral: true}

func width(s string) int {
	w := 0
	for _, r := range s {
		w += widths.RuneWidth(r)
	}
	return w
}

// printer collects text. Everything passes through line, which escapes it.
type printer struct {
	buf   bytes.Buffer
	width int
	color bool
}

const (
	defaultWidth = 80
	leastWidth   = 40
)

func newPrinter(o Options) *printer {
	w := o.Width
	if w == 0 {
		w = defaultWidth
	}
	return &printer{width: max(w, leastWidth), color: o.Color}
}

// line writes spans and ends the line, without space at its end.
func (p *printer) line(spans ...span) {
	pending := 0 // spaces not written yet
	for _, s := range spans {
		text := observe.Escape(s.text)
		body := strings.TrimLeft(text, " ")
		pending += len(text) - len(body)
		trimmed := strings.TrimRight(body, " ")
		if trimmed == "" {
			continue
		}
		p.buf.WriteString(strings.Repeat(" ", pending))
		pending = len(body) - len(trimmed)
		p.styled(s.style, trimmed)
	}
	p.buf.WriteByte('\n')
}

func (p *printer) styled(s style, text string) {
	if !p.color || sgr[s] == "" {
		p.buf.WriteString(text)
		return
	}
	p.buf.WriteString("\x1b[" + sgr[s] + "m" + text + "\x1b[0m")
}

// blank writes an empty line, unless nothing stands above it.
func (p *printer) blank() {
	if p.buf.Len() > 0 {
		p.buf.WriteByte('\n')
	}
}

// brief writes text folded and, where it is long, cut.
func (p *printer) brief(indent int, s style, text string) {
	for _, l := range (cell{s, []string{text}}).folded(p.width - indent) {
		p.line(span{plain, strings.Repeat(" ", indent)}, span{s, l})
	}
}

// para writes text folded to the width, behind an indent.
func (p *printer) para(indent int, s style, text string) {
	for _, l := range fold(observe.Escape(text), p.width-indent) {
		p.line(span{plain, strings.Repeat(" ", indent)}, span{s, l})
	}
}
