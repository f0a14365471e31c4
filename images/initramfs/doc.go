// Package initramfs builds the guest's file system as data: the agent, the
// kernel modules that the suite needs, and what one boot is told. No tool of
// the host takes part, and the same input gives the same bytes.
//
// An image is made of layers, each a complete cpio archive; the kernel unpacks
// one after the other. The agent's layer is the same for all kernels, the
// modules' layer depends on the kernel and is worth keeping (see Cache), and
// the boot's layer is made anew every time:
//
//	mods, err := initramfs.Modules(k.ModulesDir, k.Release, listing.Modules, false)
//	...
//	boot, err := initramfs.Boot(observe.Boot{HostKey: …, ClientKey: …})
//	...
//	err = initramfs.Assemble(w, initramfs.Agent(bin), mods.Layer, boot)
//
// All functions may be called concurrently.
package initramfs
