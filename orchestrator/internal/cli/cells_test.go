package cli

import (
	"context"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/images/kernel"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/agentbin"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/matrix"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/sched"
)

// keepCells puts an answer for each kernel in the store into the cache, as a run
// with a QEMU would: keep-cells QEMU PROBE VALUE.
func keepCells(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: keep-cells QEMU PROBE VALUE")
	}
	ts.Check(keep(ts.Getenv("CTMATRIX_CACHE"), ts.MkAbs(args[0]), args[1], args[2]))
}

func keep(cache, qemu, probe, value string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	agent, err := agentbin.Agent(kernel.DefaultArch)
	if err != nil {
		return err
	}
	// As scripts name it, from where they run.
	q, err := sched.NewQEMU(ctx, sched.QEMUOptions{Program: qemu, Cache: cache})
	if err != nil {
		return err
	}
	catalog, err := kernel.New(kernel.Options{CacheDir: cache})
	if err != nil {
		return err
	}
	c, err := matrix.Load("", nil)
	if err != nil {
		return err
	}
	stored, err := catalog.Stored()
	if err != nil {
		return err
	}
	m, err := q.Describe(ctx, c.Guest)
	if err != nil {
		return err
	}
	s := &sched.Scheduler{Agent: agent}
	for _, k := range stored {
		id := s.Identity(k.Digest, sched.Cell{Guest: c.Guest}, m)
		known := results.Known{
			Cell: results.Cell{
				Outcome: results.CellOK, Kernel: results.Kernel{Digest: k.Digest}, Guest: results.Guest{Agent: id.Agent},
				Probes: []results.Probe{{Name: probe, Outcome: observe.Recorded, Rows: 1}},
			},
			Rows: []observe.Row{{Name: probe + "/syn.raw", Kind: observe.Text, Value: value}},
		}
		origin := results.Origin{Run: "/runs/earlier", At: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)}
		if err := sched.OpenCells(cache).Put(ctx, id, known, origin); err != nil {
			return err
		}
	}
	return nil
}

// busy runs a command while a run directory is in use: busy DIR COMMAND...
func busy(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: busy DIR COMMAND...")
	}
	w, _, err := results.Resume(ts.MkAbs(args[0]))
	ts.Check(err)
	defer w.Close()
	if err := ts.Exec("sh", "-c", strings.Join(args[1:], " ")); err == nil {
		ts.Fatalf("%s: no error", strings.Join(args[1:], " "))
	}
}
