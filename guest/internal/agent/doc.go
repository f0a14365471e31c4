// Package agent is what runs in the guest besides the suite and the first process:
// a server through which the host drives the guest. In a guest with a channel,
// memory that the host shares, the server runs the one job that comes through it;
// such a guest is saved before the job and restored for it. In any other it speaks
// SSH on a virtio port.
//
// Init, which is package first, and the server are two processes. Init does nothing
// but start the server and reap: it is the parent of every orphan, and as it has no
// other children, waiting for any child cannot take an exit status away from
// os/exec, which the server uses freely. When the server ends, or crashes, init says
// so and powers off.
//
// The guest's clock may be virtual and jump while the guest is idle: an hour may
// pass while the host looks away for a second. So nothing here has a deadline on
// the host's part; the host keeps the deadlines, and kills guests. The exception
// is a guest that waits for its job: it spins, so that its clock cannot jump, and
// gives up at the moment at which the job would begin.
package agent

// Modules are the kernel modules that the agent needs for its port.
var Modules = []string{"virtio_pci", "virtio_mmio", "virtio_console"}
