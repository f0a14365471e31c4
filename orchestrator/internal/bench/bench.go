// Package bench measures how fast ctmatrix is, against the limit: a bare boot of the
// same kernel on the same machine. What is measured is plain data, judged and
// printed without a guest.
package bench

import (
	"cmp"
	"slices"
	"time"
)

// Cost is what something took.
type Cost struct {
	CPU  time.Duration `json:"cpu_ns"` // of QEMU, and for a suite of all QEMUs that it needed
	Wall time.Duration `json:"wall_ns"`
}

// least is the cheapest of several: what else runs on the host only adds to it.
func least(costs []Cost) Cost {
	return slices.MinFunc(costs, func(a, b Cost) int { return cmp.Compare(a.CPU, b.CPU) })
}

// Kernel is what was measured of one kernel.
type Kernel struct {
	Label   string `json:"kernel"`
	Version string `json:"version"`
	Error   string `json:"error,omitempty"` // why it was not measured to the end

	Bare     Cost `json:"bare"`      // without any kernel argument
	BareArgs Cost `json:"bare_args"` // with those of guests
	Boot     Cost `json:"boot"`      // until the agent is ready and its guest saved
	Cold     Cost `json:"cold"`      // the suite, with that boot and a restore
	Snapshot Cost `json:"snapshot"`  // the suite, with a restore only

	Probes int           `json:"probes"` // that were asked
	Whole  bool          `json:"whole"`  // whether those are all there are
	Slow   []Probe       `json:"slowest"`
	Days   time.Duration `json:"five_days_wall_ns,omitempty"` // of DaysProbe, 0 where it was not asked

	Resident   int64         `json:"resident_bytes"` // most of QEMU's memory in RAM, of a restored guest
	RAM        int64         `json:"ram_bytes"`      // of the saved guest's memory, on the disk
	Image      int64         `json:"image_bytes"`    // of the initramfs
	ImageBuilt time.Duration `json:"image_built_ns"` // from the store's files, once for a kernel and an agent
	ImageKept  time.Duration `json:"image_kept_ns"`  // from the layers in the cache, for each boot
}

// Probe is what one probe took of the host.
type Probe struct {
	Name string `json:"probe"`
	Cost
	First bool `json:"first,omitempty"` // of its guest: the restore is in it
}

// DaysProbe waits for five days of the guest's.
const DaysProbe = "timeouts/tcp-established"

// slowest is how many probes are told.
const slowest = 10

// slow are the probes that took the most CPU, the slowest first.
func slow(all []Probe) []Probe {
	all = slices.Clone(all)
	slices.SortStableFunc(all, func(a, b Probe) int { return cmp.Compare(b.CPU, a.CPU) })
	return all[:min(len(all), slowest)]
}

// Matrix is what was measured of all kernels together.
type Matrix struct {
	Kernels int           `json:"kernels"`
	One     time.Duration `json:"jobs1_ns"` // wall, from saved guests, one at a time
	Two     time.Duration `json:"jobs2_ns"` // two at a time
	Cold    time.Duration `json:"cold_ns"`  // wall, one at a time, each booted
	Cached  time.Duration `json:"cached_ns"`
	Boots   int           `json:"cached_boots"` // QEMUs that the cached run started
}

// perMinute is how many kernels a minute are measured.
func (m Matrix) perMinute(wall time.Duration) float64 {
	if wall <= 0 {
		return 0
	}
	return float64(m.Kernels) / wall.Minutes()
}

// efficiency is how much of two CPUs two jobs use: 1 where they take half the time;
// 0 where that cannot be said, of a single kernel.
func (m Matrix) efficiency() float64 {
	if m.Two <= 0 || m.Kernels < 2 {
		return 0
	}
	return m.One.Seconds() / (2 * m.Two.Seconds())
}

// PoolKernels is the size of the pool that the goal for one is about.
const PoolKernels = 70

// pool guesses how long a pool takes at two jobs, each kernel booted.
func (m Matrix) pool() time.Duration {
	if m.efficiency() == 0 {
		return 0
	}
	each := m.Cold.Seconds() / float64(m.Kernels)
	return time.Duration(PoolKernels * each / (2 * m.efficiency()) * float64(time.Second))
}

// Report is what a bench found.
type Report struct {
	Host    Host     `json:"host"`
	Kernels []Kernel `json:"kernels"`
	Matrix  Matrix   `json:"matrix"`
}

// Host is what it ran on.
type Host struct {
	CPUs int     `json:"cpus"`
	QEMU string  `json:"qemu"`
	Load float64 `json:"load"` // of the last minute, when the bench began
}

// ratio is by how much a is dearer than b, 0 where that cannot be said.
func ratio(a, b Cost) float64 {
	if b.CPU <= 0 {
		return 0
	}
	return a.CPU.Seconds() / b.CPU.Seconds()
}
