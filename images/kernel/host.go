package kernel

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// host is a machine whose installed kernels can be tested.
type host struct {
	root    string // where its files are
	running func() (string, error)
	open    func(name string) (*os.File, error)
}

var thisHost = host{root: "/", running: runningRelease, open: os.Open}

func runningRelease() (string, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "", fmt.Errorf("ask for the running kernel: %w", err)
	}
	return unix.ByteSliceToString(u.Release[:]), nil
}

// installedImages are the places of a kernel's image, %s being its release:
// where Debian and its kin, Arch and those that follow systemd's
// kernel-install(8) put it.
var installedImages = []string{"boot/vmlinuz-%s", "usr/lib/modules/%s/vmlinuz", "lib/modules/%s/vmlinuz"}

// find looks for an installed kernel: the running one where release is "".
func (h host) find(release, _ string) (localKernel, error) {
	what := "installed"
	if release == "" {
		what = "running"
		var err error
		if release, err = h.running(); err != nil {
			return localKernel{}, err
		}
	}
	what += " " + release
	image, err := h.image(what, release)
	if err != nil {
		return localKernel{}, fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	d := dirKernel{image: image, release: release}
	if d.modules, err = h.modules(what, release); err != nil {
		return localKernel{}, fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	d.config = h.config(d.modules, release)
	return d.local()
}

// config returns where the configuration of an installed kernel is, or "". The
// running one may hold its own.
func (h host) config(modules, release string) string {
	if name := filepath.Join(h.root, "boot/config-"+release); isRegular(name) {
		return name
	}
	if name := configOfModules(modules, release); name != "" {
		return name
	}
	name := filepath.Join(h.root, "proc/config.gz")
	if running, err := h.running(); err != nil || running != release || !isRegular(name) {
		return ""
	}
	return name
}

// image returns a kernel's image that can be read.
func (h host) image(what, release string) (string, error) {
	var looked []string
	locked := ""
	for _, form := range installedImages {
		name := filepath.Join(h.root, fmt.Sprintf(form, release))
		looked = append(looked, name)
		f, err := h.open(name)
		switch {
		case err == nil:
			return name, f.Close()
		case errors.Is(err, fs.ErrPermission) && locked == "":
			locked = name
		}
	}
	if locked != "" {
		return "", fmt.Errorf("the %s: this user may not read %s: run `sudo chmod a+r %s`, or copy it with its modules and write dir:", what, locked, locked)
	}
	advice := "in a container, mount the host's /boot and /lib/modules"
	if others := h.installed(); len(others) > 0 {
		advice = "there are host:" + strings.Join(others, ", host:")
	}
	return "", fmt.Errorf("no image of the %s: looked for %s; %s", what, strings.Join(looked, ", "), advice)
}

// installed returns the releases whose images are here, sorted.
func (h host) installed() []string {
	var out []string
	for _, form := range installedImages {
		before, after, _ := strings.Cut(form, "%s")
		// The pattern is well-formed.
		matches, _ := filepath.Glob(filepath.Join(escapeGlob(h.root), before+"*"+after))
		for _, m := range matches {
			name, err := filepath.Rel(h.root, m)
			rel := strings.TrimSuffix(strings.TrimPrefix(name, before), after)
			if err == nil && plainRelease(rel) {
				out = append(out, rel)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (h host) modules(what, release string) (string, error) {
	var looked []string
	for _, lib := range []string{"usr/lib/modules", "lib/modules"} {
		dir := filepath.Join(h.root, lib, release)
		if isDir(filepath.Join(dir, "kernel")) == nil {
			// Who walks through it does not follow links, and it may be one.
			return filepath.EvalSymlinks(dir)
		}
		looked = append(looked, dir)
	}
	return "", fmt.Errorf("no modules of the %s: looked for kernel/ below %s; install its package, or mount the host's /lib/modules", what, strings.Join(looked, ", "))
}
