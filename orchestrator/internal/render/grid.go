package render

import (
	"fmt"
	"slices"
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
	limits := share(natural, g.words(), p.width-g.indent-gap*(len(natural)-1))
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
func (g *grid) natural() []int { return g.widest(width) }

// words returns the widths below which a column's longest word would be broken.
func (g *grid) words() []int {
	return g.widest(func(line string) int {
		longest := 0
		for word := range strings.FieldsSeq(line) {
			longest = max(longest, width(word))
		}
		return longest
	})
}

// widest returns the most that of says of any line of each column.
func (g *grid) widest(of func(line string) int) []int {
	var out []int
	for _, row := range g.rows {
		for i, c := range row {
			if i == len(out) {
				out = append(out, 0)
			}
			for _, l := range c.lines {
				out[i] = max(out[i], of(observe.Escape(l)))
			}
		}
	}
	return out
}

// share gives each column the width it would like, if there is room, and else
// shares the room: columns that need less than an equal share keep what they
// need, the others split the rest. No column's longest word is broken where there
// is room for those of all.
func share(natural, words []int, room int) []int {
	if sum(words) > room {
		words = make([]int, len(natural))
	}
	out := make([]int, len(natural))
	left := len(natural)
	settle := func(i, n int) {
		out[i] = max(n, 1)
		room -= out[i]
		left--
	}
	// One at a time, since each changes what the others may have: first who
	// needs more than its share for a word, then who is content with less.
	next := func(part int) (column, want int) {
		for i, n := range words {
			if out[i] == 0 && n > part {
				return i, n
			}
		}
		for i, n := range natural {
			if out[i] == 0 && n <= part {
				return i, n
			}
		}
		return -1, 0
	}
	for left > 0 {
		part := max(room/left, 1)
		i, want := next(part)
		if i < 0 {
			i, want = slices.Index(out, 0), part
		}
		settle(i, want)
	}
	// What nobody needed goes to who would like more than its words.
	for i, n := range natural {
		more := min(max(n-out[i], 0), max(room, 0))
		out[i] += more
		room -= more
	}
	return out
}

func sum(ns []int) int {
	total := 0
	for _, n := range ns {
		total += n
	}
	return total
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
