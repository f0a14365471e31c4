package sched

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strings"
)

// FreeMemoryMB is how much memory the host can give to guests, in units of 2^20
// bytes (MemAvailable of /proc/meminfo).
func FreeMemoryMB() (int, error) {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0, fmt.Errorf("ask for free memory: %w", err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), "MemAvailable:"); ok {
			var kb int
			if _, err := fmt.Sscanf(value, "%d kB", &kb); err != nil {
				return 0, fmt.Errorf("read free memory from %q: %w", lines.Text(), err)
			}
			return kb >> 10, nil
		}
	}
	return 0, errors.Join(errors.New("/proc/meminfo has no MemAvailable"), lines.Err())
}
