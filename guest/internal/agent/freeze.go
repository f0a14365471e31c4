package agent

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// idlers are kernel threads that wake up though there is nothing to do, by the
// start of their names. kcompactd of 5.10 does it twice a second, with proactive
// compaction switched off too (kcompactd in mm/compaction.c), which was the whole
// cost of idle time there: five days took minutes.
var idlers = []string{"kcompactd"}

// freezer is where the controller of that name is mounted. It freezes kernel
// threads, too, if they let themselves be frozen.
const freezer = "/sys/fs/cgroup"

// freezeIdlers stops the idlers for good. A kernel without the controller goes on
// with them, and is only slower.
func freezeIdlers() error {
	err := unix.Mount("cgroup", freezer, "cgroup", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "freezer")
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	if err != nil {
		return err
	}
	group := filepath.Join(freezer, "idlers")
	if err := os.Mkdir(group, 0o755); err != nil {
		return err
	}
	comms, err := filepath.Glob("/proc/[0-9]*/comm")
	if err != nil {
		return err
	}
	for _, comm := range comms {
		name, err := os.ReadFile(comm)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) {
			continue // it has ended
		}
		if err != nil {
			return err
		}
		if !isIdler(name) {
			continue
		}
		pid := filepath.Base(filepath.Dir(comm))
		if err := os.WriteFile(filepath.Join(group, "tasks"), []byte(pid), 0); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(group, "freezer.state"), []byte("FROZEN"), 0)
}

func isIdler(comm []byte) bool {
	for _, name := range idlers {
		if strings.HasPrefix(string(bytes.TrimSpace(comm)), name) {
			return true
		}
	}
	return false
}
