package initramfs

import (
	"encoding/json"
	"fmt"
	"path"
	"slices"

	"github.com/ctmatrix/ctmatrix/guest/observe"
)

// ModuleLayer is the layer with a kernel's modules and their manifest.
type ModuleLayer struct {
	Layer
	Manifest observe.Manifest
}

// Modules makes the layer of the modules called want, and of what these need,
// from a kernel's modules directory: the one that holds kernel/. Modules may be
// compressed there, which they are not in the layer, and signed, which they are
// there only if that is asked for. What the kernel does not have as a file is noted
// in the manifest and is no error.
func Modules(dir, release string, want []string, signed bool) (*ModuleLayer, error) {
	want, err := canonicalList(want)
	if err != nil {
		return nil, err
	}
	t, err := openTree(dir)
	if err != nil {
		return nil, err
	}
	c := closure{tree: t, signed: signed, manifest: observe.Manifest{Release: release}, visited: map[string]bool{}}
	for _, name := range want {
		if err := c.want(name); err != nil {
			return nil, err
		}
	}
	for i := range c.manifest.Files {
		_, c.manifest.Files[i].Wanted = slices.BinarySearch(want, c.manifest.Files[i].Name)
	}
	data, err := json.MarshalIndent(c.manifest, "", " ")
	if err != nil {
		return nil, fmt.Errorf("describe modules: %w", err)
	}
	layer, err := archive(append(c.files, regular(inImage(observe.ManifestPath), 0o644, data)))
	if err != nil {
		return nil, err
	}
	return &ModuleLayer{Layer: layer, Manifest: c.manifest}, nil
}

// canonicalList is a list in the kernel's spelling, sorted, each name once.
func canonicalList(want []string) ([]string, error) {
	names := make([]string, len(want))
	for i, w := range want {
		if !validName(w) {
			return nil, fmt.Errorf("module name %q: only letters, digits, - and _ may stand in it, %d at most", w, maxModuleName)
		}
		names[i] = canonical(w)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// closure collects modules, dependencies before dependents.
type closure struct {
	tree     *tree
	signed   bool // keep signatures
	manifest observe.Manifest
	files    []file
	visited  map[string]bool
}

// want adds a module that was asked for, or says why it cannot.
func (c *closure) want(name string) error {
	if c.tree.files[name] != "" {
		return c.add(name)
	}
	if c.tree.builtin[name] {
		c.manifest.Builtin = append(c.manifest.Builtin, name)
		return nil
	}
	for _, m := range moves {
		if m.name == name && c.tree.files[m.into] != "" {
			c.manifest.Merged = append(c.manifest.Merged, observe.MergedModule{Name: name, Into: m.into})
			return c.add(m.into)
		}
		if m.name == name && c.tree.builtin[m.into] {
			c.manifest.Builtin = append(c.manifest.Builtin, name)
			return nil
		}
	}
	c.manifest.Missing = append(c.manifest.Missing, name)
	return nil
}

// add adds a module file after all that must be loaded before it. Modules that
// wait for each other, which only softdeps can, come in the order in which they
// are met.
func (c *closure) add(name string) error {
	if c.visited[name] {
		return nil
	}
	c.visited[name] = true
	data, info, err := c.tree.read(name)
	if err != nil {
		return err
	}
	deps, err := c.deps(name, info)
	if err != nil {
		return err
	}
	for _, d := range deps {
		if c.tree.files[d] == "" {
			continue
		}
		if err := c.add(d); err != nil {
			return err
		}
	}
	if !c.signed {
		data = unsigned(data)
	}
	base := name + ".ko"
	c.manifest.Files = append(c.manifest.Files, observe.ManifestFile{Name: name, File: base, Deps: deps})
	c.files = append(c.files, regular(inImage(path.Join(observe.ModuleDir, base)), 0o644, data))
	return nil
}

// deps lists what is to be loaded before a module: what it would like to find,
// then what it takes symbols from. Of the latter one that is nowhere stays in
// the list, so that the loader can say what is amiss.
func (c *closure) deps(name string, info modinfo) ([]string, error) {
	var deps []string
	add := func(d string) {
		if d != name && !slices.Contains(deps, d) {
			deps = append(deps, d)
		}
	}
	for _, word := range slices.Concat(info.pre, requestsOf(name)) {
		found, err := c.tree.find(word)
		if err != nil {
			return nil, err
		}
		for _, d := range found {
			add(d)
		}
	}
	for _, d := range slices.Concat(info.depends, c.tree.dep[name]) {
		if c.tree.files[d] != "" || !c.tree.builtin[d] {
			add(d)
		}
	}
	return deps, nil
}
