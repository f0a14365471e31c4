package lab

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// CPUs lists the CPUs that the calling thread may run on.
func CPUs() ([]int, error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil, fmt.Errorf("list CPUs: %w", err)
	}
	var cpus []int
	for cpu := 0; len(cpus) < set.Count(); cpu++ {
		if set.IsSet(cpu) {
			cpus = append(cpus, cpu)
		}
	}
	return cpus, nil
}

// AtOnce does each piece of work once a round, on a CPU of its own, and has all of
// them begin a round together. The work is done in the initial network namespace.
// It needs as many CPUs as there are pieces.
func AtOnce(cpus []int, rounds int, work ...func(round int) error) error {
	if len(cpus) < len(work) {
		return fmt.Errorf("%d CPUs for %d things at once", len(cpus), len(work))
	}
	var begun atomic.Int64
	errs := make([]error, len(work))
	var all sync.WaitGroup
	for i, do := range work {
		all.Go(func() {
			runtime.LockOSThread() // for good: the thread ends with its affinity
			errs[i] = pin(cpus[i])
			for round := range rounds {
				begun.Add(1)
				for begun.Load() < int64((round+1)*len(work)) {
				}
				errs[i] = errors.Join(errs[i], do(round))
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// OnEach does something on each of the CPUs, one after the other, on the calling
// thread, which the caller has locked. What a packet's way through the box left on
// a CPU is taken up before what follows on it.
func OnEach(cpus []int, do func() error) error {
	for _, cpu := range cpus {
		if err := pin(cpu); err != nil {
			return err
		}
		if err := do(); err != nil {
			return err
		}
	}
	return pin(cpus...)
}

// pin has the calling thread run on these CPUs only.
func pin(cpus ...int) error {
	var set unix.CPUSet
	for _, cpu := range cpus {
		set.Set(cpu)
	}
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("run on CPUs %v: %w", cpus, err)
	}
	return nil
}
