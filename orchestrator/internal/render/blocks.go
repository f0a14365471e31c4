package render

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/ctmatrix/ctmatrix/guest/observe"
)

// item is one fact that differs, in words: a line of a block.
type item struct {
	probe  string
	label  string   // of the line: a row without its probe
	values []string // parallel to heads
	track  *track   // in place of values, where there are too many heads
	look   look
}

// track is a row's values along the history: a legend, and for each series from
// where to where it has which.
type track struct {
	legend   [][]span
	segments [][]span
}

// look is what items have in common that stand in one group.
type look struct {
	where []string // the boundaries, or the kernels
	heads []string // of the columns
	note  string   // below the group
	rank  int      // groups of lower rank come first
}

// block is what differs in one probe, wherever the probe asks its question:
// "table-full/syn" and "table-full/syn@child" are one block.
type block struct {
	base   string // the probe's name without its place
	groups []group
}

// group is items that look alike and stand in the same places.
type group struct {
	look
	places []string // "" or "@child", in the order of names
	items  []item
}

// base splits the place off a probe's name, or a row's.
func base(probe string) (name, place string) {
	if i := strings.IndexByte(probe, '@'); i >= 0 {
		return probe[:i], probe[i:]
	}
	return probe, ""
}

// blocks folds what is the same in several places of a probe into one.
func blocks(items []item) []block {
	places := map[string][]string{} // of a folded item
	var folded []item
	key := func(it item) string {
		name, _ := base(it.probe)
		l := it.look
		tr := track{}
		if it.track != nil {
			tr = *it.track
		}
		return fmt.Sprintf("%q %q %q %v %q %q %q %d", name, it.label, it.values, tr, l.where, l.heads, l.note, l.rank)
	}
	for _, it := range items {
		_, place := base(it.probe)
		k := key(it)
		if places[k] == nil {
			folded = append(folded, it)
		}
		places[k] = append(places[k], place)
	}
	var out []block
	for _, it := range folded {
		name, _ := base(it.probe)
		at := slices.IndexFunc(out, func(b block) bool { return b.base == name })
		if at < 0 {
			at = len(out)
			out = append(out, block{base: name})
		}
		out[at].add(it, places[key(it)])
	}
	slices.SortFunc(out, func(a, b block) int { return cmp.Compare(a.base, b.base) })
	for _, b := range out {
		slices.SortStableFunc(b.groups, func(x, y group) int { return cmp.Compare(x.rank, y.rank) })
	}
	return out
}

func (b *block) add(it item, places []string) {
	for i := range b.groups {
		g := &b.groups[i]
		same := slices.Equal(g.where, it.look.where) && g.note == it.look.note && g.rank == it.look.rank
		if same && slices.Equal(g.heads, it.look.heads) && slices.Equal(g.places, places) {
			g.items = append(g.items, it)
			return
		}
	}
	b.groups = append(b.groups, group{look: it.look, places: places, items: []item{it}})
}

// page is what blocks are written on.
type page struct {
	p      *printer
	heads  []observe.Head
	places map[string][]string // of each probe, by its name without a place
}

func newPage(o Options, heads []observe.Head, probes []string) page {
	pg := page{p: newPrinter(o), heads: heads, places: map[string][]string{}}
	for _, probe := range probes {
		name, place := base(probe)
		pg.places[name] = append(pg.places[name], place)
	}
	return pg
}

func (pg *page) blocks(items []item) {
	for _, b := range blocks(items) {
		pg.block(b)
	}
}

func (pg *page) block(b block) {
	tagged := pg.title(b)
	for i, g := range b.groups {
		if i > 0 || tagged {
			pg.p.blank()
		}
		if tagged {
			where := cmp.Or(g.places[0], initial)
			pg.p.line(span{dim, "  in " + where + pg.whereabouts(b.base, g.places)})
		}
		pg.group(g)
	}
}

// initial is where a probe without a place runs.
const initial = "the initial namespace"

// tagged reports whether the groups of a block must say for themselves where they
// stand.
func (b block) tagged() bool {
	return slices.ContainsFunc(b.groups, func(g group) bool { return !slices.Equal(g.places, b.groups[0].places) })
}

// title writes a block's first lines and returns whether it is tagged.
func (pg *page) title(b block) (tagged bool) {
	first := b.groups[0].places
	tagged = b.tagged()
	pg.p.blank()
	if tagged {
		pg.p.line(span{name, b.base})
	} else {
		pg.p.line(span{name, b.base + first[0]}, span{dim, pg.whereabouts(b.base, first)})
	}
	if q := pg.question(b.base, first[0]); q != "" {
		pg.p.para(2, dim, q)
	}
	return tagged
}

// whereabouts says in which places of a probe a change is, beside the first,
// and in which it is not.
func (pg *page) whereabouts(base string, places []string) string {
	var also, not []string
	for _, p := range pg.places[base] {
		switch {
		case p == places[0]:
		case slices.Contains(places, p):
			also = append(also, cmp.Or(p, initial))
		default:
			not = append(not, cmp.Or(p, initial))
		}
	}
	text := ""
	if len(also) > 0 {
		text += "  also " + strings.Join(also, ", ")
	}
	if len(not) > 0 {
		text += "  not " + strings.Join(not, ", ")
	}
	return text
}

// question finds a probe's, under its own name or without the place.
func (pg *page) question(base, place string) string {
	for _, want := range []string{base + place, base} {
		for _, h := range pg.heads {
			if h.Name == want {
				return h.Question
			}
		}
	}
	return ""
}

// group writes a line for each item under the heads of its columns.
func (pg *page) group(g group) {
	gr := grid{indent: 2, bars: true}
	heads := []cell{{boundary, g.where}}
	for _, h := range g.heads {
		heads = append(heads, cell{strong, []string{h}})
	}
	gr.rows = append(gr.rows, heads)
	for _, it := range g.items {
		row := []span{{plain, it.label}}
		for _, v := range it.values {
			row = append(row, span{plain, v})
		}
		gr.add(row...)
	}
	switch {
	case g.items[0].track != nil:
		pg.tracks(g)
	case gr.fits(pg.p):
		gr.write(pg.p)
	default:
		pg.tall(g)
	}
	if g.note != "" {
		pg.p.para(2, dim, g.note)
	}
}

// tracks writes a group along the history of kernels.
func (pg *page) tracks(g group) {
	pg.p.para(2, boundary, strings.Join(g.where, "; "))
	for _, it := range g.items {
		pg.p.track(2, span{plain, it.label}, it.track)
	}
}

// tall writes a group of too many columns for one line: a line for each.
func (pg *page) tall(g group) {
	pg.p.para(2, boundary, strings.Join(g.where, ", "))
	for _, it := range g.items {
		pg.p.para(2, plain, it.label)
		gr := grid{indent: 4, bars: true}
		for i, v := range it.values {
			gr.add(span{strong, g.heads[i]}, span{plain, v})
		}
		gr.write(pg.p)
	}
}
