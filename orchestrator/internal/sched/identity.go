package sched

import (
	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/images/initramfs"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/agentbin"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
)

// Identity is that of a cell whose kernel has a digest, on a machine.
func (s *Scheduler) Identity(digest string, spec Cell, m Machine) results.Identity {
	return results.Identity{
		Schema: results.Schema, Protocol: observe.Protocol, Kernel: digest, Agent: s.agentDigest(),
		Image: initramfs.Version + " " + savedVersion,
		QEMU:  m.QEMU, Build: m.Build, Machine: m.Machine, Accel: m.Accel,
		Clock: spec.Guest.Clock, CPUs: spec.Guest.CPUs, Memory: spec.Guest.Memory,
		Seed: m.Seed, Args: m.Args, KernelArgs: spec.Variant.Args,
		Restored: m.Restored, Shuffle: s.Shuffle, Fresh: s.FreshGuest,
	}
}

// agentDigest identifies the agent, which is hashed once for all cells.
func (s *Scheduler) agentDigest() string {
	s.hash.Do(func() { s.digest = agentbin.Digest(s.Agent) })
	return s.digest
}

// identify fills in the machine and the cell's id, and returns what the id stands
// for.
func (s *Scheduler) identify(cell *results.Cell, spec Cell, m Machine) results.Identity {
	id := s.Identity(cell.Kernel.Digest, spec, m)
	cell.ID = id.ID()
	cell.Guest = results.Guest{
		QEMU: id.QEMU, Machine: id.Machine, Accel: id.Accel, Clock: id.Clock, CPUs: id.CPUs, Memory: id.Memory,
		Agent: id.Agent, Restored: id.Restored, Fresh: id.Fresh, Captured: s.Capture, Seed: id.Seed, Shuffle: id.Shuffle,
	}
	return id
}
