package initramfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/ctmatrix/ctmatrix/images/kernel/unpack"
)

const (
	maxModule = 256 << 20 // one module, unpacked
	maxIndex  = 64 << 20  // one of the kernel's lists
)

// tree is a kernel's modules directory.
type tree struct {
	dir     string
	files   map[string]string   // paths of modules by name
	builtin map[string]bool     // names and aliases of what is in the image
	dep     map[string][]string // modules.dep, where there is one

	aliases map[string][]string // names of modules by alias; nil until asked for
}

func openTree(dir string) (*tree, error) {
	t := &tree{dir: dir, files: map[string]string{}, builtin: map[string]bool{}}
	// The separator makes a link to a directory good, too.
	if err := filepath.WalkDir(dir+string(filepath.Separator), t.add); err != nil {
		return nil, fmt.Errorf("list modules: %w", err)
	}
	for _, index := range []struct {
		file string
		read func([]byte)
	}{
		{"modules.builtin", func(b []byte) { parseBuiltin(b, t.builtin) }},
		{"modules.builtin.modinfo", func(b []byte) { parseBuiltinModinfo(b, t.builtin) }},
		{"modules.dep", func(b []byte) { t.dep = parseDep(b) }},
	} {
		data, err := readFile(filepath.Join(dir, index.file), maxIndex)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		index.read(data)
	}
	return t, nil
}

// add notes a file of the directory. Directories come in lexical order; of two
// modules with one name the last counts, so that updates/ goes before kernel/ as
// it does for depmod.
func (t *tree) add(path string, d fs.DirEntry, err error) error {
	if err != nil {
		return err
	}
	if name := moduleOf(path); name != "" && d.Type().IsRegular() {
		t.files[name] = path
	}
	return nil
}

// read returns a module's content, unpacked, and its description.
func (t *tree) read(name string) ([]byte, modinfo, error) {
	path := t.files[name]
	data, err := readFile(path, maxModule)
	if err != nil {
		return nil, modinfo{}, err
	}
	info, err := readModinfo(data)
	if err != nil {
		return nil, modinfo{}, fmt.Errorf("read module %s: %w", path, err)
	}
	if info.name != "" && info.name != name {
		return nil, modinfo{}, fmt.Errorf("read module %s: it calls itself %q, so the kernel would not know it by the name of its file", path, info.name)
	}
	return data, info, nil
}

// find returns the modules that a name or an alias stands for: none where the
// kernel's image has it, or where nothing does.
func (t *tree) find(word string) ([]string, error) {
	name := canonical(word)
	if t.files[name] != "" {
		return []string{name}, nil
	}
	if t.builtin[name] {
		return nil, nil
	}
	if t.aliases == nil {
		if err := t.readAliases(); err != nil {
			return nil, err
		}
	}
	return t.aliases[name], nil
}

// readAliases opens every module, which is why it is done only when needed.
func (t *tree) readAliases() error {
	t.aliases = map[string][]string{}
	for _, name := range t.names() {
		_, info, err := t.read(name)
		if err != nil {
			return err
		}
		for _, a := range info.aliases {
			a = canonical(a)
			t.aliases[a] = append(t.aliases[a], name)
		}
	}
	return nil
}

func (t *tree) names() []string {
	names := make([]string, 0, len(t.files))
	for name := range t.files {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// readFile reads a file, unpacked, of at most limit bytes.
func readFile(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() // only read
	plain, err := unpack.Reader(path, f)
	if err != nil {
		return nil, err
	}
	defer plain.Close() // only read
	data, err := io.ReadAll(io.LimitReader(plain, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("read %s: more than %d bytes", path, limit)
	}
	return data, nil
}
