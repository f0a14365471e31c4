package sched

import (
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/images/initramfs"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/matrix"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/remote"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/vm"
)

// QEMU boots guests in QEMU and speaks with them over SSH. It may be used
// concurrently.
type QEMU struct {
	program string           // name or path
	version string           // its version
	dir     string           // where verdicts on accelerators are kept
	cpus    *vm.CPUs         // that guests are pinned to
	devices []vm.Device      // of every guest
	verbose func(msg string) // told each QEMU's command line

	mu     sync.Mutex
	proofs map[vm.Accel]error // nil for what was seen to work
}

// NewQEMU finds a QEMU by name or path. What is found out about the host is kept
// in dir; verbose is told each guest's command line.
func NewQEMU(ctx context.Context, program, dir string, verbose func(msg string)) (*QEMU, error) {
	version, err := vm.Version(ctx, program)
	if err != nil {
		return nil, err
	}
	cpus, err := vm.NewCPUs()
	if err != nil {
		return nil, err
	}
	q := &QEMU{program: program, version: version, dir: dir, cpus: cpus, verbose: verbose, proofs: map[vm.Accel]error{}}
	sandbox, err := vm.HasSandbox(ctx, program)
	if err != nil {
		return nil, err
	}
	if sandbox {
		q.devices = []vm.Device{vm.Sandbox{}}
	}
	return q, nil
}

// silence is how long a guest may take to print its first line. A machine that
// wedges before its kernel is up never does.
const silence = time.Minute

// defaultMachine is the one that "auto" stands for.
const defaultMachine = "q35"

// Describe implements Booter. It fails where no guest could be started.
func (q *QEMU) Describe(ctx context.Context, g matrix.Guest) (Machine, error) {
	m := Machine{QEMU: q.version, Machine: g.Machine}
	if m.Machine == "auto" {
		m.Machine = defaultMachine
	}
	accel, err := q.accel(ctx, g)
	if err != nil {
		return Machine{}, err
	}
	m.Accel = string(accel)
	v, err := q.machine(g, m)
	if err != nil {
		return Machine{}, err
	}
	v.Devices = append(v.Devices, vm.SerialPort{Name: observe.PortName, FD: 4})
	m.Args = v.Args()
	return m, nil
}

// accel chooses what executes guest code. A virtual clock needs emulation.
func (q *QEMU) accel(ctx context.Context, g matrix.Guest) (vm.Accel, error) {
	switch {
	case g.Accel == string(vm.TCG) || g.Clock == string(vm.Virtual):
		return vm.TCG, nil
	case g.Accel == "auto":
		accel, _, err := vm.Auto(ctx, q.program, q.dir)
		return accel, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if _, known := q.proofs[vm.KVM]; !known {
		proof, err := vm.Prove(ctx, q.program, vm.KVM)
		if err != nil {
			return "", err
		}
		if !proof.Works {
			err = fmt.Errorf("accel kvm does not work here: %s: use accel: auto or tcg", proof.Reason)
		}
		q.proofs[vm.KVM] = err
	}
	return vm.KVM, q.proofs[vm.KVM]
}

// machine is the virtual machine but for what is of one boot.
func (q *QEMU) machine(g matrix.Guest, m Machine) (*vm.VM, error) {
	mb, err := g.MemoryMB()
	if err != nil {
		return nil, err
	}
	return &vm.VM{
		QEMU: q.program, Machine: m.Machine, Accel: vm.Accel(m.Accel), Clock: vm.Clock(g.Clock),
		CPUs: g.CPUs, MemoryMB: mb, Pin: vm.AnyCPU, Devices: slices.Clone(q.devices),
	}, nil
}

// Boot implements Booter.
func (q *QEMU) Boot(ctx context.Context, image Image) (Guest, error) {
	m, err := q.Describe(ctx, image.Machine)
	if err != nil {
		return nil, err
	}
	v, err := q.machine(image.Machine, m)
	if err != nil {
		return nil, err
	}
	v.Kernel, v.Append, v.Console = image.Kernel, image.Args, image.Console
	keys, err := remote.NewKeys()
	if err != nil {
		return nil, err
	}
	g := &qemuGuest{vm: v, keys: keys, release: func() {}}
	if err := q.start(ctx, g, image); err != nil {
		g.release()
		return nil, err
	}
	q.verbose(v.String())
	return g, nil
}

func (q *QEMU) start(ctx context.Context, g *qemuGuest, image Image) error {
	boot, err := initramfs.Boot(g.keys.Boot())
	if err != nil {
		return err
	}
	layers := append(append([]initramfs.Layer{}, image.Layers...), boot)
	if err := g.vm.Ramdisk(func(w io.Writer) error { return initramfs.Assemble(w, layers...) }); err != nil {
		return err
	}
	if g.conn, err = g.vm.Port(observe.PortName); err != nil {
		return err
	}
	// A guest of one CPU runs on one of the host's: unpinned, some things come
	// out differently now and then.
	if g.vm.CPUs == 1 {
		cpu := q.cpus.Take()
		g.vm.Pin = cpu
		g.release = func() { q.cpus.Give(cpu) }
	}
	if err := g.vm.Start(ctx); err != nil {
		g.conn.Close() // never used
		return err
	}
	return nil
}

// qemuGuest is a guest in QEMU.
type qemuGuest struct {
	vm      *vm.VM
	keys    *remote.Keys
	conn    net.Conn
	client  *remote.Client // nil until Ready
	release func()
}

func (g *qemuGuest) Ready(ctx context.Context) error {
	if err := g.vm.WaitLine(ctx, observe.ReadyLine, silence); err != nil {
		return err
	}
	client, err := remote.Dial(ctx, g.conn, g.keys)
	if err != nil {
		return err
	}
	g.client = client
	return nil
}

func (g *qemuGuest) Exec(ctx context.Context, argv []string, stdout, stderr io.Writer) error {
	return g.client.Run(ctx, argv, nil, stdout, stderr)
}

// Stop asks the agent to switch the machine off. The answer is that the
// connection ends.
func (g *qemuGuest) Stop(ctx context.Context) error {
	defer g.release()
	defer g.vm.Stop()
	defer g.conn.Close() // gone by then, or not needed any more
	if g.client == nil {
		return nil
	}
	// What Run returns does not matter: only whether QEMU ends.
	_ = g.client.Run(ctx, []string{observe.AgentPath, observe.PowerOff}, nil, io.Discard, io.Discard)
	return g.vm.Wait(ctx)
}

func (g *qemuGuest) Wait(ctx context.Context) error { return g.vm.Wait(ctx) }

func (g *qemuGuest) Tail() []string { return g.vm.Tail() }

func (g *qemuGuest) Death() string { return g.vm.Death() }

func (g *qemuGuest) Args() []string { return g.vm.Args() }
