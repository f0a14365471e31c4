package lab

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ctmatrix/ctmatrix/guest/internal/kfile"
)

// nftUses are the use counts of nftables' modules, where it has any. It has them on
// every kernel that builds tracking expressions as modules; with all of it built in,
// removal is waited for by the rest of the probe alone.
var nftUses = moduleUses{modules: "/sys/module", prefix: "nft_"}

// moduleUses are the use counts of the modules whose names begin with prefix. They are
// read one by one, from files that stay open: the kernel takes twenty times as long for
// the list of all modules.
//
// Which modules there are is listed anew when one came or went.
type moduleUses struct {
	modules, prefix string

	dir   *kfile.Dir // modules, once it is open
	files []*watched // refcnt of each module; nil if they must be listed
}

// read returns the use count of each module by its name.
func (m *moduleUses) read() (map[string]string, error) {
	uses, err := m.try()
	// A module that came back in the meantime has another file.
	for range 2 {
		if !errors.Is(err, unix.ENODEV) && !errors.Is(err, fs.ErrNotExist) {
			break
		}
		m.forget()
		uses, err = m.try()
	}
	if err != nil {
		m.forget()
		return nil, fmt.Errorf("read use counts of modules: %w", err)
	}
	return uses, nil
}

func (m *moduleUses) try() (map[string]string, error) {
	if m.dir == nil {
		dir, err := kfile.OpenDir(m.modules)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil // a kernel without modules
		}
		if err != nil {
			return nil, err
		}
		m.dir = dir
	}
	changed, err := m.dir.Changed()
	if err != nil {
		return nil, err
	}
	if changed || m.files == nil {
		if err := m.list(); err != nil {
			return nil, err
		}
	}
	uses := make(map[string]string, len(m.files))
	for _, f := range m.files {
		if err := f.read(); err != nil {
			return nil, err
		}
		uses[f.name] = f.value
	}
	return uses, nil
}

// list opens the files of the modules that there are. What is built in has none.
func (m *moduleUses) list() error {
	m.forget()
	paths, err := filepath.Glob(filepath.Join(m.modules, m.prefix+"*", "refcnt"))
	if err != nil {
		return err
	}
	for _, path := range paths {
		f, err := watch(filepath.Base(filepath.Dir(path)), path)
		if err != nil {
			return err
		}
		m.files = append(m.files, f)
	}
	return nil
}

func (m *moduleUses) forget() {
	for _, f := range m.files {
		f.close()
	}
	m.files = nil
}

// held reports whether a module has other users than before.
func held(now, before map[string]string) bool {
	for name, uses := range now {
		if uses != cmp.Or(before[name], "0") {
			return true
		}
	}
	return false
}

// moduleLine takes the name and the number of uses from a line of /proc/modules:
// name, size, uses, users, … (m_show in kernel/module/procfs.c).
func moduleLine(line string) (name, uses string) {
	name, rest, _ := strings.Cut(line, " ")
	_, rest, _ = strings.Cut(rest, " ")
	uses, _, _ = strings.Cut(rest, " ")
	return name, uses
}
