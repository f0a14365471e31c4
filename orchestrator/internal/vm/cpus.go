package vm

import (
	"fmt"
	"sync"

	"golang.org/x/sys/unix"
)

// CPUs hands out the host's CPUs, the least used first. Guests that run beside
// each other then do not push each other around; one that stays on its CPU is
// restored to the same state every time. It may be used concurrently.
type CPUs struct {
	mu   sync.Mutex
	used map[int]int
}

// NewCPUs knows the CPUs that this process may use.
func NewCPUs() (*CPUs, error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil, fmt.Errorf("ask which CPUs may be used: %w", err)
	}
	c := &CPUs{used: map[int]int{}}
	for cpu := 0; len(c.used) < set.Count(); cpu++ {
		if set.IsSet(cpu) {
			c.used[cpu] = 0
		}
	}
	return c, nil
}

// Take returns the least used CPU; of several, the first.
func (c *CPUs) Take() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	best := -1
	for cpu, n := range c.used {
		if best < 0 || n < c.used[best] || n == c.used[best] && cpu < best {
			best = cpu
		}
	}
	c.used[best]++
	return best
}

// Give gives a CPU back.
func (c *CPUs) Give(cpu int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.used[cpu]--
}
