package initramfs

import (
	"github.com/ctmatrix/ctmatrix/guest/observe"
)

// ModuleLayer is the layer with a kernel's modules and their manifest.
type ModuleLayer struct {
	Layer
	Manifest observe.Manifest
}

// Modules makes the layer of the modules called want, and of what these need,
// from a kernel's modules directory: the one that holds kernel/. Modules may be
// compressed there; they are not in the layer. What the kernel does not have as
// a file is noted in the manifest and is no error.
func Modules(dir, release string, want []string) (*ModuleLayer, error) { return nil, nil }

// Cache keeps module layers in a directory, which several processes may share.
type Cache struct{ Dir string }

// Modules is like the function of that name. Digest identifies the kernel: two
// calls with the same digest and list must mean the same modules.
func (c Cache) Modules(digest, dir, release string, want []string) (*ModuleLayer, error) {
	return Modules(dir, release, want)
}
