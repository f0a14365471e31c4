package baseline

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
)

const kernelLine = `{"column":"NAME","variant":"default","clock":"virtual","kernel":{"ref":"debian:NAME","label":"NAME.1","release":"NAME.1","version":"NAME.1-1","series":"NAME","arch":"amd64","source":"debian","digest":"d","verified":true}}`

func kernelsOf(names ...string) string {
	out := "{\"ctmatrix_baseline\":1}\n"
	for _, n := range names {
		out += strings.ReplaceAll(kernelLine, "NAME", n) + "\n"
	}
	return out
}

var threeKernels = kernelsOf("5.10", "6.1", "7.3")

// decodeTwo reads a baseline of one family.
func decodeTwo(kernels, rows string) (*Baseline, error) {
	return Decode("b", []File{{KernelsFile, []byte(kernels)}, {"f.rows", []byte(rows)}})
}

// Faults are one line that names the file, the line and how to mend it.
func TestFaults(t *testing.T) {
	rows := func(lines string) string { return rowsHead + "\n" + lines }
	for name, c := range map[string]struct{ kernels, rows, want string }{
		"empty":           {"", "", "b/kernels.jsonl: is empty: " + anew},
		"no baseline":     {"{}\n", "", `b/kernels.jsonl:1: is no baseline's: it begins with {"ctmatrix_baseline":1}`},
		"other format":    {"{\"ctmatrix_baseline\":2}\n", "", "b/kernels.jsonl:1: format 2, and this ctmatrix reads format 1: remove the baseline and bless anew"},
		"cut":             {threeKernels[:len(threeKernels)-9], "", "b/kernels.jsonl:4: the line is cut short: " + anew},
		"unknown member":  {"{\"ctmatrix_baseline\":1}\n{\"x\":1}\n", "", `b/kernels.jsonl:2: json: unknown field "x": ` + anew},
		"twice":           {kernelsOf("6.1", "6.1"), "", "b/kernels.jsonl:3: kernel 6.1 is there twice: remove one"},
		"name":            {kernelsOf("6.1 x"), "", `b/kernels.jsonl:2: "6.1 x" cannot name a kernel: ` + anew},
		"conflict":        {threeKernels + "<<<<<<< HEAD\n", "", "b/kernels.jsonl:5: a conflict of git's: leave one side of it, or remove the baseline and bless anew"},
		"no head":         {threeKernels, "f/a recorded\n", "b/f.rows:1: does not begin as a family's file: write " + rowsHead},
		"blank":           {threeKernels, rows("\n"), `b/f.rows:2: "" is neither a probe's line nor a row's: ` + anew},
		"other family":    {threeKernels, rows("g/a recorded\n"), "b/f.rows:2: probe g/a is not of this family: move it to g.rows"},
		"probe order":     {threeKernels, rows("f/b recorded\nf/a recorded\n"), "b/f.rows:3: probe f/a after f/b: probes are sorted and each is there once"},
		"probe twice":     {threeKernels, rows("f/a recorded\nf/a recorded\n"), "b/f.rows:3: probe f/a after f/a: probes are sorted and each is there once"},
		"outcome":         {threeKernels, rows("f/a broken\n"), `b/f.rows:2: "broken" is not what becomes of a probe: write recorded, unsupported:"reason" or unasked`},
		"no reason":       {threeKernels, rows("f/a unsupported:\"\"\n"), "b/f.rows:2: the reason is empty: leave it out"},
		"nobody":          {threeKernels, rows("f/a unasked\n"), "b/f.rows:2: no kernel was asked probe f/a: remove the line"},
		"row before":      {threeKernels, rows("f/a/x.y count \"1\"\n"), "b/f.rows:2: row f/a/x.y does not stand below its probe: " + anew},
		"row order":       {threeKernels, rows("f/a recorded\nf/a/x.y count \"1\"\nf/a/x.x count \"1\"\n"), "b/f.rows:4: row f/a/x.x after f/a/x.y: rows are sorted and each is there once"},
		"not recorded":    {threeKernels, rows("f/a unsupported\nf/a/x.y count \"1\"\n"), "b/f.rows:3: row f/a/x.y is of a probe that no kernel recorded: remove it"},
		"kind":            {threeKernels, rows("f/a recorded\nf/a/x.y number \"1\"\n"), `b/f.rows:3: row f/a/x.y: unknown kind "number": ` + anew},
		"chance":          {threeKernels, rows("f/a recorded\nf/a/x.y chance \"1 of 2\"\n"), "b/f.rows:3: row f/a/x.y is of chance, which no baseline holds: remove it"},
		"same kind":       {threeKernels, rows("f/a recorded\nf/a/x.y count \"1\" 6.1=count:\"2\"\n"), `b/f.rows:3: kind "count" of the row: write it before the values only`},
		"bare":            {threeKernels, rows("f/a recorded\nf/a/x.y count 1\n"), `b/f.rows:3: "1" does not begin with a value in double quotes: ` + anew},
		"raw":             {threeKernels, rows("f/a recorded\nf/a/x.y count `1`\n"), "b/f.rows:3: \"`1`\" does not begin with a value in double quotes: " + anew},
		"escaped":         {threeKernels, rows("f/a recorded\nf/a/x.y count \"\\x31\"\n"), `b/f.rows:3: "\"\\x31\"" is not as bless writes it: write "\"1\""`},
		"unknown kernel":  {threeKernels, rows("f/a recorded\nf/a/x.y count \"1\" 6.6=\"2\"\n"), `b/f.rows:3: "6.6" is no kernel of kernels.jsonl: ` + anew},
		"kernel order":    {threeKernels, rows("f/a recorded\nf/a/x.y count \"1\" 7.3=\"2\" 6.1=\"1\"\n"), "b/f.rows:3: kernel 6.1 did not record the probe, or stands after a later one: " + anew},
		"kernel twice":    {threeKernels, rows("f/a recorded\nf/a/x.y count \"1\" 7.3=\"2\" 7.3=\"3\"\n"), "b/f.rows:3: kernel 7.3 did not record the probe, or stands after a later one: " + anew},
		"first kernel":    {threeKernels, rows("f/a recorded\nf/a/x.y count \"1\" 5.10=\"2\"\n"), "b/f.rows:3: kernel 5.10 did not record the probe, or stands after a later one: " + anew},
		"silent kernel":   {threeKernels, rows("f/a recorded 7.3=unasked\nf/a/x.y count \"1\" 7.3=\"2\"\n"), "b/f.rows:3: kernel 7.3 did not record the probe, or stands after a later one: " + anew},
		"no step":         {threeKernels, rows("f/a recorded\nf/a/x.y count \"1\" 7.3=\"1\"\n"), `b/f.rows:3: "count\"1\"" is what held before: remove it`},
		"junk":            {threeKernels, rows("f/a recorded\nf/a/x.y count \"1\" junk\n"), `b/f.rows:3: " junk": write 6.12=… for what holds from a kernel on`},
		"never":           {threeKernels, rows("f/a recorded\nf/a/x.y count absent\n"), "b/f.rows:3: no kernel has row f/a/x.y: remove the line"},
		"terminal":        {threeKernels, rows("\x1b[2J\n"), `b/f.rows:2: "\x1b[2J" is neither a probe's line nor a row's: ` + anew},
		"no kernels":      {kernelsOf(), rows("f/a recorded\n"), "b/f.rows:2: no kernel was asked probe f/a: remove the line"},
		"only the family": {threeKernels, rows("f/ recorded\n"), `b/f.rows:2: "f/" is no name of a probe: write family/probe`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := decodeTwo(c.kernels, c.rows)
			var fault *Fault
			if !errors.As(err, &fault) || err.Error() != c.want {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
		})
	}
}

// A line of a few bytes must not stand for more values than there is memory for.
func TestBounds(t *testing.T) {
	b, err := decodeTwo(threeKernels, rowsHead+"\n")
	if err != nil {
		t.Fatal(err)
	}
	d := &decoder{file: "b/f.rows", cells: b.Cells, index: map[string]int{}, family: "f", line: 1}
	rows := []byte("f/a recorded\nf/a/x.x count \"1\"\nf/a/x.y count \"1\"\n")
	d.values = maxValues - 3
	err = d.lines(rows, d.fact)
	if want := "b/f.rows:4: more than 8388608 values in all: bless fewer kernels or probes"; err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	var names []string
	for i := range maxColumns + 1 {
		names = append(names, fmt.Sprintf("k%d", i))
	}
	_, err = decodeTwo(kernelsOf(names...), rowsHead+"\n")
	if want := "b/kernels.jsonl:1002: more than 1000 kernels: bless fewer"; err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

// readBack holds what is read to being written again, to the byte, and faults to
// one line that names its file.
func readBack(t *testing.T, kernels, rows string) {
	b, err := decodeTwo(kernels, rows)
	if err != nil {
		text := err.Error()
		if !strings.HasPrefix(text, "b/") || strings.ContainsAny(text, "\n\x1b") || len(text) > 8192 {
			t.Errorf("not a line that names its file: %q", text)
		}
		return
	}
	got, err := b.Files()
	if err != nil {
		t.Fatal(err)
	}
	want := []File{{KernelsFile, []byte(kernels)}}
	if rows != rowsHead+"\n" {
		want = append(want, File{"f.rows", []byte(rows)})
	}
	if len(got) != len(want) {
		t.Fatalf("%d files, want %d", len(got), len(want))
	}
	for i := range want {
		if got[i].Name != want[i].Name || !bytes.Equal(got[i].Data, want[i].Data) {
			t.Errorf("%s\n%q\nbecame %s\n%q", want[i].Name, want[i].Data, got[i].Name, got[i].Data)
		}
	}
}

func FuzzRows(f *testing.F) {
	f.Add("f/a recorded\nf/a/x.y count \"1\" 6.1=\"2\" 7.3=text:\"a\\n\"\n")
	f.Add("f/a unasked 6.1=unsupported:\"why\" 7.3=recorded\nf/a/x.y count \"1\"\n")
	f.Add("f/a recorded\nf/a/x.y count absent 6.1=\"2\" 7.3=absent\nf/a-b recorded\n")
	f.Add("f/a recorded 6.1=unasked 7.3=recorded\nf/a/x.y flag \"\\x00é\" 7.3=\"\"\nf/b unsupported\n")
	f.Fuzz(func(t *testing.T, lines string) { readBack(t, threeKernels, rowsHead+"\n"+lines) })
}

func FuzzKernels(f *testing.F) {
	f.Add(kernelsOf())
	f.Add(threeKernels)
	f.Add(kernelsOf("6.1+x", "6.1_2"))
	f.Fuzz(func(t *testing.T, kernels string) { readBack(t, kernels, rowsHead+"\n") })
}
