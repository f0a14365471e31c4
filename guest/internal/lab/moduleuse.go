package lab

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// nftUses are the use counts of nftables' modules, where it has any. It has them on
// every kernel that builds tracking expressions as modules; with all of it built in,
// removal is waited for by the rest of the probe alone.
var nftUses = moduleUses{modules: "/sys/module", prefix: "nft_", dir: -1}

// moduleUses are the use counts of the modules whose names begin with prefix. They are
// read one by one, from files that stay open: the kernel takes twenty times as long for
// the list of all modules.
//
// Which modules there are is listed anew when their directory's time says that one came
// or went. The kernel keeps that time, to the nanosecond, where the directory's
// attributes were ever set (kernfs_add_one and __kernfs_remove in fs/kernfs/dir.c); where
// they cannot be, they are listed each time.
type moduleUses struct {
	modules, prefix string

	dir   int // modules, once it is open
	timed bool
	is    unix.Stat_t // the directory when files were opened
	files []*watched  // refcnt of each module
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
	if m.dir < 0 {
		if err := m.open(); err != nil || m.dir < 0 {
			return nil, err
		}
	}
	var now unix.Stat_t
	if err := unix.Fstat(m.dir, &now); err != nil {
		return nil, err
	}
	if !m.timed || now.Mtim != m.is.Mtim || now.Nlink != m.is.Nlink {
		if err := m.list(); err != nil {
			return nil, err
		}
		m.is = now
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

// open opens the directory, which a kernel without modules may lack.
func (m *moduleUses) open() error {
	fd, err := openDir(m.modules)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if m.dir, err = aside(fd); err != nil {
		return err
	}
	var is unix.Stat_t
	if err := unix.Fstat(m.dir, &is); err != nil {
		return err
	}
	m.timed = unix.Fchmod(m.dir, is.Mode&0o7777) == nil
	return nil
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
	m.files, m.is = nil, unix.Stat_t{}
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
