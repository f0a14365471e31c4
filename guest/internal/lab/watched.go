package lab

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// watched is a small file of the kernel's that is kept open and read often.
type watched struct {
	name  string // what a trace calls it
	path  string
	fd    int
	bytes []byte // as last read
	value string // bytes without the space around them
}

// watch opens a file and reads it once.
func watch(name, path string) (*watched, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	f := &watched{name: name, path: path, fd: fd}
	if err := f.read(); err != nil {
		f.close()
		return nil, err
	}
	return f, nil
}

// readSize holds any of the files: /proc/modules of a hundred modules is the
// longest.
const readSize = 1 << 15

var readBuf [readSize]byte

// read reads the file anew. The kernel makes each file's text when asked for
// its beginning, and hands the text out in pieces of a page.
func (f *watched) read() error {
	n := 0
	for {
		m, err := unix.Pread(f.fd, readBuf[n:], int64(n))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return &fs.PathError{Op: "read", Path: f.path, Err: err}
		}
		n += m
		// What is shorter than half a page comes in one piece.
		if m == 0 || n < 2048 {
			break
		}
		if n == readSize {
			return &fs.PathError{Op: "read", Path: f.path, Err: unix.EFBIG}
		}
	}
	if f.bytes == nil || !bytes.Equal(readBuf[:n], f.bytes) {
		f.bytes = append(f.bytes[:0:0], readBuf[:n]...)
		f.value = string(bytes.TrimSpace(f.bytes))
	}
	return nil
}

func (f *watched) close() { _ = unix.Close(f.fd) } // nothing was written

// settings are the sysctls and module parameters.
type settings struct{ sysctls, parameters []*watched }

func (s *settings) close() {
	for _, f := range append(s.sysctls, s.parameters...) {
		f.close()
	}
	*s = settings{}
}

// sysctlTrees are watched whole: all that packets, tracking or the kernel's log
// could depend on. A directory's own directories are not part of it.
var sysctlTrees = []string{
	"net/core", "net/ipv4", "net/ipv4/conf/all", "net/ipv4/conf/default", "net/ipv4/conf/lo",
	"net/ipv6", "net/ipv6/conf/all", "net/ipv6/conf/default", "net/ipv6/conf/lo", "net/ipv6/icmp", "net/ipv6/route",
	"net/netfilter", "net/netfilter/nf_log", "net/bridge", "net/unix",
}

// sysctlFiles are watched besides.
var sysctlFiles = []string{"kernel/printk", "kernel/panic_on_oops", "kernel/printk_ratelimit", "net/nf_conntrack_max"}

// unsteady are sysctls that change by themselves, or whose reading does
// something.
var unsteady = []string{
	"net/netfilter/nf_conntrack_count", // entries are a kind of their own
	"net/core/netdev_rss_key",          // drawn at random when it is first read
	"net/ipv4/tcp_fastopen_key",        // likewise
}

// open opens the settings that there are.
func (s *settings) open(modules []string) error {
	var names []string
	for _, tree := range sysctlTrees {
		entries, err := os.ReadDir("/proc/sys/" + tree)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("list sysctls: %w", err)
		}
		for _, e := range entries {
			if name := tree + "/" + e.Name(); !e.IsDir() && !slices.Contains(unsteady, name) {
				names = append(names, name)
			}
		}
	}
	names = append(names, sysctlFiles...)
	slices.Sort(names)
	for _, name := range names {
		f, err := watch(strings.ReplaceAll(name, "/", "."), "/proc/sys/"+name)
		if unreadable(err) {
			continue
		}
		if err != nil {
			return err
		}
		s.sysctls = append(s.sysctls, f)
	}
	for _, m := range modules { // sorted
		paths, _ := filepath.Glob("/sys/module/" + m + "/parameters/*") // fails only on a bad pattern
		for _, p := range paths {
			f, err := watch(m+"."+filepath.Base(p), p)
			if unreadable(err) {
				continue
			}
			if err != nil {
				return err
			}
			s.parameters = append(s.parameters, f)
		}
	}
	return nil
}

// unreadable reports whether a setting is not there or cannot be read: some can
// only be written, and net.ipv6.conf.*.stable_secret answers EIO until it is
// set.
func unreadable(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || errors.Is(err, unix.EIO)
}

// readSettings reads sysctls and parameters; readModules came before it.
func (w *Witness) readSettings(s *State) error {
	names := s.Modules()
	if !slices.Equal(names, w.loaded) {
		w.settings.close()
		w.loaded = nil
	}
	if w.loaded != nil && w.settings.read() == nil {
		w.settings.facts(s)
		return nil
	}
	// Modules came or went and came back: so did their files.
	w.settings.close()
	if err := w.settings.open(names); err != nil {
		return err
	}
	w.loaded = names
	w.settings.facts(s)
	return nil
}

func (s *settings) read() error {
	for _, list := range [][]*watched{s.sysctls, s.parameters} {
		for _, f := range list {
			if err := f.read(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *settings) facts(st *State) {
	for _, f := range s.sysctls {
		st.add(KindSetting, Fact{Name: f.name, Value: f.value, thing: f.path})
	}
	for _, f := range s.parameters {
		st.add(KindParameter, Fact{Name: f.name, Value: f.value, thing: f.path})
	}
	// Names have dots where paths, by which the lists are sorted, have slashes.
	st.sorted(KindSetting)
	st.sorted(KindParameter)
}
