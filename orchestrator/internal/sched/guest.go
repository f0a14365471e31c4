package sched

import (
	"context"
	"io"
	"time"

	"github.com/ctmatrix/ctmatrix/images/initramfs"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/matrix"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/splat"
)

// Image is what a guest boots, and how.
type Image struct {
	Kernel  string // path of the kernel's image
	Digest  string // of the kernel
	Layers  []initramfs.Layer
	Machine matrix.Guest
	Args    []string  // more kernel arguments
	Console io.Writer // takes what the guest prints
	Again   bool      // an earlier guest has booted it already, and Console has what that printed
}

// Booter starts guests.
type Booter interface {
	// Boot starts a guest and returns at once. Whoever gets a Guest must Stop
	// it.
	Boot(ctx context.Context, image Image) (Guest, error)
	// Describe says what guests of a machine run on, as far as it is known
	// before one is started.
	Describe(ctx context.Context, machine matrix.Guest) (Machine, error)
	// Build says which version of what starts guests, and what tells this build
	// of it from others.
	Build() (version, build string)
}

// Machine is what guests run on.
type Machine struct {
	QEMU    string // version
	Build   string // what tells this build of it from others
	Machine string
	Accel   string
	// Restored says that guests go on where one was saved.
	Restored bool
	Seed     uint32   // of what the virtual machine draws
	Args     []string // the virtual machine's arguments, as far as boots share them
}

// Guest is one booted kernel with the agent in it.
type Guest interface {
	// Ready waits until the agent can be spoken to, or the guest takes too long.
	Ready(ctx context.Context) error
	// Exec runs a command in the guest and waits for it.
	Exec(ctx context.Context, argv []string, stdout, stderr io.Writer) error
	// Stop ends the guest: asked politely if it still answers, by force if it
	// does not. It returns when nothing of it is left.
	Stop(ctx context.Context) error
	// Wait waits until the guest has ended of itself, or ctx has.
	Wait(ctx context.Context) error
	// Tail returns the last lines of the console.
	Tail() []string
	// Splats are what the kernel said of itself on the console, before it was saved
	// too, where it was.
	Splats() []splat.Splat
	// Reset reports whether a guest that has ended was reset: by itself, or by a
	// fault of which it could not say anything.
	Reset() bool
	// Within returns a context that ends, with a *vm.LateError for its cause, when the
	// guest has had so much time of its own. The caller cancels it.
	Within(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc)
	// Interrupt has a guest that hangs say where it is, which is its end.
	Interrupt(ctx context.Context) error
	// Came says how the guest came up: "boot" or "restore".
	Came() string
	// Args is the command line of the virtual machine.
	Args() []string
}
