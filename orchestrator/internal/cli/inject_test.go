package cli

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
)

// poison is all that a guest, a mirror or a run directory from elsewhere may try
// in one text: to clear the screen, name the window, go back in the line, begin a
// line of its own, turn the writing around, be an element, a formula, a mention, a
// cell of a table, the end of a code span, of a comment or of a protocol's line.
const poison = "=1+1|`@all` </script><script>x()</script>\x1b[2J\x1b]0;owned\x07\u009b31m\x08\r\n" +
	"not ok 1 owned\nctmatrix: owned\u202e\u2028--><img src=x onerror=x()>]]>&#27;[1m # SKIP \xff\x00"

// poisoned sets every text below v, but for those that must be of a form.
func poisoned(v reflect.Value, path string) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			poisoned(v.Elem(), path)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() && f.Type != reflect.TypeFor[time.Time]() {
				poisoned(v.Field(i), path+"."+f.Name)
			}
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return
		}
		if v.Len() == 0 && v.Type().Elem().Kind() == reflect.String {
			v.Set(reflect.Append(v, reflect.ValueOf(poison)))
		}
		for i := range v.Len() {
			poisoned(v.Index(i), path)
		}
	case reflect.String:
		switch v.Type() {
		case reflect.TypeFor[string]():
			v.SetString(poison)
		}
	}
}

// poisonedRun writes a run of two kernels. Names of probes are what parts rows
// are found by, and those of rows are checked when they are read: the rest of all
// texts is poison.
func poisonedRun(t *testing.T, root, name string, values ...string) string {
	t.Helper()
	plan := results.Plan{
		Started: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC),
		Probes:  []observe.Head{{Rows: []observe.RowHead{{}}}},
	}
	poisoned(reflect.ValueOf(&plan), "")
	plan.Probes[0].Name, plan.Probes[0].Rows[0].Name = "fam/told", "fam/told/a.text"
	for i := range values {
		c := results.Planned{Variant: "v"}
		poisoned(reflect.ValueOf(&c.Kernel), "")
		c.Kernel.Version, c.Kernel.Series = fmt.Sprintf("6.%d-1", i), fmt.Sprintf("6.%d", i)
		c.Kernel.Label += fmt.Sprint(i)
		plan.Cells = append(plan.Cells, c)
	}
	w, err := results.Create(root, name, plan)
	if err != nil {
		t.Fatal(err)
	}
	for i, value := range values {
		cell := results.Cell{
			Steps: []results.Step{{Elapsed: time.Second}}, Modules: []observe.Module{{}}, Config: map[string]string{"CONFIG_A": poison, poison: "y"},
			Probes: []results.Probe{
				{Log: []observe.Log{{}}}, {Outcome: observe.Broken}, {Outcome: observe.Unsupported}, {Outcome: observe.Crashed}, {Outcome: observe.Missing},
			},
		}
		poisoned(reflect.ValueOf(&cell), "")
		cell.Kernel, cell.Outcome = plan.Cells[i].Kernel, results.CellCrashed
		for j := range cell.Probes {
			p := &cell.Probes[j]
			if p.Name = fmt.Sprintf("fam/%d%s", j, poison); j == 0 {
				p.Name, p.Outcome, p.Rows = "fam/told", observe.Recorded, 2
			}
		}
		rows := []observe.Row{
			{Name: "fam/told/a.text", Kind: observe.Text, Value: poison + value},
			{Name: "fam/told/luck.chance", Kind: observe.Chance, Value: poison},
		}
		if err := w.Put(i, cell, rows); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Finish(plan.Started), w.Close()); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(root, name)
}

// Nothing that a command writes, in whatever format, has in it what a terminal, a
// browser, a spreadsheet or a reader of a protocol acts on, whatever the texts of a
// run are.
func TestNothingIsInjected(t *testing.T) {
	t.Chdir(t.TempDir())
	a := poisonedRun(t, "runs", "a", "1", "2")
	b := poisonedRun(t, "runs", "b", "3", "4")
	commands := map[string]string{
		"diff": "diff " + a + " " + b, "diff.json": "diff --json " + a + " " + b,
		"timeline": "timeline", "timeline.json": "timeline --json", "stability": "stability " + a + " " + b,
		"bless": "bless --incomplete --baseline base " + a, "unknown": "report nothing\x1b[2J", "flag": "run --no\x1b[2Jflag",
		"kernel": "kernels list --stored debian:\x1b[2J", "row": "timeline x\x1b[2J*",
	}
	for _, f := range reportFormats {
		commands["report."+f.name] = "report --format " + f.name + " a"
	}
	for name, command := range commands {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			status := Main(t.Context(), append(strings.Split(command, " "), "--width=80"), &stdout, &stderr)
			t.Logf("exit status %d, %d and %d bytes", status, stdout.Len(), stderr.Len())
			for _, out := range []string{stdout.String(), stderr.String()} {
				if strings.HasSuffix(name, ".csv") { // whose lines end so
					out = strings.ReplaceAll(out, "\r\n", "\n")
				}
				unprintable(t, out)
			}
			if strings.Contains(stderr.String(), "\nctmatrix: owned") || regexp.MustCompile(`(?m)^(not ok 1 |ctmatrix: )owned`).MatchString(stdout.String()) {
				t.Errorf("a line is forged:\n%s%s", &stdout, &stderr)
			}
			if check := wellFormed[name]; check != nil {
				check(t, stdout.Bytes())
			}
		})
	}
}

// unprintable finds what is in a text that has no width or moves something.
func unprintable(t *testing.T, text string) {
	t.Helper()
	for _, line := range strings.Split(text, "\n") {
		for at, r := range line {
			if !strconv.IsPrint(r) && (r != '\t' || at > 0 && strings.TrimLeft(line[:at], "\t") != "") {
				t.Errorf("%q is written, in %.80q", r, line[max(0, at-30):])
				return
			}
		}
	}
}

var wellFormed = map[string]func(*testing.T, []byte){
	"report.json": isJSON, "report.kcidb": isJSON, "diff.json": isJSON, "timeline.json": isJSON,
	"report.csv": func(t *testing.T, text []byte) {
		lines, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range lines {
			for _, f := range l {
				if strings.IndexAny(strings.TrimLeft(f, " "), "=+-@\t\r\n") == 0 {
					t.Errorf("a spreadsheet computes %q", f)
				}
			}
		}
	},
	"report.junit": func(t *testing.T, text []byte) {
		known := regexp.MustCompile(`^(testsuites?|properties|property|testcase|skipped|error|failure|system-out)$`)
		for d := xml.NewDecoder(bytes.NewReader(text)); ; {
			tok, err := d.Token()
			if err == io.EOF {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if e, ok := tok.(xml.StartElement); ok && !known.MatchString(e.Name.Local) {
				t.Errorf("an element %s", e.Name.Local)
			}
		}
	},
	"report.html": func(t *testing.T, text []byte) {
		root, err := html.Parse(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		for n := range root.Descendants() {
			if n.Type == html.ElementNode && n.Data == "img" || n.Type == html.TextNode && n.Parent.Data == "script" && strings.Contains(n.Data, "</script") {
				t.Errorf("an element of poison: %s %.80q", n.Data, n.Parent.Data)
			}
		}
	},
}

func isJSON(t *testing.T, text []byte) {
	t.Helper()
	if !json.Valid(text) {
		t.Error("not JSON")
	}
}

// What is told while a run goes on is no different.
func TestProgressIsNotInjected(t *testing.T) {
	var out bytes.Buffer
	b := (&app{stderr: &out}).bars()
	c := results.Cell{Steps: []results.Step{{Name: "boot"}}}
	poisoned(reflect.ValueOf(&c), "")
	c.Steps[0].Name = "boot"
	for _, state := range []string{"waits", "fetches", "fetched", "boots", "runs", "ends", "crashed"} {
		b.State(0, c, state)
	}
	b.Ended(0, c, results.Probe{Name: poison, Reason: poison})
	task := b.Start(poison, 1)
	task.Add(1)
	task.Done(nil)
	b.line(poison)
	b.Close()
	if text := out.String(); strings.Count(text, "\n") < 2 {
		t.Errorf("little is told: %q", text)
	} else {
		unprintable(t, text)
	}
	if regexp.MustCompile(`(?m)^ctmatrix: owned`).MatchString(out.String()) {
		t.Errorf("a line is forged: %s", &out)
	}
}
