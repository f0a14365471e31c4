package results

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ctmatrix/ctmatrix/guest/observe"
)

var update = flag.Bool("update", false, "write golden files anew")

var began = time.Date(2026, 11, 23, 10, 45, 0, 0, time.FixedZone("CET", 3600))

func plan() Plan {
	kernel := func(series, version string) Kernel {
		return Kernel{
			Ref: "debian:" + series, Label: strings.Split(version, "-")[0], Release: series + ".0-1-cloud-amd64",
			Version: version, Series: series, Arch: "amd64", Source: "debian", Digest: "ab", Verified: true,
		}
	}
	return Plan{
		Tool: "v1.0.0", Argv: []string{"ctmatrix", "run"}, Started: began,
		Selection: Selection{Kernels: []string{"debian:6.1", "debian:6.12"}, Probes: []string{"*"}, Variants: []string{}},
		Cells: []Planned{
			{ID: "c0", Kernel: kernel("6.1", "6.1.192-2"), Variant: "default"},
			{ID: "c1", Kernel: kernel("6.12", "6.12.117-1"), Variant: "default"},
			{ID: "c2", Kernel: kernel("6.12", "6.12.117-1"), Variant: "legacy"},
		},
		Probes: []observe.Head{{Name: "a/b", Question: "What?"}},
	}
}

func cell(p Planned) (Cell, []observe.Row) {
	return Cell{
			ID: p.ID, Kernel: p.Kernel, Variant: p.Variant, Outcome: CellOK,
			Steps: []Step{{Name: "boot", Elapsed: 2 * time.Second}},
			Probes: []Probe{
				{Name: "a/b", Outcome: observe.Recorded, Rows: 2, Elapsed: 5, Log: []observe.Log{{Level: 4, AtUS: 1, Text: "full"}}},
				{Name: "a/c", Outcome: observe.Unsupported, Reason: "no <module> & none"},
			},
		}, []observe.Row{
			{Name: "a/b/syn.raw", Kind: observe.Count, Value: "10"},
			{Name: "a/b/syn.class", Kind: observe.Class, Value: "10 new <&>"},
		}
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// write makes a run of which the first cell finished, the second is under way,
// and the third has not begun.
func write(t *testing.T, root string) *Writer {
	t.Helper()
	w := must[*Writer](t)(Create(root, "", plan()))
	for _, open := range []func(int) error{
		func(i int) error {
			f, err := w.Console(i)
			return errors.Join(err, second(f.Write([]byte("booting\n"))), f.Close())
		},
		func(i int) error {
			f, err := w.KernelLog(i)
			return errors.Join(err, second(f.Write([]byte("full\n"))), f.Close())
		},
	} {
		if err := open(0); err != nil {
			t.Fatal(err)
		}
	}
	c, rows := cell(w.Plan().Cells[0])
	if err := w.Put(0, c, rows); err != nil {
		t.Fatal(err)
	}
	c, rows = cell(w.Plan().Cells[1])
	c.Outcome, c.Reason = CellMissing, "under way"
	if err := w.Put(1, c, rows); err != nil {
		t.Fatal(err)
	}
	return w
}

func second[T any](_ T, err error) error { return err }

func TestRoundTrip(t *testing.T) {
	root := t.TempDir()
	w := write(t, root)
	run := must[*Run](t)(Open(w.Dir()))
	if run.Plan.Finished != nil {
		t.Error("a run that goes on has ended")
	}
	if err := w.Finish(began.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	run = must[*Run](t)(Open(w.Dir()))
	if d := cmp.Diff(w.Plan(), run.Plan); d != "" {
		t.Errorf("plan (-written +read):\n%s", d)
	}
	wantCell, _ := cell(w.Plan().Cells[0])
	if d := cmp.Diff(wantCell, run.Cells[0].Cell); d != "" {
		t.Errorf("cell (-written +read):\n%s", d)
	}
	wantRows := []observe.Row{
		{Name: "a/b/syn.class", Kind: observe.Class, Value: "10 new <&>"},
		{Name: "a/b/syn.raw", Kind: observe.Count, Value: "10"},
	}
	if d := cmp.Diff(wantRows, run.Cells[0].Rows); d != "" {
		t.Errorf("rows (-want +read):\n%s", d)
	}
	if c := run.Cells[1]; c.Outcome != CellMissing || c.Reason != "under way" || len(c.Rows) != 2 {
		t.Errorf("cell under way: %+v", c)
	}
	if c := run.Cells[2]; c.Outcome != CellMissing || c.Kernel.Label != "6.12.117" || c.Variant != "legacy" {
		t.Errorf("cell not begun: %+v", c)
	}
}

// The names and the contents of files are what other programs rely on.
func TestFiles(t *testing.T) {
	root := t.TempDir()
	w := write(t, root)
	var got strings.Builder
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel := must[string](t)(filepath.Rel(root, path))
		switch {
		case d.Type()&fs.ModeSymlink != 0:
			fmt.Fprintf(&got, "== %s -> %s\n", rel, must[string](t)(os.Readlink(path)))
		case d.IsDir():
			fmt.Fprintf(&got, "== %s/\n", rel)
		default:
			fmt.Fprintf(&got, "== %s\n%s", rel, must[[]byte](t)(os.ReadFile(path)))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "files.txt")
	if *update {
		if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if d := cmp.Diff(string(must[[]byte](t)(os.ReadFile(golden))), got.String()); d != "" {
		t.Errorf("files (-want +got):\n%s", d)
	}
	if base := filepath.Base(w.Dir()); base != "20261123T094500Z" {
		t.Errorf("directory %s is not named after the start in UTC", base)
	}
}

func TestCreateTwiceInOneSecond(t *testing.T) {
	root := t.TempDir()
	first, again := must[*Writer](t)(Create(root, "", plan())), must[*Writer](t)(Create(root, "", plan()))
	if first.Dir() == again.Dir() {
		t.Fatalf("both in %s", first.Dir())
	}
	if run := must[*Run](t)(Find(root, "latest")); run.Dir != must[string](t)(filepath.EvalSymlinks(again.Dir())) {
		t.Errorf("latest is %s, not %s", run.Dir, again.Dir())
	}
}

func TestPutRefuses(t *testing.T) {
	w := must[*Writer](t)(Create(t.TempDir(), "", plan()))
	for says, change := range map[string]func(*Cell, *[]observe.Row){
		"counts 3 rows and has 2": func(c *Cell, _ *[]observe.Row) { c.Probes[0].Rows = 3 },
		"of no probe":             func(c *Cell, _ *[]observe.Row) { c.Probes = c.Probes[1:] },
		"twice":                   func(_ *Cell, rows *[]observe.Row) { *rows = append(*rows, (*rows)[0]) },
		"unknown kind":            func(_ *Cell, rows *[]observe.Row) { (*rows)[0].Kind = "x" },
	} {
		c, rows := cell(w.Plan().Cells[0])
		change(&c, &rows)
		if err := w.Put(0, c, rows); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("error %v, want %q", err, says)
		}
	}
	if run := must[*Run](t)(Open(w.Dir())); run.Cells[0].Reason != "has not been run" {
		t.Errorf("a refused cell was written: %+v", run.Cells[0])
	}
}

func TestCellDirsAreSafeAndUnique(t *testing.T) {
	p := Plan{Started: began}
	for _, label := range []string{"../../etc", "6.1", "6.1", "", "a/b\x00", strings.Repeat("x", 500), "A", "a", "-rf"} {
		p.Cells = append(p.Cells, Planned{Kernel: Kernel{Label: label}, Variant: "../v"})
	}
	w := must[*Writer](t)(Create(t.TempDir(), "", p))
	var dirs []string
	for i, c := range w.Plan().Cells {
		dirs = append(dirs, c.Dir)
		if filepath.Dir(w.CellDir(i)) != w.Dir() || strings.ContainsAny(c.Dir, "/\x00") || c.Dir[0] == '-' {
			t.Errorf("directory %q", c.Dir)
		}
	}
	if run := must[*Run](t)(Open(w.Dir())); len(run.Cells) != len(dirs) {
		t.Errorf("%d cells of %d", len(run.Cells), len(dirs))
	}
}

func TestFind(t *testing.T) {
	root := t.TempDir()
	w := write(t, root)
	for arg, cells := range map[string]int{
		w.Dir(): 3, filepath.Base(w.Dir()): 3, "latest": 3, w.CellDir(0): 1, "latest/6.12.117+legacy": 1,
		"debian:6.1": 1, "6.1.192": 1, "6.1.192-2": 1, "debian:6.12": 2, "6.12.117+legacy": 1,
	} {
		if run, err := Find(root, arg); err != nil || len(run.Cells) != cells {
			t.Errorf("Find(%s) = %v, %v; want %d cells", arg, run, err, cells)
		}
	}
	for _, arg := range []string{"", "6.2", "nowhere/run", w.Dir() + "x", filepath.Join(w.Dir(), PlanFile)} {
		if run, err := Find(root, arg); !errors.Is(err, ErrNotFound) {
			t.Errorf("Find(%s) = %v, %v", arg, run, err)
		}
	}
	if _, err := Find(t.TempDir(), "latest"); !errors.Is(err, ErrNotFound) {
		t.Errorf("no runs at all: %v", err)
	}
}

func TestOpenSaysWhere(t *testing.T) {
	for name, c := range map[string]struct {
		file, old, new string
		line           int
		says           string
	}{
		"plan is no JSON":       {PlanFile, `"tool": "v1.0.0"`, `"tool": v1`, 3, "invalid character"},
		"plan of other schema":  {PlanFile, `"schema": 1`, `"schema": 7`, 0, "schema 7"},
		"plan leaves directory": {PlanFile, `"dir": "6.1.192"`, `"dir": "../x"`, 0, "cannot name"},
		"plan unknown member":   {PlanFile, `"tool"`, `"tols"`, 0, "unknown field"},
		"cell of wrong type":    {"6.1.192/" + CellFile, `"variant": "default"`, `"variant": 1`, 14, "number"},
		"cell outcome":          {"6.1.192/" + CellFile, `"outcome": "ok"`, `"outcome": "fine"`, 0, "unknown cell outcome"},
		"rows unsorted":         {"6.1.192/" + RowsFile, "syn.class", "syn.z", 2, "sorted"},
		"rows of no kind":       {"6.1.192/" + RowsFile, `"count"`, `"x"`, 2, "unknown kind"},
		"rows lost":             {"6.1.192/" + CellFile, `"rows": 2`, `"rows": 3`, 0, "counts 3 rows and has 2"},
		"rows cut short":        {"6.1.192/" + RowsFile, "\"10\"}\n", "\"1", 2, "cut short"},
	} {
		t.Run(name, func(t *testing.T) {
			w := write(t, t.TempDir())
			path := filepath.Join(w.Dir(), c.file)
			data := string(must[[]byte](t)(os.ReadFile(path)))
			if !strings.Contains(data, c.old) {
				t.Fatalf("%s has no %s:\n%s", c.file, c.old, data)
			}
			if err := os.WriteFile(path, []byte(strings.Replace(data, c.old, c.new, 1)), 0o644); err != nil {
				t.Fatal(err)
			}
			_, err := Open(w.Dir())
			var fe *FileError
			if !errors.As(err, &fe) || fe.Path != path || fe.Line != c.line || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v, want line %d of %s to say %q", err, c.line, path, c.says)
			}
		})
	}
}

// A pipe in the place of a file holds nobody up, and is none.
func TestOpenPipes(t *testing.T) {
	for _, name := range []string{PlanFile, "6.1.192/" + CellFile, "6.1.192/" + RowsFile} {
		w := write(t, t.TempDir())
		path := filepath.Join(w.Dir(), name)
		if err := errors.Join(os.Remove(path), unix.Mkfifo(path, 0o600)); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(w.Dir()); err == nil || err.Error() != path+": not a regular file" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzRows(f *testing.F) {
	_, rows := cell(Planned{})
	data, err := encodeRows([]observe.Row{rows[1], rows[0]})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add(data[:len(data)-5])
	f.Add([]byte("\n"))
	f.Add([]byte(`{"row":"a/b/c.d","kind":"text","value":"\u0041"}` + "\n" + `{"row":"a/b/c.e","kind":"text","value":"ä<"}` + "\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		checkPlainRows(t, data)
		rows, _, err := parseRows(data)
		if err != nil {
			return
		}
		again, err := encodeRows(rows)
		if err != nil {
			t.Fatal(err)
		}
		back, _, err := parseRows(again)
		if err != nil || cmp.Diff(rows, back) != "" {
			t.Fatalf("%v\n%s", err, cmp.Diff(rows, back))
		}
	})
}

// checkPlainRows holds what is read and written without encoding/json to what that
// reads and writes.
func checkPlainRows(t *testing.T, data []byte) {
	t.Helper()
	for line := range strings.Lines(string(data)) {
		plain, ok := plainRow(strings.TrimSuffix(line, "\n"))
		if !ok {
			continue
		}
		var row observe.Row
		if err := strict([]byte(line), &row); err != nil || row != plain {
			t.Fatalf("%q is %+v (%v), read as %+v", line, row, err, plain)
		}
		var buf bytes.Buffer
		enc := json.NewEncoder(&buf)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(row); err != nil {
			t.Fatal(err)
		}
		if lines, err := encodeRows([]observe.Row{row}); err == nil && string(lines) != buf.String() {
			t.Fatalf("wrote %q, want %q", lines, buf.String())
		}
	}
}

// Every byte that may stand in a value comes out as encoding/json writes it.
func TestPlainRows(t *testing.T) {
	for c := range rune(0x180) {
		for _, value := range []string{string(c), "a" + string(c) + "b", string([]byte{byte(c)})} {
			row := observe.Row{Name: "a/b/c.d", Kind: observe.Text, Value: value}
			var buf bytes.Buffer
			enc := json.NewEncoder(&buf)
			enc.SetEscapeHTML(false)
			if err := enc.Encode(row); err != nil {
				t.Fatal(err)
			}
			lines, err := encodeRows([]observe.Row{row})
			if err != nil || string(lines) != buf.String() {
				t.Fatalf("%+v is written as %q, want %q (%v)", row, lines, buf.String(), err)
			}
			checkPlainRows(t, lines)
		}
	}
}

func FuzzCell(f *testing.F) {
	f.Add([]byte(`{"id":"x","outcome":"ok","probes":[{"name":"a/b","outcome":"recorded","rows":1}]}`))
	f.Add([]byte(`{"outcome":"ok"} {}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := parseCell(data)
		if err == nil && c.Outcome == "" {
			t.Fatal("a cell without an outcome")
		}
	})
}

func FuzzPlan(f *testing.F) {
	f.Add([]byte(`{"schema":1,"cells":[{"dir":"6.1"},{"dir":"6.2"}]}`))
	f.Add([]byte(`{"schema":1,"cells":[{"dir":".."}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		plan, err := parsePlan(data)
		if err != nil {
			return
		}
		for _, c := range plan.Cells {
			if c.Dir == "" || filepath.Base(c.Dir) != c.Dir || c.Dir == ".." || c.Dir == "." {
				t.Fatalf("directory %q", c.Dir)
			}
		}
	})
}

// Repetitions have directories of their own, and a kernel's name means all.
func TestRepetitions(t *testing.T) {
	p := plan()
	var cells []Planned
	for n := 1; n <= 3; n++ {
		for _, c := range p.Cells {
			c.Repeat = n
			cells = append(cells, c)
		}
	}
	p.Cells = cells
	root := t.TempDir()
	w := must[*Writer](t)(Create(root, "run", p))
	var dirs []string
	for _, c := range w.Plan().Cells {
		dirs = append(dirs, c.Dir)
	}
	want := "6.1.192 6.12.117 6.12.117+legacy 6.1.192_r2 6.12.117_r2 6.12.117+legacy_r2 6.1.192_r3 6.12.117_r3 6.12.117+legacy_r3"
	if got := strings.Join(dirs, " "); got != want {
		t.Errorf("directories %s\nwant %s", got, want)
	}
	c, rows := cell(w.Plan().Cells[3])
	c.Repeat = 2
	if err := w.Put(3, c, rows); err != nil {
		t.Fatal(err)
	}
	for arg, want := range map[string]string{
		"debian:6.1": "1 missing, 2 ok, 3 missing", "6.12.117+legacy": "1 missing, 2 missing, 3 missing",
		filepath.Join(w.Dir(), "6.1.192_r2"): "2 ok",
	} {
		run := must[*Run](t)(Find(root, arg))
		var got []string
		for _, c := range run.Cells {
			got = append(got, fmt.Sprint(c.Repeat, " ", c.Outcome))
		}
		if strings.Join(got, ", ") != want {
			t.Errorf("%s is %q, want %s", arg, got, want)
		}
	}
	if _, err := Find(root, "debian:9.9"); err == nil || !strings.Contains(err.Error(), "nor one of 6.1.192, 6.12.117, 6.12.117+legacy, the cells") {
		t.Errorf("error %v", err)
	}
	c.Repeat = 1
	if err := w.Put(3, c, rows); err != nil {
		t.Fatal(err)
	}
	var fault *FileError
	if _, err := Open(w.Dir()); !errors.As(err, &fault) || !strings.Contains(err.Error(), "repetition 1, planned as 2") {
		t.Errorf("error %v of a cell that is another repetition", err)
	}
}
