package render

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/notes"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/table"
)

var detail = Detail{
	Tool: "v1-2-g0123456", Command: []string{"ctmatrix", "run", "--probe", "*"},
	Started: time.Date(2026, 11, 23, 10, 45, 0, 0, time.UTC),
}

func htmlOf(t *testing.T, tb *table.Table, d Detail) []byte {
	t.Helper()
	return written(t, func(w io.Writer) error { return HTML(w, tb, summary, d) })
}

// noted is a table with notes that explain some of what differs in four, and
// with a log.
func noted(t *testing.T) *table.Table {
	s := four(t)
	for _, c := range []int{0, 2, 3} {
		s.log("table-full/syn", "nf_conntrack: nf_conntrack: table full, dropping packet", c)
	}
	s.log("table-full/syn", "nf_conntrack: table full in netns 1", 1)
	tb := s.table()
	tb.Book = table.Book{Day: detail.Started, Notes: []notes.Note{
		{
			Rows: []string{"table-full/syn*/*"}, Since: map[string]notes.Point{"mainline": {With: "6.12-rc1"}},
			Reason: "A full table takes newcomers", Commit: "0123456789ab netfilter: conntrack: take them",
			Link: "https://example.org/thread", File: "notes.yaml", Line: 3,
		},
		{
			Rows: []string{"enable/flowtable*"}, Since: map[string]notes.Point{"mainline": {With: "6.1-rc1"}},
			Reason: "There are flowtables", Expires: detail.Started.AddDate(1, 0, 0), File: "notes.yaml", Line: 9,
		},
		{
			Rows: []string{"loose/on/ack.raw"}, Since: map[string]notes.Point{"mainline": {With: "6.1-rc1"}},
			Reason: "Nothing at all", File: "notes.yaml", Line: 12,
		},
	}}
	return tb
}

func (s *sample) log(probe, text string, cells ...int) *sample {
	s.t.Helper()
	for _, c := range cells {
		at := slices.IndexFunc(s.cells[c].Probes, func(p results.Probe) bool { return p.Name == probe })
		if at < 0 {
			s.t.Fatalf("no probe %s", probe)
		}
		p := &s.cells[c].Probes[at]
		p.Log = append(p.Log, observe.Log{Level: 4, AtUS: int64(1000 * c), Text: text})
	}
	return s
}

// bare is a page without its style and its script, which have tests of their own.
func bare(page []byte) []byte {
	for what, with := range map[string]string{
		pageFile("page.css"): "\n/* page.css */\n", pageFile("page.js"): "\n// page.js\n",
	} {
		page = bytes.Replace(page, []byte(what), []byte(with), 1)
	}
	return regexp.MustCompile(`sha256-.*?&#39;`).ReplaceAll(page, []byte("sha256-…&#39;"))
}

func TestHTML(t *testing.T) {
	for name, tb := range map[string]*table.Table{
		"noted": noted(t), "failed": failed(t).table(), "hostile": hostile(t).table(), "repetitions": repetitions(t).table(),
		"chances": chances(t).table(), "clocks": clocksTimed(t), "many": many(t).table(), "backport": backport(t).table(), "none": newSample(t).table(),
	} {
		t.Run(name, func(t *testing.T) {
			got := bare(htmlOf(t, tb, detail))
			if slices.Contains([]string{"noted", "hostile", "none"}, name) { // the others say little more
				golden(t, name+".html", got)
			}
			for _, l := range strings.Split(string(got), "\n") {
				if observe.Escape(l) != l {
					t.Errorf("line that is not what it seems: %q", l)
				}
			}
			wellFormed(t, got)
		})
	}
}

// clocksTimed is a table of probes that wait, on kernels whose clocks differ.
func clocksTimed(t *testing.T) *table.Table {
	s := newSample(t, "5.10.262-1", "6.1.192-2")
	s.cells[0].Guest.Clock, s.cells[1].Guest.Clock = "virtual", "host"
	return table.New(s.cells, []observe.Head{{Name: "loose/on", Timed: true}})
}

// nodes returns all nodes of a page.
func nodes(t *testing.T, page []byte) []*html.Node {
	t.Helper()
	doc, err := html.Parse(bytes.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	return slices.Collect(doc.Descendants())
}

func attr(n *html.Node, key string) (string, bool) {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val, true
		}
	}
	return "", false
}

// wellFormed holds a page to what every reader needs: names that are there once,
// links inside the page that lead somewhere, and nothing that is loaded.
func wellFormed(t *testing.T, page []byte) {
	t.Helper()
	ids := map[string]int{}
	all := nodes(t, page)
	for _, n := range all {
		if id, ok := attr(n, "id"); ok {
			ids[id]++
		}
	}
	for id, n := range ids {
		if n > 1 {
			t.Errorf("id %q is there %d times", id, n)
		}
	}
	for _, n := range all {
		for _, a := range n.Attr {
			if a.Key == "src" || a.Key == "style" || strings.HasPrefix(a.Key, "on") {
				t.Errorf("<%s %s=%q>", n.Data, a.Key, a.Val)
			}
		}
		href, ok := attr(n, "href")
		switch target, inside := strings.CutPrefix(href, "#"); {
		case !ok:
		case n.Data != "a":
			t.Errorf("<%s href=%q>", n.Data, href)
		case inside && ids[target] == 0:
			t.Errorf("%q leads nowhere", href)
		case !inside && !strings.HasPrefix(href, "https://"):
			t.Errorf("%q leads out of the page", href)
		}
	}
}

// injections are what a text may try to be.
var injections = []string{
	`<script>window.owned=1</script>`, `</script><script>window.owned=1</script>`, `</style></title><img src=x onerror=window.owned=1>`,
	`"><b onmouseover=window.owned=1>`, `' onfocus='window.owned=1' autofocus='`, `<!--<script>`, `-->`, `]]>`, "\u2028window.owned=1\u2029",
	`{{.Script}}`, `javascript:window.owned=1`, `&lt;script&gt;`, `</details></section>`, `</textarea></select>`, `\u003cscript\u003e`, "\x00\x1b[31m\u202e",
}

// injected is a table that says text wherever a guest, a run directory or a file
// of notes may say anything.
func injected(t *testing.T, text string) *table.Table {
	s := newSample(t, "5.10.262-1", "6.1.192-2", "6.12.117-1")
	s.set("loose/on/ack.entry", text, 1).set("loose/on/ack.class", text, 0, 1, 2)
	s.outcome("table-full/flood", observe.Broken, text, 0).outcome("limits/defaults", observe.Unsupported, text, 1)
	s.outcome("enable/flowtable", observe.Unsupported, text, 0, 1, 2)
	s.log("loose/on", text, 0, 1)
	s.cells[0].Rows = append(s.cells[0].Rows, observe.Row{Name: "loose/on/both.lost", Kind: observe.Chance, Value: text})
	for i := range s.cells {
		k := &s.cells[i].Kernel
		k.Label, k.Release, k.Ref = k.Label+text, k.Release+text, k.Ref+text
		s.cells[i].Warnings = []string{text}
		s.cells[i].Guest = results.Guest{QEMU: text, Machine: text, Accel: text, Clock: text, Memory: text, Agent: text}
	}
	s.cells[2].Outcome, s.cells[2].Reason, s.cells[2].Console = results.CellCrashed, text, []string{text}
	told := []observe.Head{{
		Name: "loose/on", Question: text, Path: text, Sysctls: []string{text}, Rules: []string{text}, Needs: []string{text}, Source: text,
		Rows: []observe.RowHead{{Name: "loose/on/ack.class", Meaning: text}},
	}}
	tb := table.New(s.cells, told)
	tb.Book = table.Book{Day: detail.Started, Notes: []notes.Note{{
		Rows: []string{"loose/on/ack.entry"}, Since: map[string]notes.Point{"mainline": {With: "6.1-rc1"}},
		Reason: text, Commit: text, Link: text, File: text, Line: 1,
	}}}
	return tb
}

// elements are the kinds of element of a page, scripts with their number.
func elements(t *testing.T, page []byte) map[string]int {
	t.Helper()
	kinds := map[string]int{}
	for _, n := range nodes(t, page) {
		if n.Type == html.ElementNode {
			kinds[n.Data]++
		}
		if n.Type == html.CommentNode {
			kinds["comment"]++
		}
	}
	return kinds
}

// Whatever a text tries, the page has the elements that it has for a harmless one.
func TestHTMLIsNotInjected(t *testing.T) {
	page := func(text string) []byte {
		d := detail
		d.Tool, d.Command = text, []string{text}
		return htmlOf(t, injected(t, text), d)
	}
	want := elements(t, page("x"))
	for _, text := range injections {
		got := page(text)
		if kinds := elements(t, got); len(kinds) != len(want) {
			t.Errorf("%q makes other elements: %v, want %v", text, kinds, want)
		} else {
			for kind, n := range want {
				// A link that is no link to the web is left out, or made harmless.
				if kinds[kind] != n {
					t.Errorf("%q makes %d <%s>, want %d", text, kinds[kind], kind, n)
				}
			}
		}
		for _, n := range nodes(t, got) {
			if href, _ := attr(n, "href"); strings.HasPrefix(strings.ToLower(href), "javascript:") {
				t.Errorf("%q leads to %q", text, href)
			}
			if n.Type == html.TextNode && n.Parent.Data == "script" && regexp.MustCompile("(?i)</script|<!--|\u2028|\u2029").MatchString(n.Data) {
				t.Errorf("%q leaves a script open: %q", text, n.Data)
			}
		}
		if !strings.Contains(html.UnescapeString(string(got)), observe.Escape(text)) {
			t.Errorf("%q is not told at all", text)
		}
	}
}

// The picture says of each row what the table does.
func TestHTMLPicture(t *testing.T) {
	tb := failed(t).table()
	page := htmlOf(t, tb, Detail{})
	text := regexp.MustCompile(`(?s)<script type="application/json" id="data">(.*?)</script>`).FindSubmatch(page)[1]
	var data struct {
		htmlData
		Probes []struct {
			Name string
			Rows [][]json.RawMessage
		} `json:"probes"`
	}
	if err := json.Unmarshal(text, &data); err != nil {
		t.Fatal(err)
	}
	var got, want []string
	line := func(name string, codes []int) string { return fmt.Sprint(name, codes) }
	for _, p := range data.Probes {
		for _, row := range p.Rows {
			var label string
			var pattern int
			if err := errors.Join(json.Unmarshal(row[0], &label), json.Unmarshal(row[1], &pattern)); err != nil {
				t.Fatal(err)
			}
			name := p.Name
			if label != "" {
				name += "/" + label
			}
			var codes []int
			for runs := data.Patterns[pattern]; len(runs) > 0; runs = runs[2:] {
				codes = append(codes, slices.Repeat(runs[:1], runs[1])...)
			}
			got = append(got, line(name, codes))
		}
	}
	for _, p := range tb.Probes {
		if slices.ContainsFunc(p.Outcomes, func(v table.Value) bool { return v.Status != table.Recorded }) {
			want = append(want, line(p.Name, lookOf(table.Row{Values: p.Outcomes}).codes))
		}
		for _, row := range tb.Rows {
			if row.Probe == p.Name {
				want = append(want, line(row.Name, lookOf(row).codes))
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the picture (-want +got):\n%s", diff)
	}
}

func TestHTMLLook(t *testing.T) {
	row := func(values ...table.Value) table.Row { return table.Row{Values: values} }
	a, b := table.Value{Status: table.Recorded, Kind: observe.Count, Text: "1"}, table.Value{Status: table.Recorded, Kind: observe.Count, Text: "2"}
	broken, none := table.Value{Status: table.Broken, Text: "x"}, table.Value{Status: table.Unsupported, Text: "x"}
	got := lookOf(row(none, a, broken, b, a)).codes
	if want := []int{-1, 0, -2, 1, 0}; !slices.Equal(got, want) {
		t.Errorf("codes %v, want %v", got, want)
	}
	if got, want := pairs([]int{0, 0, 1, -1, -1, -1, 0}), []int{0, 2, 1, 1, -1, 3, 0, 1}; !slices.Equal(got, want) {
		t.Errorf("pairs %v, want %v", got, want)
	}
	seen := map[string]bool{}
	for code := -len(silentStatuses); code <= 2*valueLooks; code++ {
		if m := mark(code); seen[m] {
			t.Errorf("mark %q twice", m)
		} else {
			seen[m] = true
		}
		if !strings.Contains(pageFile("page.css"), "."+lookClass(code)+" {") {
			t.Errorf("no style for %s", lookClass(code))
		}
	}
}

// Where variants change alike, and where kernels that were compared differ by row,
// a boundary between two series is one.
func TestHTMLWhere(t *testing.T) {
	got := newHTMLView(clocks(t).table()).where()
	if want := []htmlWhere{{Name: "between 5.10.y and 6.1.y", Changes: 1, Open: 1}}; !slices.Equal(got, want) {
		t.Errorf("of two variants: %v, want %v", got, want)
	}
	got = newHTMLView(backport(t).table()).where()
	want := []htmlWhere{
		{"6.1.100 → 6.1.192", 4, 4}, {"6.12.1 → 6.12.117", 4, 4}, {"between 6.12.y and 7.3.y", 4, 4},
	}
	if !slices.Equal(got, want) {
		t.Errorf("of a backport: %v, want %v", got, want)
	}
}

// Notes that say the same are one cause, which has each boundary that any of them
// covers, and the values on both sides of these.
func TestHTMLCauses(t *testing.T) {
	s := newSample(t, "5.10.262-1", "6.1.192-2", "6.12.117-1", "7.3.4-1")
	s.set("loose/on/ack.raw", "11", 1).set("loose/on/ack.raw", "12", 2).set("loose/on/ack.raw", "13", 3)
	tb := s.table()
	note := func(with string, line int) notes.Note {
		return notes.Note{
			Rows: []string{"loose/on/*"}, Since: map[string]notes.Point{"mainline": {With: with}},
			Reason: "more", Commit: "0123456789ab more", File: "notes.yaml", Line: line,
		}
	}
	other := note("6.12-rc1", 7)
	other.Reason = "less"
	tb.Book = table.Book{Day: detail.Started, Notes: []notes.Note{note("6.1-rc1", 1), note("7.3-rc1", 4), other}}
	got := newHTMLView(tb).causeList()
	if len(got) != 2 || got[0].N != 1 || got[1].N != 1 {
		t.Fatalf("causes %+v", got)
	}
	if want := "between 5.10.y and 6.1.y; between 6.12.y and 7.3.y"; got[0].Where != want {
		t.Errorf("where %q, want %q", got[0].Where, want)
	}
	if want := []string{"notes.yaml:1", "notes.yaml:4"}; !slices.Equal(got[0].Files, want) {
		t.Errorf("files %q, want %q", got[0].Files, want)
	}
	for i, want := range [][]string{{"10", "11", "12", "13"}, {"11", "12"}} {
		if values := got[i].Places[0].Steps[0].Values; !slices.Equal(values, want) {
			t.Errorf("values %q, want %q", values, want)
		}
	}
}

// The script puts no text into the page but as text, and page and script need
// nothing beside themselves.
func TestHTMLScriptIsTame(t *testing.T) {
	for name, forbidden := range map[string]string{
		"page.js":   `innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|DOMParser|fetch\(|XMLHttpRequest|import\(|</script|<!--`,
		"page.css":  `url\(|@import|</style|expression\(`,
		"page.html": `\ssrc=|\sstyle=|\son[a-z]+=|<link|<iframe`,
	} {
		if found := regexp.MustCompile(forbidden).FindString(pageFile(name)); found != "" {
			t.Errorf("%s has %s", name, found)
		}
	}
}
