package render

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/table"
)

// htmlKernel is a column of the table.
type htmlKernel struct {
	Label, Version, Release, Ref string
	Digest                       string // of its files, short
	Guest                        string // what it ran on
	Outcome                      string
	OK, Verified                 bool
	Remarks                      []string
	Console                      []string
}

func (v *htmlView) kernelList() []htmlKernel {
	var out []htmlKernel
	for _, c := range v.t.Columns {
		k := htmlKernel{
			Label: c.Label, Version: c.Kernel.Version, Release: c.Kernel.Release, Ref: c.Kernel.Ref,
			Digest: c.Kernel.Digest[:min(len(c.Kernel.Digest), digestShown)], Guest: guestText(c),
			Outcome: string(c.Outcome), OK: c.Outcome == results.CellOK, Verified: c.Kernel.Verified,
			Console: escaped(c.Console),
		}
		for _, s := range []*string{&k.Label, &k.Version, &k.Release, &k.Ref, &k.Digest, &k.Guest} {
			*s = observe.Escape(*s)
		}
		for _, text := range []string{c.Reason, remarks(c)} {
			if text != "" {
				k.Remarks = append(k.Remarks, observe.Escape(text))
			}
		}
		out = append(out, k)
	}
	return out
}

// digestShown is how much of a digest tells files apart for a reader.
const digestShown = 12

// guestText says what a column's cell ran on, and what of its conditions could
// be chosen.
func guestText(c table.Column) string {
	g := c.Guest
	if g.QEMU == "" {
		return ""
	}
	parts := []string{
		"QEMU " + g.QEMU, g.Machine, g.Accel, g.Clock + " clock", count(g.CPUs, "CPU"), g.Memory,
		"agent " + g.Agent[:min(len(g.Agent), digestShown)], fmt.Sprintf("seed %d", g.Seed),
	}
	if c.Variant != "" && c.Variant != "default" {
		parts = append(parts, "variant "+c.Variant)
	}
	if g.Restored {
		parts = append(parts, "restored")
	}
	if g.Fresh {
		parts = append(parts, "a guest for each probe")
	}
	if g.Shuffle != nil {
		parts = append(parts, fmt.Sprintf("shuffled by %d", *g.Shuffle))
	}
	return strings.Join(parts, ", ")
}

// sameGuest is what all kernels ran on, or "".
func sameGuest(kernels []htmlKernel) string {
	if len(kernels) == 0 || slices.ContainsFunc(kernels, func(k htmlKernel) bool { return k.Guest != kernels[0].Guest }) {
		return ""
	}
	return kernels[0].Guest
}

func escaped(lines []string) []string {
	var out []string
	for _, l := range lines {
		out = append(out, observe.Escape(l))
	}
	return out
}

// htmlWhere is between which kernels something changes.
type htmlWhere struct {
	Name          string
	Changes, Open int
}

// where lists the boundaries over which something changes, by the newer kernel.
func (v *htmlView) where() []htmlWhere {
	var out []htmlWhere
	for _, b := range v.boundaries() {
		w := htmlWhere{Name: observe.Escape(v.boundaryName(b))}
		for _, c := range v.changes {
			for _, o := range c.Boundaries {
				if !sameEdge(o, b) {
					continue
				}
				w.Changes++
				if len(o.Notes) == 0 {
					w.Open++
				}
			}
		}
		out = append(out, w)
	}
	return out
}

// boundaries are those of any change, by the newer kernel, each once. What a
// backport may explain and which kernels are passed over is of one row, and left
// out.
func (v *htmlView) boundaries() []table.Boundary {
	var out []table.Boundary
	for _, c := range v.changes {
		for _, b := range c.Boundaries {
			if !slices.ContainsFunc(out, func(o table.Boundary) bool { return sameEdge(o, b) }) {
				out = append(out, table.Boundary{Edge: b.Edge, Place: b.Place})
			}
		}
	}
	slices.SortFunc(out, func(a, b table.Boundary) int { return cmp.Or(cmp.Compare(a.To, b.To), cmp.Compare(a.From, b.From)) })
	return out
}

func sameEdge(a, b table.Boundary) bool { return a.Edge == b.Edge }

// htmlLink leads to a row or a probe.
type htmlLink struct{ Href, Text string }

func rowLink(row, text string) htmlLink { return htmlLink{"#row=" + row, observe.Escape(text)} }

// nameLink leads to what has the name: a row, or else a probe.
func nameLink(name string) htmlLink {
	if strings.Count(name, "/") < 2 {
		return htmlLink{"#probe=" + name, observe.Escape(name)}
	}
	return rowLink(name, name)
}

// htmlBlock is what differs in one probe, wherever it asks its question.
type htmlBlock struct {
	Probe, Question string
	Groups          []htmlGroup
}

// htmlGroup is items that look alike.
type htmlGroup struct {
	Probes []htmlLink // in which they do
	Where  string
	Heads  []string
	Items  []htmlItem
	Note   string
}

// htmlItem is a row with its values: one for each head, or along the history.
type htmlItem struct {
	Row           htmlLink
	Values        []string
	Legend, Track []string
}

func (v *htmlView) blockList(items []item) []htmlBlock {
	var out []htmlBlock
	for _, b := range blocks(items) {
		hb := htmlBlock{Probe: observe.Escape(b.base), Question: observe.Escape(v.question(b.base, b.groups[0].places[0]))}
		for _, g := range b.groups {
			hg := htmlGroup{Where: observe.Escape(strings.Join(g.where, "; ")), Heads: escaped(g.heads), Note: observe.Escape(g.note)}
			for _, place := range g.places {
				hg.Probes = append(hg.Probes, htmlLink{"#probe=" + b.base + place, observe.Escape(b.base + place)})
			}
			for _, it := range g.items {
				hg.Items = append(hg.Items, htmlItemOf(b.base+g.places[0], it))
			}
			hb.Groups = append(hb.Groups, hg)
		}
		out = append(out, hb)
	}
	return out
}

func htmlItemOf(probe string, it item) htmlItem {
	out := htmlItem{Row: rowLink(probe+"/"+it.label, it.label), Values: escaped(it.values)}
	if it.label == wholeProbe {
		out.Row.Href = "#row=" + probe
	}
	if it.track != nil {
		out.Legend, out.Track = spanTexts(it.track.legend), spanTexts(it.track.segments)
	}
	return out
}

// spanTexts are lines of spans as text.
func spanTexts(lines [][]span) []string {
	var out []string
	for _, l := range lines {
		text := ""
		for _, s := range l {
			text += s.text
		}
		out = append(out, observe.Escape(strings.TrimSpace(text)))
	}
	return out
}

// htmlGap is something that could not be compared, and what of.
type htmlGap struct {
	Status  string
	Kernels string
	Reason  string
	Names   []htmlLink
	Lines   []string
}

// gaps are what could not be compared. Cells come first: what has no answer
// because its cell failed is not told again.
func (v *htmlView) gaps(residue table.Residue) []htmlGap {
	var out []htmlGap
	for _, same := range v.alike(residue.Cells) {
		c := v.t.Columns[same[0]]
		g := htmlGap{Status: string(c.Outcome), Kernels: v.labels(same), Reason: cmp.Or(c.Reason, noReason), Lines: c.Console}
		out = append(out, escapedGap(g))
	}
	for _, u := range gather(residue) {
		g := htmlGap{Status: u.status, Kernels: v.labels(u.columns), Reason: u.reason}
		for _, name := range u.names {
			g.Names = append(g.Names, nameLink(name))
		}
		out = append(out, escapedGap(g))
	}
	return out
}

func (v *htmlView) unstableGaps(rows []table.UnstableRow) []htmlGap {
	var out []htmlGap
	for _, f := range v.flickers(rows) {
		g := htmlGap{Status: string(table.Unstable)}
		for _, name := range f.names {
			g.Names = append(g.Names, nameLink(name))
		}
		for i, column := range f.columns {
			g.Lines = append(g.Lines, v.label(column)+": "+f.values[i])
		}
		out = append(out, escapedGap(g))
	}
	return out
}

func (v *htmlView) unsupportedGaps() []htmlGap {
	var out []htmlGap
	for _, u := range v.unsupportedEverywhere() {
		g := htmlGap{Status: u.status, Reason: u.reason}
		for _, name := range u.names {
			g.Names = append(g.Names, nameLink(name))
		}
		out = append(out, escapedGap(g))
	}
	return out
}

func escapedGap(g htmlGap) htmlGap {
	g.Kernels, g.Reason, g.Lines = observe.Escape(g.Kernels), observe.Escape(g.Reason), escaped(g.Lines)
	return g
}
