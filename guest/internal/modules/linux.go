package modules

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ctmatrix/ctmatrix/guest/internal/kfile"
)

// linux is the running kernel.
type linux struct {
	cmdline string
	dir     *kfile.Dir      // of the modules; nil if it cannot be watched
	live    map[string]bool // that were loaded since one last came or went
}

func newLinux(cmdline string) *linux {
	dir, err := kfile.OpenDir("/sys/module")
	if err != nil {
		dir = nil // every module is looked for each time
	}
	return &linux{cmdline: cmdline, dir: dir, live: map[string]bool{}}
}

func (*linux) load(file, params string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close() // only read
	err = unix.FinitModule(int(f.Fd()), params, 0)
	if errors.Is(err, unix.EEXIST) {
		return nil
	}
	return os.NewSyscallError("finit_module", err)
}

func (*linux) unload(name string) error {
	err := unix.DeleteModule(name, unix.O_NONBLOCK)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return os.NewSyscallError("delete_module", err)
}

func (l *linux) loaded(name string) bool {
	if l.changed() {
		clear(l.live)
	}
	if l.live[name] {
		return true
	}
	state, err := kfile.Read(sysPath(name, "initstate"))
	if err != nil || strings.TrimSpace(string(state)) != "live" {
		return false
	}
	l.live[name] = true
	return true
}

// changed reports whether a module may have come or gone.
func (l *linux) changed() bool {
	if l.dir == nil {
		return true
	}
	changed, err := l.dir.Changed()
	return changed || err != nil
}

func (*linux) holders(name string) ([]string, error) {
	entries, err := os.ReadDir(sysPath(name, "holders"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var names []string
	for _, e := range entries { // sorted
		names = append(names, e.Name())
	}
	return names, err
}

// patience is how long a module's users have to give it back, in guest time:
// the kernel does that after a grace period of RCU, from a work queue.
const patience = 5 * time.Second

func (*linux) unused(name string) error {
	var count string
	for waited := time.Duration(0); waited < patience; waited += 10 * time.Millisecond {
		data, err := kfile.Read(sysPath(name, "refcnt"))
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it is gone, or the kernel does not count
		}
		if err != nil {
			return err
		}
		if count = strings.TrimSpace(string(data)); count == "0" {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return fmt.Errorf("still in use %s times after %v", count, patience)
}

func sysPath(name, file string) string { return "/sys/module/" + name + "/" + file }

// params returns what stands as name.parameter=value on the kernel's command
// line, as modprobe does: for a module that is not part of it, the kernel itself
// does not look there.
func (l *linux) params(name string) string { return paramsOf(l.cmdline, name) }

func paramsOf(cmdline, name string) string {
	var params []string
	for _, word := range strings.Fields(cmdline) {
		module, param, ok := strings.Cut(word, ".")
		if ok && canonical(module) == name && !strings.ContainsRune(module, '=') {
			params = append(params, param)
		}
	}
	return strings.Join(params, " ")
}
