package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/ctmatrix/ctmatrix/images/initramfs"
	"github.com/ctmatrix/ctmatrix/images/kernel"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/sched"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/vm"
)

// Bench is what to measure, and with what. All fields must be set.
type Bench struct {
	Cells   []sched.Cell
	Kernels sched.Fetcher
	QEMU    string   // name or path
	Agent   []byte   // the static agent
	Modules []string // of an image
	Probes  []string // to ask
	All     int      // how many probes there are
	Repeat  int      // boots of each kind: bare, and to the agent
	Plan    results.Plan
	Say     func(string) // what is being done
}

// Run measures. It works in a directory of its own, which is gone afterwards: no
// guest, image or result of before is used, and none is left. An error is one of
// the bench; what was wrong with a kernel is in the report. With an error, too, the
// report, if it is not nil, has what was measured until then.
func (b *Bench) Run(ctx context.Context) (r *Report, err error) {
	dir, err := os.MkdirTemp("", "ctmatrix-bench-")
	if err != nil {
		return nil, fmt.Errorf("make room for a bench: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	version, err := vm.Version(ctx, b.QEMU)
	if err != nil {
		return nil, err
	}
	r = &Report{Host: Host{CPUs: runtime.NumCPU(), QEMU: version, Load: load()}, Matrix: Matrix{Kernels: len(b.Cells)}}
	for _, c := range b.Cells {
		b.Say("boots of " + c.Kernel.Upstream)
		k, err := b.boots(ctx, c, filepath.Join(dir, "layers"))
		if err != nil {
			return r, fmt.Errorf("%s: %w", c.Kernel.Exact(), err)
		}
		r.Kernels = append(r.Kernels, *k)
	}
	return r, b.passes(ctx, r, dir)
}

// load is the host's of the last minute, or 0 where it does not say.
func load() (l float64) {
	data, err := os.ReadFile("/proc/loadavg")
	if err == nil {
		_, _ = fmt.Sscan(string(data), &l) // 0 where it is none
	}
	return l
}

// boots measures what needs no suite: boots, and how the image is made.
func (b *Bench) boots(ctx context.Context, c sched.Cell, layers string) (*Kernel, error) {
	k, err := b.Kernels.Fetch(ctx, c.Kernel)
	if err != nil {
		return nil, err
	}
	out := &Kernel{Label: k.Upstream, Version: k.Version, Probes: len(b.Probes), Whole: len(b.Probes) == b.All}
	memory, err := c.Guest.MemoryMB()
	if err != nil {
		return nil, err
	}
	made, err := b.image(k, layers, out)
	if err != nil {
		return nil, err
	}
	agent := sched.Image{Kernel: k.Image, Digest: k.Digest, Layers: made, Machine: c.Guest, Args: c.Variant.Args, Console: io.Discard}
	var plain, args, boots []Cost
	// In turns: what the host has to do besides changes within minutes.
	for range b.Repeat {
		for _, kind := range []struct {
			bare  bool
			costs *[]Cost
		}{{true, &plain}, {false, &args}} {
			cost, err := b.bareBoot(ctx, k.Image, memory, kind.bare)
			if err != nil {
				return nil, fmt.Errorf("boot it bare: %w", err)
			}
			*kind.costs = append(*kind.costs, cost)
		}
		if out.Error != "" {
			continue
		}
		cost, err := b.agentBoot(ctx, agent, filepath.Dir(layers))
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			out.Error = err.Error()
			continue
		}
		boots = append(boots, cost)
	}
	out.Bare, out.BareArgs = least(plain), least(args)
	if out.Error == "" {
		out.Boot = least(boots)
	}
	return out, nil
}

// agentBoot boots an image until its agent is ready and its guest saved, in a
// directory of its own.
func (b *Bench) agentBoot(ctx context.Context, image sched.Image, room string) (c Cost, err error) {
	dir, err := os.MkdirTemp(room, "boot-")
	if err != nil {
		return Cost{}, fmt.Errorf("make room for a guest: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	var booted *vm.VM
	booter, err := sched.NewQEMU(ctx, sched.QEMUOptions{Program: b.QEMU, Cache: dir, Verbose: func(string) {}, Started: func(came string, v *vm.VM) {
		if came == "boot" {
			booted = v
		}
	}})
	if err != nil {
		return Cost{}, err
	}
	guest, err := booter.Boot(ctx, image)
	if err != nil {
		return Cost{}, err
	}
	defer guest.Stop(ctx) // nothing was asked of it
	if err := guest.Ready(ctx); err != nil {
		return Cost{}, fmt.Errorf("boot to the agent: %w", err)
	}
	u := booted.Usage()
	return Cost{u.CPU, u.Wall}, nil
}

// bareTime ends a bare boot that hangs: a host with eight times as much to do as it
// has CPUs took more than three minutes for one.
const bareTime = 15 * time.Minute

// bareBoot boots an image to an init that powers off, on the machine, clock and CPU
// that guests have. Without arguments the kernel has no console, and is as quick
// as can be.
func (b *Bench) bareBoot(ctx context.Context, image string, memory int, bare bool) (Cost, error) {
	ctx, cancel := context.WithTimeout(ctx, bareTime)
	defer cancel()
	cpus, err := vm.NewCPUs()
	if err != nil {
		return Cost{}, err
	}
	layer, err := initramfs.Files([]initramfs.File{{Name: "init", Perm: 0o755, Data: powerOff()}})
	if err != nil {
		return Cost{}, err
	}
	v := &vm.VM{QEMU: b.QEMU, Kernel: image, MemoryMB: memory, Bare: bare, Pin: cpus.Take()}
	if err := v.Ramdisk(func(w io.Writer) error { return initramfs.Assemble(w, layer) }); err != nil {
		return Cost{}, err
	}
	if err := v.Start(ctx); err != nil {
		return Cost{}, err
	}
	defer v.Stop()
	if err := v.Wait(ctx); err != nil {
		return Cost{}, err
	}
	u := v.Usage()
	return Cost{u.CPU, u.Wall}, nil
}

// image measures how an initramfs is made, first of the store's files and then of
// layers in the cache, and returns those.
func (b *Bench) image(k *kernel.Kernel, dir string, out *Kernel) (layers []initramfs.Layer, err error) {
	for _, took := range []*time.Duration{&out.ImageBuilt, &out.ImageKept} {
		began := time.Now()
		if layers, err = sched.Layers(initramfs.Cache{Dir: dir}, k, b.Agent, b.Modules); err != nil {
			return nil, err
		}
		var size counter
		if err := initramfs.Assemble(&size, layers...); err != nil {
			return nil, err
		}
		*took, out.Image = time.Since(began), int64(size)
	}
	return layers, nil
}

// counter counts what is written to it.
type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

// newGuests returns what tells how much room on the disk the memory of guests takes
// that were saved in a cache since it was asked last.
func newGuests(cache string) func() int64 {
	seen := map[string]bool{}
	return func() (size int64) {
		files, _ := filepath.Glob(filepath.Join(cache, "guests", "kernels", "*", "ram")) // fails only on a bad pattern
		for _, f := range files {
			info, err := os.Stat(f)
			if err != nil || seen[f] {
				continue // collected meanwhile
			}
			seen[f] = true
			if st, ok := info.Sys().(*syscall.Stat_t); ok { // it has holes
				size += st.Blocks * 512
			}
		}
		return size
	}
}
