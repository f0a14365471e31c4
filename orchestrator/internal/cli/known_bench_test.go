package cli

import (
	"context"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/images/kernel"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/matrix"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/notes"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/sched"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/table"
)

// BenchmarkKnown runs a matrix of the shipped size that is known as a whole, with the
// shipped notes, and tells what differs: what a night takes in which nothing changed,
// but for the questions to agent, QEMU and the kernels' indexes.
func BenchmarkKnown(b *testing.B) {
	for _, kernels := range []int{4, 81} {
		b.Run(fmt.Sprint(kernels), func(b *testing.B) { benchmarkKnown(b, kernels) })
	}
}

func benchmarkKnown(b *testing.B, kernels int) {
	probes, rows := shippedRows(b)
	cells := knownCells(kernels)
	planned, err := sched.Plan(cells)
	if err != nil {
		b.Fatal(err)
	}
	fake := &answers{modules: b.TempDir(), by: map[string]string{}}
	a := &app{stdout: io.Discard, stderr: io.Discard, width: 80}
	s := &sched.Scheduler{
		Kernels: fake, Booter: fake, Jobs: 2, Agent: []byte("agent"), Progress: a.bars(), ImageDir: b.TempDir(),
		Cells: results.NewCache(b.TempDir()),
	}
	for _, p := range probes {
		s.Selected = append(s.Selected, p.Name)
	}
	know(b, s, cells, probes, rows)
	text, err := os.Open("../../../notes.yaml")
	if err != nil {
		b.Fatal(err)
	}
	defer text.Close() // only read
	var by judging
	if by.book.Notes, err = notes.Read("notes.yaml", text); err != nil {
		b.Fatal(err)
	}
	root := b.TempDir()
	heads := make([]observe.Head, len(probes))
	for i, p := range probes {
		heads[i].Name = p.Name
	}
	by.fail = table.FailOnDefault()
	for b.Loop() {
		if s.Out, err = results.Create(root, "", results.Plan{Cells: planned, Probes: heads, Started: time.Now()}); err != nil {
			b.Fatal(err)
		}
		if err := s.Run(b.Context(), cells); err != nil {
			b.Fatal(err)
		}
		if err := a.report(s.Out.Dir(), by, time.Second, false); statusIn(err) != ExitChanged {
			b.Fatalf("status %d: %v", statusIn(err), err)
		}
		s.Out.Close() // only its lock
		if err := os.RemoveAll(s.Out.Dir()); err != nil {
			b.Fatal(err)
		}
	}
	if len(fake.asked) > 0 {
		b.Fatalf("booted %q", fake.asked)
	}
}

// knownCells are kernels of four series.
func knownCells(n int) []sched.Cell {
	c := &matrix.Config{Guest: matrix.Guest{Memory: "256M", CPUs: 1, Clock: "virtual"}}
	var candidates []kernel.Candidate
	for i := range n {
		series := []string{"5.10", "6.1", "6.12", "7.3"}[i*4/n]
		upstream := fmt.Sprintf("%s.%d", series, 100+i)
		candidates = append(candidates, kernel.Candidate{
			Source: kernel.SchemeDebian, Ref: "debian:" + upstream + "-1", Version: upstream + "-1", Upstream: upstream,
			Series: series, Release: upstream + "-cloud", Flavour: "cloud", Arch: "amd64",
		})
	}
	return cellsOf(c, candidates, []matrix.Variant{{Name: matrix.DefaultVariant}}, 1)
}

// shippedRows are the names of all rows, and the probes that they are of.
func shippedRows(b *testing.B) ([]results.Probe, []observe.Row) {
	b.Helper()
	text, err := os.ReadFile("../../../guest/internal/suite/rows.txt")
	if err != nil {
		b.Fatal(err)
	}
	var probes []results.Probe
	var rows []observe.Row
	for _, name := range strings.Fields(string(text)) {
		row := observe.Row{Name: name, Kind: observe.Text}
		if n := len(probes); n == 0 || probes[n-1].Name != row.Probe() {
			probes = append(probes, results.Probe{Name: row.Probe(), Outcome: observe.Recorded})
		}
		probes[len(probes)-1].Rows++
		rows = append(rows, row)
	}
	return probes, rows
}

// know puts into the scheduler's cache what it will be asked for. A tenth of the rows
// differs in the later half of the kernels.
func know(b *testing.B, s *sched.Scheduler, cells []sched.Cell, probes []results.Probe, rows []observe.Row) {
	b.Helper()
	for i, spec := range cells {
		k, err := s.Kernels.Fetch(b.Context(), spec.Kernel)
		if err != nil {
			b.Fatal(err)
		}
		machine, err := s.Booter.Describe(context.Background(), spec.Guest)
		if err != nil {
			b.Fatal(err)
		}
		id := s.Identity(k.Digest, spec, machine)
		known := results.Known{Cell: results.Cell{Outcome: results.CellOK, Probes: slices.Clone(probes)}, Rows: slices.Clone(rows)}
		known.Cell.Kernel.Digest, known.Cell.Guest.Agent = id.Kernel, id.Agent
		for j := range known.Rows {
			r := &known.Rows[j]
			r.Value = "1 established, 10 delivered"
			if i >= len(cells)/2 && crc32.ChecksumIEEE([]byte(r.Name))%10 == 0 {
				r.Value = "1 invalid, none"
			}
		}
		if err := s.Cells.Put(b.Context(), id, known, results.Origin{Run: "before", At: time.Now()}); err != nil {
			b.Fatal(err)
		}
	}
}
