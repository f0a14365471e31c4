package render

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/ctmatrix/ctmatrix/guest/observe"
)

// grid is an aligned table. A cell that is too wide is folded inside its
// column.
type grid struct {
	indent int
	bars   bool // whether a bar stands between columns, to show a step
	rows   [][]cell
}

// cell is one or more lines of text.
type cell struct {
	style style
	lines []string
}

const (
	leastColumn = 10 // a column is folded no narrower than this
	mostLines   = 12 // of a cell; what is longer is cut
)

// folded returns the cell's lines, escaped, folded and cut.
func (c cell) folded(limit int) []string {
	var out []string
	for _, l := range c.lines {
		out = append(out, fold(observe.Escape(l), limit)...)
	}
	if len(out) <= mostLines {
		return out
	}
	more := 0
	for _, l := range out[mostLines-1:] {
		more += utf8.RuneCountInString(l)
	}
	return append(out[:mostLines-1], fold(fmt.Sprintf("… %d more characters", more), limit)[0])
}

// between is what stands between columns.
func (g *grid) between() span {
	if g.bars {
		return span{dim, " │ "}
	}
	return span{plain, "  "}
}

func (g *grid) add(spans ...span) {
	var row []cell
	for _, s := range spans {
		row = append(row, cell{s.style, []string{s.text}})
	}
	g.rows = append(g.rows, row)
}

// fits reports whether the grid can be written without a column narrower than
// a reader can follow.
func (g *grid) fits(p *printer) bool {
	natural := g.natural()
	gap := width(g.between().text)
	need := g.indent - gap
	for _, n := range natural {
		need += gap + min(n, leastColumn)
	}
	return need <= p.width
}

func (g *grid) write(p *printer) {
	natural := g.natural()
	gap := width(g.between().text)
	limits := share(natural, p.width-g.indent-gap*(len(natural)-1))
	for _, row := range g.rows {
		g.writeRow(p, row, limits)
	}
}

func (g *grid) writeRow(p *printer, row []cell, limits []int) {
	folded := make([][]string, len(row))
	lines := 1
	for i, c := range row {
		folded[i] = c.folded(limits[i])
		lines = max(lines, len(folded[i]))
	}
	for n := range lines {
		spans := []span{{plain, strings.Repeat(" ", g.indent)}}
		for i, c := range row {
			text := ""
			if n < len(folded[i]) {
				text = folded[i][n]
			}
			if i > 0 {
				spans = append(spans, g.between())
			}
			spans = append(spans, span{c.style, text},
				span{plain, strings.Repeat(" ", max(limits[i]-width(text), 0))})
		}
		p.line(spans...)
	}
}

// natural returns the widths that the columns would like.
func (g *grid) natural() []int {
	var out []int
	for _, row := range g.rows {
		for i, c := range row {
			if i == len(out) {
				out = append(out, 0)
			}
			for _, l := range c.lines {
				out[i] = max(out[i], width(observe.Escape(l)))
			}
		}
	}
	return out
}

// share gives each column the width it would like, if there is room, and else
// shares the room: columns that need less than an equal share keep what they
// need, the others split the rest.
func share(natural []int, room int) []int {
	out := make([]int, len(natural))
	left := len(natural)
	for settled := true; settled && left > 0; {
		settled = false
		part := max(room/left, 1)
		for i, n := range natural {
			if out[i] == 0 && n <= part {
				out[i] = max(n, 1)
				room -= n
				left--
				settled = true
			}
		}
	}
	for i := range out {
		if out[i] == 0 {
			out[i] = max(room/left, 1)
			room -= out[i]
			left--
		}
	}
	return out
}

// fold breaks text into lines of at most limit columns, at spaces where it can.
func fold(text string, limit int) []string {
	limit = max(limit, 2) // the widest character
	var out []string
	start, space := 0, 0 // of the line, and behind its last space
	w := 0
	for i, r := range text {
		rw := widths.RuneWidth(r)
		if w+rw > limit && r != ' ' {
			cut := i
			if space > start && strings.TrimLeft(text[start:space], " ") != "" {
				cut = space
			}
			out = append(out, strings.TrimRight(text[start:cut], " "))
			start = cut
			w = width(text[start:i])
		}
		w += rw
		if r == ' ' {
			space = i + 1
		}
	}
	return append(out, strings.TrimRight(text[start:], " "))
}
