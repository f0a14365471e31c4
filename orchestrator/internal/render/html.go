package render

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/table"
)

// Detail is what HTML says of a run beside its table. What is empty or zero is
// left out.
type Detail struct {
	Tool    string    // version of ctmatrix that ran it
	Command []string  // that ran it
	Started time.Time // UTC
}

//go:embed page
var pageFiles embed.FS

// pageTemplate escapes whatever it is given by where it stands: in text, in an
// attribute, in the JSON of the picture.
var pageTemplate = template.Must(template.ParseFS(pageFiles, "page/page.html"))

// HTML writes t as one page that needs nothing beside itself: the overview, the
// picture of rows and kernels, and a part for each probe. Overview and parts can
// be read without JavaScript. The links #row=NAME and #probe=NAME lead to a row
// and a probe; these names are stable.
func HTML(w io.Writer, t *table.Table, s Summary, d Detail) error {
	style, script := pageFile("page.css"), pageFile("page.js")
	page := newHTMLPage(t, s, d)
	page.Style, page.Script = template.CSS(style), template.JS(script)
	page.Policy = policy(style, script)
	var buf bytes.Buffer
	if err := pageTemplate.ExecuteTemplate(&buf, "page.html", page); err != nil {
		return fmt.Errorf("lay out page: %w", err)
	}
	_, err := w.Write(buf.Bytes())
	return err
}

func pageFile(name string) string {
	data, err := pageFiles.ReadFile("page/" + name)
	if err != nil {
		panic(err) // it is part of the program
	}
	return string(data)
}

// policy lets a browser run this style and this script, and load nothing: should
// a text of a guest get through all escaping, it is still only text.
func policy(style, script string) string {
	hash := func(text string) string {
		sum := sha256.Sum256([]byte(text))
		return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	}
	return "default-src 'none'; base-uri 'none'; form-action 'none'; style-src " + hash(style) + "; script-src " + hash(script)
}

// htmlPage is what the template lays out. All of its texts are escaped as for a
// terminal: the template only has to keep them from being markup.
type htmlPage struct {
	Style  template.CSS
	Script template.JS
	Policy string

	Title   string
	Verdict string
	Run     []htmlField
	Facts   []htmlFact
	Kernels []htmlKernel
	Guest   string // what all kernels ran on; "" where they did not all run on the same
	Where   []htmlWhere

	Open        []htmlBlock
	Gaps        []htmlGap
	Unstable    []htmlGap
	Causes      []htmlCause // those that explain most
	MoreCauses  []htmlCause
	Explained   string // how much the causes explain
	Stale       []Stale
	Chance      []htmlBlock
	Unsupported []htmlGap

	Families []*htmlFamily
	Data     htmlData
}

// htmlFact is one of the counts.
type htmlFact struct {
	N    int
	What string
	Bad  bool // whether it asks for attention
}

// htmlField is lines under a name.
type htmlField struct {
	Name  string
	Lines []string
}

// htmlView makes an htmlPage of a table.
type htmlView struct {
	*report
	changes []table.Change
	groups  []table.Group
	counts  Counts
	changed map[string]table.Change // by row
	rows    map[string][]table.Row  // by probe; a probe that not all recorded comes first, as a whole
	// boundaries are the names of those over which something changes.
	boundaries []string
}

func newHTMLView(t *table.Table) *htmlView {
	v := &htmlView{
		report: newReport(t, Options{}), changes: t.Changes(), groups: t.Groups(), counts: countTable(t),
		changed: map[string]table.Change{}, rows: map[string][]table.Row{},
	}
	v.listBoundaries()
	for _, c := range v.changes {
		v.changed[c.Row.Name] = c
	}
	for _, p := range t.Probes {
		if slices.ContainsFunc(p.Outcomes, func(o table.Value) bool { return o.Status != table.Recorded }) {
			v.rows[p.Name] = []table.Row{{Name: p.Name, Probe: p.Name, Values: p.Outcomes}}
		}
	}
	for _, row := range t.Rows {
		v.rows[row.Probe] = append(v.rows[row.Probe], row)
	}
	return v
}

func newHTMLPage(t *table.Table, s Summary, d Detail) *htmlPage {
	v := newHTMLView(t)
	residue := t.Residue()
	page := &htmlPage{
		Title: "Connection tracking on " + count(v.counts.Kernels, "kernel"), Verdict: v.sentence(residue),
		Run: runFields(s, d), Facts: v.facts(), Kernels: v.kernelList(), Where: v.where(),
		Gaps: v.gaps(residue), Unstable: v.unstableGaps(residue.Unstable), Stale: staleOf(&t.Book, t.Stale()),
		Chance: v.blockList(v.chanceItems()), Unsupported: v.unsupportedGaps(),
	}
	page.Guest = sameGuest(page.Kernels)
	open, _ := splitGroups(v.groups)
	page.Open = v.blockList(v.items(open))
	page.Causes = v.causeList()
	if n := len(page.Causes); n > 0 {
		page.Explained = fmt.Sprintf("%d of %s explained by %s", len(v.changes)-table.Unexplained(v.changes), count(len(v.changes), "change"), count(n, "cause"))
		page.Causes, page.MoreCauses = page.Causes[:min(n, mostCauses)], page.Causes[min(n, mostCauses):]
	}
	for i := range page.Stale {
		page.Stale[i] = escapedStale(page.Stale[i])
	}
	page.Families = v.familyList()
	page.Data = v.picture()
	return page
}

// mostCauses is how many are shown before the reader asks for all.
const mostCauses = 12

// runFields say what run it is.
func runFields(s Summary, d Detail) []htmlField {
	var out []htmlField
	add := func(name, text string) {
		if text != "" {
			out = append(out, htmlField{name, []string{observe.Escape(text)}})
		}
	}
	if !d.Started.IsZero() {
		add("started", d.Started.UTC().Format("2006-01-02 15:04:05 UTC"))
	}
	if s.Elapsed > 0 {
		add("took", seconds(s.Elapsed))
	}
	if s.Cached > 0 {
		add("cells", fmt.Sprintf("%d from the cache, %d booted", s.Cached, s.Booted))
	}
	add("command", strings.Join(d.Command, " "))
	add("ctmatrix", d.Tool)
	add("results", s.Dir)
	return out
}

// sentence is what a reader who reads no more must know.
func (v *htmlView) sentence(residue table.Residue) string {
	if len(v.groups) == 0 {
		return observe.Escape(v.verdictText(residue))
	}
	open := table.Unexplained(v.changes)
	text := fmt.Sprintf("%s between neighbouring kernels: ", count(len(v.changes), "change"))
	switch open {
	case 0:
		return text + "notes explain all."
	case len(v.changes):
		return text + "none is explained."
	}
	return text + fmt.Sprintf("%d unexplained.", open)
}

// facts are the counts that are worth a place of their own.
func (v *htmlView) facts() []htmlFact {
	n := v.counts
	out := []htmlFact{
		factOf(n.Kernels, "kernel"), factOf(n.Probes, "probe"), factOf(n.Rows, "row"), factOf(n.Changes, "change"),
		{n.Changes - n.Explained, "unexplained", n.Changes > n.Explained},
	}
	if n.Cells != n.Kernels {
		out = append(out, factOf(n.Cells, "cell"))
	}
	for _, f := range []htmlFact{
		{n.Broken, "broken", true}, {n.Crashed, "crashed", true}, {n.Missing, "missing", true},
		{n.Unstable, "unstable", true}, {n.Failed, "incomplete", true},
	} {
		if f.N > 0 {
			out = append(out, f)
		}
	}
	return out
}

func factOf(n int, what string) htmlFact {
	_, words, _ := strings.Cut(count(n, what), " ")
	return htmlFact{N: n, What: words}
}
