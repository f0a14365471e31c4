package bench

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/sched"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/vm"
)

// pass is one run over all kernels.
type pass struct {
	jobs  int
	wall  time.Duration
	cells []results.Cell
	costs []Cost    // by cell, of all QEMUs; with one job only
	slow  [][]Probe // by cell
	days  []time.Duration
	most  []int64 // by cell, bytes in RAM
	rams  []int64 // by cell, of a guest that was saved
	qemus int
	saved func() int64 // room on the disk of guests that were not there before; may be nil

	mu      sync.Mutex
	cell    int // that runs, with one job
	began   map[int]time.Time
	came    string
	machine *vm.VM
	mark    vm.Usage  // of the machine when the last probe ended
	markAt  time.Time // when that was
}

// passes runs the suite cold, then from snapshots one and two at a time, then once
// more where all is known.
func (b *Bench) passes(ctx context.Context, r *Report, dir string) error {
	cold := b.newPass(1)
	cold.saved = newGuests(dir)
	b.Say("suites, cold")
	if err := b.run(ctx, cold, dir, nil); err != nil {
		return err
	}
	r.Matrix.Cold = cold.wall
	for i := range r.Kernels {
		k := &r.Kernels[i]
		k.Cold, k.RAM = cold.costs[i], cold.rams[i]
	}
	r.failed(cold)
	b.Say("suites, from snapshots")
	one := b.newPass(1)
	if err := b.run(ctx, one, dir, nil); err != nil {
		return err
	}
	r.Matrix.One = one.wall
	for i := range r.Kernels {
		k := &r.Kernels[i]
		k.Snapshot, k.Slow, k.Days, k.Resident = one.costs[i], slow(one.slow[i]), one.days[i], one.most[i]
	}
	r.failed(one)
	cells := sched.OpenCells(dir)
	b.Say("suites, two at a time")
	two := b.newPass(2)
	if err := b.run(ctx, two, dir, cells); err != nil {
		return err
	}
	r.Matrix.Two = two.wall
	r.failed(two)
	b.Say("a run of what is known")
	known := b.newPass(2)
	if err := b.run(ctx, known, dir, cells); err != nil {
		return err
	}
	r.Matrix.Cached, r.Matrix.Boots = known.wall, known.qemus
	return nil
}

// failed takes down what went wrong in a pass with kernels of which nothing was wrong
// before.
func (r *Report) failed(p *pass) {
	for i := range r.Kernels {
		if c := p.cells[i]; c.Outcome != results.CellOK && r.Kernels[i].Error == "" {
			r.Kernels[i].Error = fmt.Sprintf("%s: %s", c.Outcome, c.Reason)
		}
	}
}

func (b *Bench) newPass(jobs int) *pass {
	n := len(b.Cells)
	return &pass{
		jobs: jobs, cells: make([]results.Cell, n), costs: make([]Cost, n), slow: make([][]Probe, n),
		days: make([]time.Duration, n), most: make([]int64, n), rams: make([]int64, n), began: map[int]time.Time{},
	}
}

// run takes a pass over all kernels, with what is in a cache.
func (b *Bench) run(ctx context.Context, p *pass, cache string, known *results.Cache) error {
	began := time.Now()
	booter, err := sched.NewQEMU(ctx, sched.QEMUOptions{Program: b.QEMU, Cache: cache, Verbose: func(string) {}, Started: p.started})
	if err != nil {
		return err
	}
	out, err := results.Create(filepath.Join(cache, "runs"), "", b.Plan)
	if err != nil {
		return err
	}
	defer out.Close() // nobody reads it
	s := &sched.Scheduler{
		Kernels: b.Kernels, Booter: booter, Out: out, Progress: p, Jobs: p.jobs, Agent: b.Agent, Modules: func() ([]string, error) { return b.Modules, nil },
		Selected: b.Probes, ImageDir: filepath.Join(cache, "images"), Cells: known, Ended: p.ended,
	}
	if err := s.Run(ctx, b.Cells); err != nil {
		return err
	}
	p.wall = time.Since(began)
	return ctx.Err()
}

// started is told of each QEMU.
func (p *pass) started(came string, v *vm.VM) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.qemus++
	if p.jobs > 1 {
		return
	}
	p.settle()
	p.came, p.machine, p.mark, p.markAt = came, v, vm.Usage{}, time.Now()
}

// settle counts the machine that ran last, which has ended: with one job there is
// one at a time.
func (p *pass) settle() {
	if p.machine == nil {
		return
	}
	u := p.machine.Usage()
	p.costs[p.cell].CPU += u.CPU
	if p.came != "boot" {
		p.most[p.cell] = max(p.most[p.cell], u.Resident)
	}
	p.machine = nil
}

// ended is told of each probe, within some 2 ms of its end: until then its guest
// has kept what it says to itself. What the first of a guest took has the restore
// in it.
func (p *pass) ended(_ int, _ results.Cell, probe results.Probe) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.machine == nil {
		return
	}
	u, now := p.machine.Usage(), time.Now()
	cost := Cost{u.CPU - p.mark.CPU, now.Sub(p.markAt)}
	p.slow[p.cell] = append(p.slow[p.cell], Probe{Name: probe.Name, Cost: cost, First: p.mark == vm.Usage{}})
	p.mark, p.markAt = u, now
	if probe.Name == DaysProbe {
		p.days[p.cell] = cost.Wall
	}
}

// State implements sched.Progress.
func (p *pass) State(i int, cell results.Cell, state string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cells[i] = cell
	if p.jobs > 1 {
		return
	}
	switch state {
	case "boots":
		p.cell, p.began[i] = i, time.Now()
	case "ends":
		p.settle()
		p.costs[i].Wall = time.Since(p.began[i])
		if p.saved != nil {
			p.rams[i] = p.saved()
		}
	}
}
