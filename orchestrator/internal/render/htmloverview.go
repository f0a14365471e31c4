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
}

func (v *htmlView) kernelList() []htmlKernel {
	var out []htmlKernel
	for _, c := range v.t.Columns {
		k := htmlKernel{
			Label: c.Label, Version: c.Kernel.Version, Release: c.Kernel.Release, Ref: c.Kernel.Ref,
			Digest: c.Kernel.Digest[:min(len(c.Kernel.Digest), digestShown)], Guest: guestText(c),
			Outcome: string(c.Outcome), OK: c.Outcome == results.CellOK, Verified: c.Kernel.Verified,
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
	for _, name := range v.boundaries {
		out = append(out, htmlWhere{Name: observe.Escape(name)})
	}
	for _, c := range v.changes {
		for _, at := range v.boundariesOf(c) {
			out[at].Changes++
			open := func(b table.Boundary) bool { return v.plainName(b) == v.boundaries[at] && len(b.Notes) == 0 }
			if slices.ContainsFunc(c.Boundaries, open) {
				out[at].Open++
			}
		}
	}
	return out
}

// plainName names a boundary without what is only of one row: that a backport may
// explain it.
func (v *htmlView) plainName(b table.Boundary) string {
	b.Backport = false
	return v.boundaryName(b)
}

// boundariesOf are the indexes of a change's boundaries, each once.
func (v *htmlView) boundariesOf(c table.Change) []int {
	var out []int
	for _, b := range c.Boundaries {
		if at := slices.Index(v.boundaries, v.plainName(b)); !slices.Contains(out, at) {
			out = append(out, at)
		}
	}
	return out
}

// listBoundaries names those of any change, by the newer kernel, each once: those
// between two series are one wherever the kernels that were compared lie.
func (v *htmlView) listBoundaries() {
	var all []table.Boundary
	for _, c := range v.changes {
		all = append(all, c.Boundaries...)
	}
	slices.SortStableFunc(all, func(a, b table.Boundary) int { return cmp.Or(cmp.Compare(a.To, b.To), cmp.Compare(a.From, b.From)) })
	seen := map[string]bool{}
	for _, b := range all {
		if name := v.plainName(b); !seen[name] {
			seen[name] = true
			v.boundaries = append(v.boundaries, name)
		}
	}
}

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
