package baseline

import (
	"cmp"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/table"
)

var update = flag.Bool("update", false, "write what the tests made into testdata")

// cell is a kernel of Debian's with rows in words: "a/b/x.y=7", "a/c=unsupported:no
// module", "a/d=broken".
func cell(version string, facts ...string) results.CellRows {
	label, _, _ := strings.Cut(version, "-")
	series := results.SeriesOf(version)
	c := results.CellRows{Cell: results.Cell{
		Kernel: results.Kernel{
			Ref: "debian:" + series, Label: label, Release: label + "-cloud-amd64", Version: version,
			Series: series, Flavour: "cloud", Arch: "amd64", Source: "debian", Digest: "digest of " + version,
		},
		Variant: "default", Outcome: results.CellOK,
	}}
	c.Guest.Clock = "virtual"
	for _, f := range facts {
		name, value, _ := strings.Cut(f, "=")
		if strings.Count(name, "/") == 1 {
			outcome, reason, _ := strings.Cut(value, ":")
			c.Probes = append(c.Probes, results.Probe{Name: name, Outcome: observe.Outcome(outcome), Reason: reason})
			continue
		}
		row := observe.Row{Name: name, Kind: observe.Text, Value: value}
		if strings.Trim(value, "0123456789") == "" {
			row.Kind = observe.Count
		}
		at := slices.IndexFunc(c.Probes, func(p results.Probe) bool { return p.Name == row.Probe() })
		if at < 0 {
			at = len(c.Probes)
			c.Probes = append(c.Probes, results.Probe{Name: row.Probe(), Outcome: observe.Recorded})
		}
		c.Probes[at].Rows++
		c.Rows = append(c.Rows, row)
	}
	slices.SortFunc(c.Rows, func(x, y observe.Row) int { return cmp.Compare(x.Name, y.Name) })
	slices.SortFunc(c.Probes, func(x, y results.Probe) int { return cmp.Compare(x.Name, y.Name) })
	return c
}

// bless blesses cells as a run, or fails the test.
func bless(t *testing.T, old *Baseline, o Options, cells ...results.CellRows) *Baseline {
	t.Helper()
	b, err := Bless(old, table.New(cells, nil), o)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// sample has all that a baseline may hold.
func sample(t *testing.T) *Baseline {
	slow := cell("6.12.118-1", "loose/on/ack.class=new", "loose/on/n.count=8")
	slow.Variant = "slow clock"
	dir := cell("6.9.1", "loose/on/ack.class=new \"quoted\"\n\x1b[31mred", "loose/on/n.count=8")
	dir.Kernel.Ref, dir.Kernel.Source, dir.Kernel.Flavour = "dir:/home/me/my kernel", "dir", ""
	return bless(t, &Baseline{}, Options{},
		cell("7.3.4-1", "loose/on/ack.class=new", "loose/on/n.count=9", "udp/stream/x.y=1", "udp/stream-2/x.y=1", "udp/dccp=unsupported:no module"),
		cell("5.10.262-1", "loose/on/ack.class=none", "loose/on/n.count=7", "udp/stream/x.y=1", "udp/stream-2/x.y=1", "udp/dccp/x.y=2", "udp/stream/gone.x=5"),
		cell("6.1.192-2", "loose/on/ack.class=none", "loose/on/n.count=eight", "udp/stream/x.y=1", "udp/dccp/x.y=2", "udp/silent=recorded"),
		slow, dir,
	)
}

func files(t *testing.T, b *Baseline) []File {
	t.Helper()
	out, err := b.Files()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestFiles(t *testing.T) {
	for _, f := range files(t, sample(t)) {
		path := filepath.Join("testdata", f.Name)
		if *update {
			if err := os.WriteFile(path, f.Data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := gocmp.Diff(string(want), string(f.Data)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", f.Name, diff)
		}
	}
}

func TestDecodeIsFilesBack(t *testing.T) {
	want := sample(t)
	got, err := Decode("b", files(t, want))
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// changed are the lines that only one of two baselines has.
func changed(t *testing.T, a, b *Baseline) []string {
	lines := func(b *Baseline) map[string]bool {
		out := map[string]bool{}
		for _, f := range files(t, b) {
			for _, l := range strings.Split(string(f.Data), "\n") {
				out[f.Name+": "+l] = true
			}
		}
		return out
	}
	var out []string
	x, y := lines(a), lines(b)
	for l := range x {
		if !y[l] {
			out = append(out, "-"+l)
		}
	}
	for l := range y {
		if !x[l] {
			out = append(out, "+"+l)
		}
	}
	slices.Sort(out)
	return out
}

// What a reviewer sees: a line for each row that moved, and one for each kernel.
func TestDiffsAreSmall(t *testing.T) {
	facts := []string{"loose/on/a.x=1", "loose/on/b.x=2", "loose/on/c.x=3"}
	oldest, middle, newest := cell("5.10.262-1", facts...), cell("6.1.192-2", facts...), cell("7.3.4-1", facts...)
	before := bless(t, &Baseline{}, Options{}, oldest, middle, newest)

	update := cell("6.1.195-1", facts...)
	if got := changed(t, before, bless(t, before, Options{}, oldest, update, newest)); len(got) != 2 || !strings.HasPrefix(got[0], "+kernels.jsonl: ") {
		t.Errorf("a kernel that moved on changes %q", got)
	}
	update.Rows = slices.Clone(update.Rows)
	update.Rows[1].Value = "20"
	got := changed(t, before, bless(t, before, Options{}, oldest, update, newest))
	want := []string{`+loose.rows: loose/on/b.x count "2" 6.1="20" 7.3="2"`, `-loose.rows: loose/on/b.x count "2"`}
	if len(got) != 4 || got[1] != want[0] || got[3] != want[1] {
		t.Errorf("a row that changed on one kernel changes %q", got)
	}
	for _, version := range []string{"5.4.1-1", "6.12.118-1", "7.4.1-1"} {
		got := changed(t, before, bless(t, before, Options{}, cell(version, facts...)))
		if len(got) != 1 || !strings.HasPrefix(got[0], "+kernels.jsonl: ") {
			t.Errorf("the new kernel %s, which behaves as the others, changes %q", version, got)
		}
	}
}

// Whatever comes first, the same kernels are the same bytes.
func TestOrderDoesNotMatter(t *testing.T) {
	cells := []results.CellRows{cell("5.10.262-1", "a/b/x.y=1"), cell("6.1.192-2", "a/b/x.y=2"), cell("7.3.4-1", "a/b/x.y=2", "a/c/x.y=1")}
	want := files(t, bless(t, &Baseline{}, Options{}, cells...))
	for _, order := range [][]int{{2, 1, 0}, {1, 2, 0}, {0, 2, 1}} {
		b := &Baseline{}
		for _, i := range order {
			b = bless(t, b, Options{}, cells[i])
		}
		b = bless(t, b, Options{}, cells...)
		if diff := gocmp.Diff(want, files(t, b)); diff != "" {
			t.Errorf("order %v (-want +got):\n%s", order, diff)
		}
	}
}
