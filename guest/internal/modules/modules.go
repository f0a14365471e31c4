// Package modules loads and unloads the kernel modules of the guest's image.
// There is no modprobe in the guest: order and dependencies come from the
// manifest that the host put beside the modules.
package modules

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/ctmatrix/ctmatrix/guest/observe"
)

// ErrMissing is wrapped by errors about modules that the kernel or the image
// does not have.
var ErrMissing = errors.New("no such module")

// ErrBuiltin is wrapped by errors about unloading what is part of the kernel.
var ErrBuiltin = errors.New("part of the kernel")

// Loader loads modules of one image. It may be used concurrently.
type Loader struct {
	kernel   kernel
	manifest observe.Manifest
	files    map[string]observe.ManifestFile
	place    map[string]string // of modules without a file: the one they are in, "" for the kernel

	mu     sync.Mutex
	failed map[string]error // what the last attempt to load a module said
}

// kernel is what a loader needs of the kernel; a table of fakes stands in for it
// in tests.
type kernel interface {
	// load loads a module file with parameters.
	load(file, params string) error
	unload(name string) error
	// loaded reports whether a module is loaded and ready.
	loaded(name string) bool
	// holders lists the modules that use a module.
	holders(name string) ([]string, error)
	// unused waits until nothing refers to a module.
	unused(name string) error
	// params is what the kernel's command line says for a module.
	params(name string) string
}

// Open reads the manifest of the image that the agent runs from.
func Open() (*Loader, error) {
	data, err := os.ReadFile(observe.ManifestPath)
	if err != nil {
		return nil, fmt.Errorf("read manifest of modules: %w", err)
	}
	cmdline, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return nil, fmt.Errorf("read the kernel's command line: %w", err)
	}
	return parse(data, newLinux(string(cmdline)))
}

func parse(data []byte, k kernel) (*Loader, error) {
	l := &Loader{kernel: k, files: map[string]observe.ManifestFile{}, place: map[string]string{}, failed: map[string]error{}}
	if err := json.Unmarshal(data, &l.manifest); err != nil {
		return nil, fmt.Errorf("parse manifest of modules: %w", err)
	}
	for _, f := range l.manifest.Files {
		if f.File != filepath.Base(f.File) || f.File == "." || f.File == ".." || f.File == "/" {
			return nil, fmt.Errorf("parse manifest of modules: file %q of %s is not a base name", f.File, f.Name)
		}
		l.files[f.Name] = f
	}
	for _, name := range l.manifest.Builtin {
		l.place[name] = ""
	}
	for _, m := range l.manifest.Merged {
		if _, ok := l.files[m.Into]; !ok {
			return nil, fmt.Errorf("parse manifest of modules: %s is part of %s, which is no file", m.Name, m.Into)
		}
		l.place[m.Name] = m.Into
	}
	return l, nil
}

// Has reports whether the kernel has a module, in whatever form.
func (l *Loader) Has(name string) bool {
	name = canonical(name)
	_, file := l.files[name]
	_, other := l.place[name]
	return file || other
}

// Load loads modules by name and what they depend on. One that is there
// already, or is part of the kernel, is no error; the error names the first
// that cannot be had and why, and is ErrMissing where there is none.
func (l *Loader) Load(names ...string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, name := range names {
		if err := l.load(canonical(name), map[string]bool{}); err != nil {
			return err
		}
	}
	return nil
}

func (l *Loader) load(name string, visited map[string]bool) error {
	if visited[name] {
		return nil
	}
	visited[name] = true
	if into, ok := l.place[name]; ok {
		if into == "" {
			return nil
		}
		return l.load(into, visited)
	}
	f, ok := l.files[name]
	if !ok {
		return l.missing(name)
	}
	if l.kernel.loaded(name) {
		return nil
	}
	// A dependency that fails is no failure yet: it may be one that the module
	// only likes to find.
	var amiss error
	for _, d := range f.Deps {
		if err := l.load(d, visited); err != nil && amiss == nil {
			amiss = err
		}
	}
	err := l.kernel.load(filepath.Join(observe.ModuleDir, f.File), l.kernel.params(name))
	switch {
	case err != nil && amiss != nil:
		err = fmt.Errorf("load %s: %w (%w)", name, err, amiss)
	case err != nil:
		err = fmt.Errorf("load %s: %w", name, err)
	}
	l.failed[name] = err
	return err
}

// missing says that there is no such module, and what the kernel was built
// without.
func (l *Loader) missing(name string) error {
	err := fmt.Errorf("%s: %w in %s", name, ErrMissing, cmp.Or(l.manifest.Release, "this kernel"))
	if option := Option(name); option != "" {
		return fmt.Errorf("%w, built without %s", err, option)
	}
	return err
}

// Unload unloads a module after everything that uses it. One that is not
// loaded is no error. A module that is in use by something else than modules is
// waited for briefly: rules and namespaces give theirs back in the background.
func (l *Loader) Unload(name string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	name = canonical(name)
	if into, ok := l.place[name]; ok && into == "" {
		return fmt.Errorf("unload %s: %w", name, ErrBuiltin)
	}
	return l.unload(name, map[string]bool{})
}

func (l *Loader) unload(name string, visited map[string]bool) error {
	if visited[name] || !l.kernel.loaded(name) {
		return nil
	}
	visited[name] = true
	users, err := l.kernel.holders(name)
	if err != nil {
		return fmt.Errorf("unload %s: %w", name, err)
	}
	for _, u := range users {
		if err := l.unload(u, visited); err != nil {
			return err
		}
	}
	if err := l.kernel.unused(name); err != nil {
		return fmt.Errorf("unload %s: %w", name, err)
	}
	if err := l.kernel.unload(name); err != nil {
		return fmt.Errorf("unload %s: %w", name, err)
	}
	return nil
}

// States lists what became of every module of the manifest that was wanted by
// name, sorted; without those that nothing has asked for yet.
func (l *Loader) States() []observe.Module {
	l.mu.Lock()
	defer l.mu.Unlock()
	var states []observe.Module
	for _, f := range l.manifest.Files {
		if f.Wanted {
			if s, ok := l.state(f.Name); ok {
				states = append(states, s)
			}
		}
	}
	for _, name := range l.manifest.Builtin {
		states = append(states, observe.Module{Name: name, State: observe.ModuleBuiltin})
	}
	for _, m := range l.manifest.Merged {
		if s, ok := l.state(m.Into); ok {
			s.Name, s.Note = m.Name, cmp.Or(s.Note, "part of "+m.Into)
			states = append(states, s)
		}
	}
	for _, name := range l.manifest.Missing {
		states = append(states, observe.Module{Name: name, State: observe.ModuleMissing, Note: ErrMissing.Error()})
	}
	slices.SortFunc(states, func(a, b observe.Module) int { return strings.Compare(a.Name, b.Name) })
	return states
}

// state is that of a file; false if nothing has asked for it.
func (l *Loader) state(name string) (observe.Module, bool) {
	if l.kernel.loaded(name) {
		return observe.Module{Name: name, State: observe.ModuleLoaded}, true
	}
	if err := l.failed[name]; err != nil {
		return observe.Module{Name: name, State: observe.ModuleFailed, Note: err.Error()}, true
	}
	return observe.Module{}, false
}

// canonical is the kernel's own spelling of a module's name.
func canonical(name string) string { return strings.ReplaceAll(name, "-", "_") }
