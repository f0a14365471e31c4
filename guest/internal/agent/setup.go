package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// mounts are made before anything else, in order. A kernel may be built without
// debugfs, and without pseudo-terminals, which only a person at a shell misses.
var mounts = []struct {
	source, target, fstype string
	flags                  uintptr
	data                   string
}{
	{"proc", "/proc", "proc", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, ""},
	{"sysfs", "/sys", "sysfs", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, ""},
	{"devtmpfs", "/dev", "devtmpfs", unix.MS_NOSUID, "mode=0755"},
	{"debugfs", "/sys/kernel/debug", "debugfs", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, ""},
	{"devpts", "/dev/pts", "devpts", unix.MS_NOSUID | unix.MS_NOEXEC, "mode=0620,ptmxmode=0666"},
	{"tmpfs", "/run", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=0755"},
	{"tmpfs", "/tmp", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=1777"},
}

// settings make a guest repeatable, and cheap while it idles. They are written
// where the kernel has them. Counts are of wakeups in an idle hour.
var settings = []struct{ path, value, why string }{
	{"/proc/sys/kernel/panic_on_oops", "1", "after an oops nothing that is observed can be trusted"},
	{"/proc/sys/kernel/hung_task_timeout_secs", "0", "a clock that jumps makes every waiting task look hung"},
	{"/proc/sys/kernel/watchdog", "0", "the same goes for CPUs"},
	{"/proc/sys/vm/stat_interval", "3600", "statistics are folded every second"},
	{"/sys/module/damon_stat/parameters/enabled", "N", "accesses to memory are sampled all the time"},
	{"/sys/kernel/debug/sched/fair_server/cpu0/runtime", "0", "6.12 and 7.3 time every burst of work against starving real-time tasks: 1000"},
	{"/proc/sys/net/ipv4/neigh/default/interval_probe_time_ms", aDay, "managed neighbours, of which there are none, are probed every five seconds: 600"},
	{"/proc/sys/net/ipv6/neigh/default/interval_probe_time_ms", aDay, "the same"},
	{"/proc/sys/net/ipv4/neigh/default/base_reachable_time_ms", aDay, "what neighbours there are is looked through twice in this time: 240"},
	{"/proc/sys/net/ipv6/neigh/default/base_reachable_time_ms", aDay, "the same"},
}

const aDay = "86400000" // in milliseconds

// setup turns the bare kernel into a system in which programs can run.
func setup() error {
	for _, m := range mounts {
		if m.fstype == "debugfs" || m.fstype == "devpts" {
			known, err := os.ReadFile("/proc/filesystems")
			if err != nil {
				return err
			}
			if !slices.Contains(strings.Fields(string(known)), m.fstype) {
				continue
			}
		}
		if err := os.MkdirAll(m.target, 0o755); err != nil {
			return err
		}
		// devtmpfs may be there already, if the kernel was built to mount it.
		if err := unix.Mount(m.source, m.target, m.fstype, m.flags, m.data); err != nil && err != unix.EBUSY {
			return fmt.Errorf("mount %s: %w", m.target, err)
		}
	}
	for _, s := range settings {
		if err := os.WriteFile(s.path, []byte(s.value), 0); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("set %s: %w", s.path, err)
		}
	}
	if err := freezeIdlers(); err != nil {
		return fmt.Errorf("freeze kernel threads: %w", err)
	}
	if err := unix.Sethostname([]byte("ctmatrix")); err != nil {
		return os.NewSyscallError("sethostname", err)
	}
	if err := linkUp("lo"); err != nil {
		return fmt.Errorf("set lo up: %w", err)
	}
	return nil
}

// linkUp sets a link of the initial namespace up.
func linkUp(name string) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	req, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, req); err != nil {
		return os.NewSyscallError("ioctl SIOCGIFFLAGS", err)
	}
	req.SetUint16(req.Uint16() | unix.IFF_UP)
	return os.NewSyscallError("ioctl SIOCSIFFLAGS", unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, req))
}
