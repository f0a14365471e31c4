package bench

import (
	"os"
	"testing"
	"time"

	"github.com/ctmatrix/ctmatrix/images/kernel"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/agentbin"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/matrix"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/sched"
)

// Every figure of a real kernel must be there, and in proportion.
func TestRealBench(t *testing.T) {
	if os.Getenv("CTMATRIX_REAL_TESTS") == "" {
		t.Skip("needs a real kernel: run `make test`")
	}
	b := realBench(t)
	r, err := b.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	k, m := r.Kernels[0], r.Matrix
	if k.Error != "" {
		t.Fatal(k.Error)
	}
	t.Logf("%+v\n%+v", k, m)
	for name, d := range map[string]time.Duration{
		"bare": k.Bare.CPU, "bare with arguments": k.BareArgs.CPU, "boot": k.Boot.CPU, "snapshot": k.Snapshot.CPU,
		"built": k.ImageBuilt, "kept": k.ImageKept, "cached": m.Cached, "one": m.One, "two": m.Two,
	} {
		if d <= 0 {
			t.Errorf("%s took %v", name, d)
		}
	}
	if k.Cold.CPU <= k.Snapshot.CPU || m.Boots != 0 {
		t.Errorf("cold %v, snapshot %v, and %d boots of what is known", k.Cold, k.Snapshot, m.Boots)
	}
	var sum time.Duration
	for _, p := range k.Slow {
		sum += p.CPU
	}
	if len(k.Slow) != len(b.Probes) || sum > k.Snapshot.CPU || sum < k.Snapshot.CPU/2 {
		t.Errorf("%d probes took %v of %v", len(k.Slow), sum, k.Snapshot.CPU)
	}
	if k.Resident < 16<<20 || k.RAM < 16<<20 || k.RAM > 256<<20 || k.Image < 1<<20 {
		t.Errorf("resident %d, saved %d, image %d bytes", k.Resident, k.RAM, k.Image)
	}
}

// realBench asks the newest 6.1 one family.
func realBench(t *testing.T) *Bench {
	t.Helper()
	ctx := t.Context()
	agent, err := agentbin.Agent(kernel.DefaultArch)
	if err != nil {
		t.Fatal(err)
	}
	some, err := agentbin.Listing(ctx, []string{"baseline"})
	if err != nil {
		t.Fatal(err)
	}
	all, err := agentbin.Listing(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	catalog, err := kernel.New(kernel.Options{})
	if err != nil {
		t.Fatal(err)
	}
	found, err := sched.Resolve(ctx, catalog, []string{"debian:6.1"})
	if err != nil {
		t.Fatal(err)
	}
	c, err := matrix.Load("", nil)
	if err != nil {
		t.Fatal(err)
	}
	variant := c.Variants[0]
	b := &Bench{
		Cells:   []sched.Cell{{Kernel: found[0], Variant: variant, Guest: c.GuestFor(variant)}},
		Kernels: catalog, QEMU: "qemu-system-x86_64", Agent: agent, Modules: all.Modules, All: len(all.Probes), Repeat: 1,
		Plan: results.Plan{Started: time.Now().UTC(), Probes: some.Probes}, Say: func(msg string) { t.Log(msg) },
	}
	for _, p := range some.Probes {
		b.Probes = append(b.Probes, p.Name)
	}
	if b.Plan.Cells, err = sched.Plan(b.Cells); err != nil {
		t.Fatal(err)
	}
	return b
}
