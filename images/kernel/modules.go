package kernel

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"strings"
)

// How a kernel has a module.
const (
	ModuleFile    = "module"
	ModuleBuiltin = "built in"
)

// maxBuiltin bounds modules.builtin; 7.3 of Debian has 9 kB.
const maxBuiltin = 16 << 20

// Modules lists the kept modules and those that are part of the image, by the
// names under which they are installed, "kernel/net/netfilter/nf_nat.ko": as
// ModuleFile or ModuleBuiltin. Of the latter all are told, kept or not.
func (k *Kernel) Modules() (map[string]string, error) {
	out := map[string]string{}
	err := filepath.WalkDir(k.ModulesDir, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || path.Ext(name) != ".ko" {
			return err
		}
		rel, err := filepath.Rel(k.ModulesDir, name)
		out[filepath.ToSlash(rel)] = ModuleFile
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list modules of %s: %w", k.Release, err)
	}
	builtin, err := readSmall(filepath.Join(k.ModulesDir, "modules.builtin"), maxBuiltin)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list modules of %s: %w", k.Release, err)
	}
	for line := range strings.Lines(string(builtin)) {
		if name := strings.TrimSpace(line); path.Ext(name) == ".ko" && fs.ValidPath(name) {
			out[name] = ModuleBuiltin
		}
	}
	return out, nil
}
