package sched

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/images/initramfs"
	"github.com/ctmatrix/ctmatrix/images/kernel/vmlinux"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/matrix"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/remote"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/splat"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/vm"
)

// QEMU boots guests in QEMU and speaks with them over SSH. It may be used
// concurrently.
type QEMU struct {
	program string           // name or path
	version string           // its version
	build   string           // what tells this build of it from others
	dir     string           // where verdicts on accelerators are kept
	guests  *savedGuests     // nil if guests are not saved
	seed    uint32           // of what a virtual machine draws
	cpus    *vm.CPUs         // that guests are pinned to
	devices []vm.Device      // of every guest
	verbose func(msg string) // told each QEMU's command line
	started func(came string, v *vm.VM)

	mu     sync.Mutex
	proofs map[vm.Accel]error // nil for what was seen to work
}

// QEMUOptions are what a QEMU is told.
type QEMUOptions struct {
	Program string           // name or path
	Cache   string           // directory in which saved guests and what is known of the host are kept
	Cold    bool             // boot every guest, save none
	Seed    uint32           // of what a virtual machine draws; 0 is vm's default
	Verbose func(msg string) // told each guest's command line
	// Started is given each virtual machine when it has started, to be measured, and
	// whether it is to "boot" or to "restore". It is called from several goroutines,
	// and may be nil.
	Started func(came string, v *vm.VM)
}

// NewQEMU finds a QEMU.
func NewQEMU(ctx context.Context, o QEMUOptions) (*QEMU, error) {
	program := o.Program
	var version string
	var sandbox, saves bool
	var noVersion, noSandbox, noSaves error
	var asked sync.WaitGroup
	asked.Go(func() { version, noVersion = vm.Version(ctx, program) })
	asked.Go(func() { sandbox, noSandbox = vm.HasSandbox(ctx, program) })
	if !o.Cold {
		asked.Go(func() { saves, noSaves = vm.HasSnapshots(ctx, program) })
	}
	asked.Wait()
	// Of a program that is no QEMU the first error says so.
	for _, err := range []error{noVersion, noSandbox, noSaves} {
		if err != nil {
			return nil, err
		}
	}
	build, err := vm.Build(program)
	if err != nil {
		return nil, err
	}
	cpus, err := vm.NewCPUs()
	if err != nil {
		return nil, err
	}
	q := &QEMU{
		program: program, version: version, build: build, dir: filepath.Join(o.Cache, "host"), cpus: cpus,
		seed: o.Seed, verbose: o.Verbose, started: o.Started, proofs: map[vm.Accel]error{},
	}
	if sandbox {
		q.devices = []vm.Device{vm.Sandbox{}}
	}
	if !saves {
		return q, nil
	}
	q.guests, err = openSaved(o.Cache)
	return q, err
}

// saves says whether guests on a machine are saved: their clock must stand still
// meanwhile.
func (q *QEMU) saves(g matrix.Guest) bool {
	return q.guests != nil && g.Clock == string(vm.Virtual)
}

// defaultMachine is the one that "auto" stands for.
//
// A microvm without ACPI boots 6.1 to init in 2.1 s of CPU, where q35 takes 3.2: it has
// less firmware, and no local timer, which the kernel spends a third of a boot to
// measure. But the timer that is left then can be set for 27 ms at most
// (clockevent_i8253_init), and there is no PCI for the channel; with ACPI and PCI a
// microvm takes as long as a q35. One without SATA, SMBus and SMM, other firmware
// (qboot) and pc save 0.1 to 0.4 s of 3.7, which is less than two boots differ by.
const defaultMachine = "q35"

// Describe implements Booter. It fails where no guest could be started.
func (q *QEMU) Describe(ctx context.Context, g matrix.Guest) (Machine, error) {
	m := Machine{QEMU: q.version, Build: q.build, Machine: g.Machine, Seed: cmp.Or(q.seed, vm.DefaultSeed)}
	if m.Machine == anyMachine {
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
	m.Restored = q.saves(g)
	if m.Restored {
		v.Devices = append(v.Devices, vm.SharedMemory{FD: 4, Size: observe.ChannelSize})
	} else {
		v.Devices = append(v.Devices, vm.SerialPort{Name: observe.PortName, FD: 4})
	}
	m.Args = v.Args()
	return m, nil
}

// Build implements Booter.
func (q *QEMU) Build() (version, build string) { return q.version, q.build }

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
		CPUs: g.CPUs, MemoryMB: mb, Pin: vm.AnyCPU, Seed: q.seed, Devices: slices.Clone(q.devices),
	}, nil
}

// Boot implements Booter.
func (q *QEMU) Boot(ctx context.Context, image Image) (Guest, error) {
	m, err := q.Describe(ctx, image.Machine)
	if err != nil {
		return nil, err
	}
	if m.Restored {
		return &restored{ctx: ctx, q: q, image: image, machine: m}, nil
	}
	g, err := q.boot(ctx, image, m, true, nil)
	if err != nil {
		return nil, err // and no Guest that holds nothing
	}
	return g, nil
}

// boot starts a guest that SSH reaches, with more devices than all have. Pinned,
// it is as repeatable as can be; otherwise the host runs it wherever it can.
func (q *QEMU) boot(ctx context.Context, image Image, m Machine, pinned bool, devices []vm.Device) (*qemuGuest, error) {
	v, err := q.machine(image.Machine, m)
	if err != nil {
		return nil, err
	}
	v.Devices = append(v.Devices, devices...)
	v.Append, v.Console = image.Args, image.Console
	keys, err := remote.NewKeys()
	if err != nil {
		return nil, err
	}
	g := &qemuGuest{vm: v, keys: keys, release: func() {}}
	if pinned {
		g.release = q.pin(v)
	}
	if err := q.start(ctx, g, image); err != nil {
		g.release()
		return nil, err
	}
	q.tell("boot", v)
	return g, nil
}

// tell tells of a machine that has started.
func (q *QEMU) tell(came string, v *vm.VM) {
	q.verbose(v.String())
	if q.started != nil {
		q.started(came, v)
	}
}

func (q *QEMU) start(ctx context.Context, g *qemuGuest, image Image) error {
	boot, err := initramfs.Boot(g.keys.Boot())
	if err != nil {
		return err
	}
	if err := load(g.vm, image, boot); err != nil {
		return err
	}
	if g.conn, err = g.vm.Port(observe.PortName); err != nil {
		return err
	}
	if err := g.vm.Start(ctx); err != nil {
		g.conn.Close() // never used
		return err
	}
	return nil
}

// load gives a machine the kernel of an image, without its wrapping where it can do
// without, and an initramfs of more layers and its own.
func load(v *vm.VM, image Image, more ...initramfs.Layer) error {
	v.Kernel = image.Kernel
	err := v.Unwrapped(func(w io.Writer) error { return vmlinux.Extract(image.Kernel, w) })
	if err != nil && !errors.Is(err, vmlinux.ErrWrapped) {
		return err
	}
	layers := slices.Concat(more, image.Layers) // those of the image may be compressed
	return v.Ramdisk(func(w io.Writer) error { return initramfs.Assemble(w, layers...) })
}

// pin has a guest of one CPU run on one of the host's until release is called:
// unpinned, some things come out differently now and then.
func (q *QEMU) pin(v *vm.VM) (release func()) {
	if v.CPUs != 1 {
		return func() {}
	}
	cpu := q.cpus.Take()
	v.Pin = cpu
	return func() { q.cpus.Give(cpu) }
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
	if err := come(ctx, g.vm); err != nil {
		return err
	}
	return phase(ctx, g.vm, "the agent did not answer", dialTime, func(ctx context.Context) (err error) {
		g.client, err = remote.Dial(ctx, g.conn, g.keys)
		return err
	})
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

func (g *qemuGuest) Splats() []splat.Splat { return g.vm.Splats() }

func (g *qemuGuest) Reset() bool { return g.vm.Reset() }

func (g *qemuGuest) Within(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	return g.vm.Within(ctx, limit)
}

func (g *qemuGuest) Interrupt(ctx context.Context) error { return g.vm.Interrupt(ctx) }

// Death returns the console line with which the kernel announced its end, or "".
func (g *qemuGuest) Death() string {
	if d := g.vm.Death(); d != nil {
		return d.Line
	}
	return ""
}

func (g *qemuGuest) Came() string { return "boot" }

func (g *qemuGuest) Args() []string { return g.vm.Args() }
