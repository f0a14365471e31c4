// Package shell is a kernel to sit in front of: a guest with programs in it, a
// terminal that reaches it, and copies of directories. Nothing of it takes part
// in a run.
package shell

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ctmatrix/ctmatrix/images/initramfs"
	"github.com/ctmatrix/ctmatrix/images/kernel"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/matrix"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/remote"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/sched"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/vm"
)

// LeastMemory is what a guest with programs gets unless the user says otherwise,
// in units of 2^20 bytes. They take 56 of them, twice while the kernel unpacks
// them.
const LeastMemory = 512

// Options are what a guest is made of.
type Options struct {
	Kernel   *kernel.Kernel
	Programs initramfs.Layer
	Agent    []byte
	Modules  []string // that the image carries, with all that they need
	Machine  matrix.Guest
	Args     []string // more kernel arguments
	GDB      int      // port of QEMU's stub for a debugger, 0 for none
	ImageDir string   // cache of image layers
	// Check is initramfs.Cache's.
	Check func() error
}

// Guest is a guest that somebody looks around in.
type Guest struct {
	*sched.Opened
	modules []string // names of the files that the image has
}

// Open boots a guest, whose clock is the host's: a virtual one jumps while the
// guest idles, and so whenever a person thinks.
//
// It is booted and not restored. A saved guest waits for a job in shared memory,
// on a clock that can be made to follow the host's but counts instructions: it
// falls behind where the host emulates slower than it counts. It has neither a
// port nor programs, and its SSH keys would have to be kept with it.
func Open(ctx context.Context, q *sched.QEMU, o Options) (*Guest, error) {
	cache := initramfs.Cache{Dir: o.ImageDir, Check: o.Check, Signed: sched.SignedOnly(o.Kernel)}
	modules, err := cache.Modules(o.Kernel.Digest, o.Kernel.ModulesDir, o.Kernel.Release, o.Modules)
	if err != nil {
		return nil, err
	}
	aliases, err := initramfs.Aliases(o.Kernel.ModulesDir, modules.Manifest)
	if err != nil {
		return nil, err
	}
	agent, err := initramfs.Agent(o.Agent)
	if err != nil {
		return nil, err
	}
	image := sched.Image{
		Kernel: o.Kernel.Image, Digest: o.Kernel.Digest, Machine: o.Machine, Args: slices.Clone(o.Args),
		Layers: []initramfs.Layer{o.Programs, modules.Layer, aliases, agent},
	}
	image.Machine.Clock = string(vm.Host)
	var devices []vm.Device
	if o.GDB != 0 {
		devices = append(devices, vm.GDBStub{Port: o.GDB})
		image.Args = append(image.Args, "nokaslr") // or symbols are not where they say
	}
	opened, err := q.Open(ctx, image, devices...)
	if err != nil {
		return nil, err
	}
	g := &Guest{Opened: opened}
	for _, f := range modules.Manifest.Files {
		g.modules = append(g.modules, f.Name)
	}
	return g, nil
}

// Modules lists the modules that the image has as files, dependencies before
// dependents.
func (g *Guest) Modules() []string { return g.modules }

// maxModules bounds the guest's list of modules.
const maxModules = 256 << 10

// Loaded lists the modules that are loaded, as far as they are of the image, in
// its order.
func (g *Guest) Loaded(ctx context.Context) ([]string, error) {
	out := &bounded{left: maxModules}
	if err := run(ctx, g.Client(), nil, out, "cat", "/proc/modules"); err != nil {
		return nil, fmt.Errorf("ask which modules are loaded: %w", err)
	}
	return namesIn(out.String(), g.modules), nil
}

// namesIn returns those of names that begin a line of text.
func namesIn(text string, names []string) []string {
	said := map[string]bool{}
	for line := range strings.Lines(text) {
		name, _, _ := strings.Cut(line, " ")
		said[name] = true
	}
	var known []string
	for _, n := range names {
		if said[n] {
			known = append(known, n)
		}
	}
	return known
}

// Load has modules loaded, by their names or aliases.
func (g *Guest) Load(ctx context.Context, names []string) error {
	if err := run(ctx, g.Client(), nil, nil, append([]string{"modprobe", "--"}, names...)...); err != nil {
		return fmt.Errorf("load modules: %w", err)
	}
	return nil
}

// LoadAll has all modules loaded that the kernel lets be, as the suite does
// before its first probe.
func (g *Guest) LoadAll(ctx context.Context) error {
	err := g.Load(ctx, g.modules)
	if _, ran := Status(err); ran && ctx.Err() == nil {
		return nil // some could not be
	}
	return err
}

// Symbols says where a debugger finds the symbols of a kernel, and which package
// would put them there; either is "" where that is for the user to know.
func Symbols(k *kernel.Kernel) (file, pkg string) {
	switch k.Source {
	case kernel.SchemeTree:
		if ref, err := kernel.ParseRef(k.Ref); err == nil {
			return filepath.Join(ref.Value, "vmlinux"), ""
		}
	case kernel.SchemeDebian:
		return "/usr/lib/debug/boot/vmlinux-" + k.Release, "linux-image-" + k.Release + "-dbg"
	}
	return "", ""
}

// Client is what commands are run by.
func (g *Guest) Client() *remote.Client { return g.Opened.Client() }
