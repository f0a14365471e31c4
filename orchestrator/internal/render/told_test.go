package render

import (
	"bytes"
	"encoding/csv"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/notes"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/table"
)

var began = time.Date(2026, 11, 23, 10, 45, 0, 5000, time.UTC)

var submission = Submission{Origin: "ctmatrix", Started: began, Tool: "v1"}

// exports write a table for programs and pages.
var exports = []struct {
	ext   string
	write func(io.Writer, *table.Table) error
}{
	{"md", func(w io.Writer, t *table.Table) error { return Markdown(w, t, summary, MarkdownLimit) }},
	{"junit.xml", func(w io.Writer, t *table.Table) error { return JUnit(w, t, began) }},
	{"ktap", KTAP},
	{"kcidb.json", func(w io.Writer, t *table.Table) error { return KCIDB(w, t, submission) }},
	{"csv", CSV},
}

// told are the tables that every export is held to.
var told = map[string]func(*testing.T) *table.Table{
	"four":        func(t *testing.T) *table.Table { return annotated(t, measured(four(t))) },
	"failed":      func(t *testing.T) *table.Table { return failed(t).table() },
	"repetitions": func(t *testing.T) *table.Table { return repetitions(t).table() },
	"chances":     func(t *testing.T) *table.Table { return chances(t).table() },
	"clocks":      func(t *testing.T) *table.Table { return measured(clocks(t)).table() },
	"many":        func(t *testing.T) *table.Table { return many(t).table() },
	"hostile":     func(t *testing.T) *table.Table { return hostile(t).table() },
	"attack":      func(t *testing.T) *table.Table { return attack(t).table() },
	"none":        func(t *testing.T) *table.Table { return newSample(t).table() },
}

// keptAs are those that are kept as golden files, by export: the others add bulk
// alone.
var keptAs = map[string][]string{
	"md":         {"four", "failed", "repetitions", "chances", "many", "attack", "none"},
	"junit.xml":  {"four", "failed", "attack", "none"},
	"ktap":       {"four", "failed", "repetitions", "attack", "none"},
	"kcidb.json": {"four", "none"},
	"csv":        {"failed", "chances", "attack", "none"},
}

func TestExports(t *testing.T) {
	for _, e := range exports {
		for _, name := range keptAs[e.ext] {
			golden(t, "told."+name+"."+e.ext, export(t, e.write, told[name](t)))
		}
	}
}

func export(t *testing.T, write func(io.Writer, *table.Table) error, tab *table.Table) []byte {
	t.Helper()
	return written(t, func(w io.Writer) error { return write(w, tab) })
}

// eachTold gives a check every table in the form of one export.
func eachTold(t *testing.T, ext string, check func(t *testing.T, tab *table.Table, text []byte)) {
	for name, make := range told {
		for _, e := range exports {
			if e.ext == ext {
				t.Run(name, func(t *testing.T) {
					tab := make(t)
					check(t, tab, export(t, e.write, tab))
				})
			}
		}
	}
}

// measured is a sample with all that a cell says of its run.
func measured(s *sample) *sample {
	for i := range s.cells {
		c := &s.cells[i]
		c.ID, c.Kernel.Digest = "id", strings.Repeat("0123456789abcdef", 4)
		clock := c.Guest.Clock
		c.Guest = results.Guest{QEMU: "7.2.22", Machine: "q35", Accel: "tcg", Clock: "virtual", CPUs: 1, Memory: "256M", Agent: "abcd", Seed: 1}
		if clock != "" {
			c.Guest.Clock = clock
		}
		c.Steps = []results.Step{{Name: "restore", Elapsed: 60 * time.Millisecond}, {Name: "suite", Elapsed: 12345678 * time.Nanosecond}}
		for j := range c.Probes {
			c.Probes[j].Elapsed = time.Duration(j) * time.Second / 10
		}
		c.Cached = []results.Origin{{Run: "/elsewhere/run", At: began.Add(-time.Hour), Probes: []string{"loose/off"}}}
	}
	return s
}

// annotated explains one of the changes of four, and half of another.
func annotated(t *testing.T, s *sample) *table.Table {
	list, err := notes.Read("notes.yaml", strings.NewReader(`notes:
  - rows: [table-full/syn*/syn.*]
    since: {mainline: "6.2"}
    reason: A <full> table makes room | for whom it pleases
    commit: "123456789abc netfilter: make @room"
  - rows: [nothing/of-this]
    since: {mainline: "6.2"}
    reason: never asked
  - rows: [loose/on]
    since: {mainline: "6.2"}
    reason: has gone
    expires: 2026-01-01
`))
	if err != nil {
		t.Fatal(err)
	}
	tab := s.table()
	tab.Book = table.Book{Notes: list, Day: began}
	return tab
}

// mischief are texts that mean something to one of the formats.
var mischief = []string{
	"=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "  =1", "＝1", `a,"b"`, "a\r\nb,c",
	"</failure></testcase><script>alert(1)</script>", "]]>", "<!--", "&amp;&lt;&#0;", "\x00\x01\x0b\x0c\ufffe\uffff\x7f\u0085",
	"| a | b |", "`", "``` x ``", "`` ` ``", "\\", `\|`, "|", "@root #1 GH-1", "<img src=x onerror=alert(1)>", "<b>",
	"[x](javascript:alert(1))", "![x](http://203.0.113.1/x.png)", "http://203.0.113.1/ www.example.org", "</details>",
	"# SKIP", "ok 1 # SKIP", "1..1", "KTAP version 1", "not ok 2 x\n  ok 3 y", "# TODO fake", ":smile:", "$x$ ~~y~~ *z* __u__",
	"\x1b[2J\x1b]0;owned\x07", "\u202egnp.exe", "\xff\xfe", "", " ", "  two  ", strings.Repeat("long ", 500),
}

// attack puts an injection wherever a run directory has text.
func attack(t *testing.T) *sample {
	s := newSample(t, "6.1.192-2", "6.12.117-1", "7.3.4-1")
	for i, text := range mischief {
		s.cells[1].Rows[i].Value = text
	}
	for i, reason := range mischief[:8] {
		p := s.cells[2].Probes[i].Name
		s.outcome(p, []observe.Outcome{observe.Broken, observe.Unsupported, observe.Crashed, observe.Missing}[i%4], reason+mischief[16+i], 2)
	}
	for _, name := range []string{"a", "@b/<c>", "x\n  ok 1 fake/y # SKIP", "table-full/|`", "table-full/|`\x00", "table-full/|`\\x00", "-/=1", "/", "", " / "} {
		s.cells[0].Probes = append(s.cells[0].Probes, results.Probe{Name: name, Outcome: observe.Broken, Reason: "<i>@all"})
		s.cells[1].Probes = append(s.cells[1].Probes, results.Probe{Name: name, Outcome: observe.Unsupported, Reason: "#1\n</skipped>"})
	}
	k := &s.cells[1].Kernel
	k.Label, k.Release, k.Ref, k.Version, k.Arch, k.Flavour = "=6.12<b>|#1 # SKIP", "6.12\x1b[1m@all", "`ref`|", "6.12:1\x00-1", "AMD 64", "a:b"
	c := &s.cells[1].Cell
	c.Variant, c.Guest.QEMU, c.Warnings = "default", "7<2>\x1b", []string{"| @all"}
	c.Outcome, c.Reason, c.Console = results.CellCrashed, "</error>`|@all", []string{"\x1b[31m<panic>", "|`@all", ""}
	return s
}

// Whatever a guest says, each export is of its format.
func FuzzExports(f *testing.F) {
	for i, text := range mischief {
		f.Add(text, mischief[len(mischief)-1-i], i%2 == 0)
	}
	f.Fuzz(func(t *testing.T, value, reason string, crash bool) {
		s := &sample{t: t}
		for _, name := range []string{"a/b/c.d", "a/b@child/c.d", "e/f/g.h"} {
			s.rows = append(s.rows, observe.Row{Name: name, Kind: observe.Text, Value: "1"})
		}
		for _, version := range []string{"6.1.192-2", "6.12.117-1"} {
			s.cells = append(s.cells, results.CellRows{Cell: s.cell(version), Rows: slices.Clone(s.rows)})
		}
		s.set("a/b/c.d", value, 1)
		s.outcome("e/f", observe.Broken, reason, 1)
		s.cells[1].Kernel.Label = reason
		if crash {
			s.cells[1].Outcome, s.cells[1].Reason, s.cells[1].Console = results.CellCrashed, value, []string{reason}
		}
		tab := s.table()
		if err := checkJUnit(export(t, exports[1].write, tab)); err != nil {
			t.Error(err)
		}
		if _, err := readKTAP(string(export(t, KTAP, tab))); err != nil {
			t.Error(err)
		}
		if lines, err := csv.NewReader(bytes.NewReader(export(t, CSV, tab))).ReadAll(); err != nil || len(lines) != 4 {
			t.Errorf("%d lines: %v", len(lines), err)
		}
	})
}
