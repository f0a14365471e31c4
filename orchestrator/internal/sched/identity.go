package sched

import (
	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/agentbin"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
)

// identify fills in the machine and the cell's id, and returns what the id stands
// for.
func (s *Scheduler) identify(cell *results.Cell, spec Cell, m Machine) results.Identity {
	cell.Guest = results.Guest{
		QEMU: m.QEMU, Machine: m.Machine, Accel: m.Accel, Clock: spec.Guest.Clock,
		CPUs: spec.Guest.CPUs, Memory: spec.Guest.Memory, Agent: agentbin.Digest(s.Agent),
		Restored: m.Restored, Fresh: s.FreshGuest, Seed: m.Seed, Shuffle: s.Shuffle,
	}
	g := cell.Guest
	id := results.Identity{
		Schema: results.Schema, Protocol: observe.Protocol, Kernel: cell.Kernel.Digest, Agent: g.Agent,
		QEMU: g.QEMU, Build: m.Build, Machine: g.Machine, Accel: g.Accel, Clock: g.Clock, CPUs: g.CPUs, Memory: g.Memory,
		Seed: g.Seed, Args: m.Args, KernelArgs: spec.Variant.Args,
		Restored: g.Restored, Shuffle: g.Shuffle, Fresh: g.Fresh,
	}
	cell.ID = id.ID()
	return id
}
