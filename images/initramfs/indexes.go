package initramfs

import (
	"path"
	"strings"

	"github.com/ctmatrix/ctmatrix/images/kernel/unpack"
)

// moduleOf is the name of the module that a path in one of the kernel's indexes
// or in its directory stands for, or "".
func moduleOf(name string) string {
	base, ok := strings.CutSuffix(path.Base(unpack.Plain(name)), ".ko")
	if !ok || !validName(base) {
		return ""
	}
	return canonical(base)
}

// parseBuiltin reads modules.builtin: a path a line. It adds the names of the
// modules to set.
func parseBuiltin(data []byte, set map[string]bool) {
	for line := range strings.Lines(string(data)) {
		if m := moduleOf(strings.TrimSpace(line)); m != "" {
			set[m] = true
		}
	}
}

// parseBuiltinModinfo reads modules.builtin.modinfo: strings of the form
// module.key=value, each ended by a zero byte. It adds names and aliases of the
// modules to set.
func parseBuiltinModinfo(data []byte, set map[string]bool) {
	for _, field := range strings.Split(string(data), "\x00") {
		key, value, ok := strings.Cut(field, "=")
		if !ok {
			continue
		}
		module, key, ok := strings.Cut(key, ".")
		if !ok || !validName(module) {
			continue
		}
		set[canonical(module)] = true
		if key == "alias" {
			set[canonical(value)] = true
		}
	}
}

// parseDep reads modules.dep: "path: path path", the module and all that must
// be loaded for it, what is to be loaded last first.
func parseDep(data []byte) map[string][]string {
	deps := map[string][]string{}
	for line := range strings.Lines(string(data)) {
		head, tail, ok := strings.Cut(strings.TrimSpace(line), ":")
		module := moduleOf(head)
		if !ok || module == "" {
			continue
		}
		var needs []string
		for _, word := range strings.Fields(tail) {
			if m := moduleOf(word); m != "" && m != module {
				needs = append(needs, m)
			}
		}
		deps[module] = needs
	}
	return deps
}
