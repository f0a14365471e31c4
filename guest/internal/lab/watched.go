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
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ctmatrix/ctmatrix/guest/internal/kfile"
)

// watched is a small file of the kernel's that is kept open and read often.
type watched struct {
	name  string // what a trace calls it
	path  string
	fd    int
	size  int    // of a read
	bytes []byte // as last read
	value string // bytes without the space around them
}

// watch opens a file and reads it once.
func watch(name, path string) (*watched, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	high, err := kfile.PutAside(fd)
	if err != nil {
		return nil, &fs.PathError{Op: "dup", Path: path, Err: err}
	}
	f := &watched{name: name, path: path, fd: high, size: shortRead}
	if err := f.read(); err != nil {
		f.close()
		return nil, err
	}
	return f, nil
}

// watchModules watches the list of modules, which is empty for a kernel that is
// built without any.
func watchModules() (*watched, error) {
	f, err := watch("/proc/modules", "/proc/modules")
	if errors.Is(err, fs.ErrNotExist) {
		return watch("/proc/modules", nowhere)
	}
	return f, err
}

// Sizes of reads. The kernel makes room for as much as a sysctl is asked for,
// and clears it, so that a long buffer costs more than all the rest: almost all
// fit the short one. The list of a hundred modules fits the long one.
const (
	shortRead = 255
	longRead  = 1 << 15
)

var readBuf [longRead]byte

// read reads the file anew.
func (f *watched) read() error {
	_, err := f.update()
	return err
}

// update reads the file anew and reports whether it says something else than before.
// The kernel makes each file's text when asked for its beginning, and hands long ones
// out in pieces of a page.
func (f *watched) update() (changed bool, err error) {
	n, size := 0, f.size
	for n < size {
		m, errno := pread(f.fd, readBuf[n:size], n)
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 {
			return false, &fs.PathError{Op: "read", Path: f.path, Err: errno}
		}
		n += m
		if m == 0 || size == shortRead && n < shortRead {
			break
		}
		if n == shortRead {
			f.size, size = longRead, longRead
		}
	}
	if n == longRead {
		return false, &fs.PathError{Op: "read", Path: f.path, Err: unix.EFBIG}
	}
	if f.bytes != nil && bytes.Equal(readBuf[:n], f.bytes) {
		return false, nil
	}
	f.bytes = append([]byte{}, readBuf[:n]...)
	f.value = string(bytes.TrimSpace(f.bytes))
	return true, nil
}

// pread is unix.Pread without telling the scheduler of the call: these files
// never block.
func pread(fd int, buf []byte, offset int) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_PREAD64, uintptr(fd), uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)), uintptr(offset), 0, 0)
	return int(n), errno
}

func (f *watched) close() { _ = unix.Close(f.fd) } // nothing was written

// texts are files with the facts that were understood from what they say. As long as
// they say the same the facts are the same, and nothing is taken apart.
type texts struct {
	files []*watched
	kinds []Kind
	facts [][]Fact // of each kind; nil if there are none that are of what the files say
}

// read reads the files anew and adds their facts. If they say something else than
// before, understand has to.
func (t *texts) read(s *State, understand func(*State)) error {
	for _, f := range t.files {
		changed, err := f.update()
		if err != nil {
			t.facts = nil
			return err
		}
		if changed {
			t.facts = nil
		}
	}
	if t.facts != nil {
		for i, k := range t.kinds {
			s[k] = t.facts[i]
		}
		return nil
	}
	understand(s)
	for _, k := range t.kinds {
		s.sorted(k)
		t.facts = append(t.facts, slices.Clip(s[k]))
	}
	return nil
}

func (t *texts) close() {
	for _, f := range t.files {
		f.close()
	}
}

// settings are the sysctls and module parameters.
type settings struct {
	texts
	sysctls, parameters []*watched
}

// sysctlTrees are watched whole, but for their directories.
var sysctlTrees = []string{"net/ipv6/icmp", "net/netfilter", "net/netfilter/nf_log"}

// sysctlFiles are watched besides: on these the way of a packet, the box's
// answers and the kernel's log depend. Reading every sysctl there is would take
// longer than many a probe. What is not here cannot be written: see watches.
var sysctlFiles = slices.Concat(
	in("kernel", "panic_on_oops", "printk", "printk_ratelimit"),
	in("net", "nf_conntrack_max"),
	in("net/bridge", "bridge-nf-call-iptables"),
	in("net/core", "message_burst", "message_cost", "netdev_max_backlog", "somaxconn", "warnings"),
	in("net/ipv4", "fwmark_reflect", "icmp_echo_ignore_all", "icmp_echo_ignore_broadcasts",
		"icmp_errors_use_inbound_ifaddr", "icmp_msgs_burst", "icmp_msgs_per_sec", "icmp_ratelimit", "icmp_ratemask",
		"ip_default_ttl", "ip_early_demux", "ip_forward", "ip_forward_use_pmtu", "ip_local_port_range",
		"ip_no_pmtu_disc", "ip_nonlocal_bind", "ipfrag_high_thresh", "ipfrag_low_thresh", "ipfrag_max_dist", "ipfrag_time",
		"ping_group_range", "tcp_abort_on_overflow", "tcp_challenge_ack_limit", "tcp_early_demux", "tcp_ecn",
		"tcp_fin_timeout", "tcp_invalid_ratelimit", "tcp_max_syn_backlog", "tcp_max_tw_buckets",
		"tcp_no_metrics_save", "tcp_rfc1337", "tcp_sack", "tcp_syn_retries", "tcp_synack_retries",
		"tcp_syncookies", "tcp_timestamps", "tcp_tw_reuse", "tcp_window_scaling", "udp_early_demux"),
	in("net/ipv4/conf/all", conf4...), in("net/ipv4/conf/default", conf4...),
	in("net/ipv6", "bindv6only", "fwmark_reflect", "ip6frag_high_thresh", "ip6frag_low_thresh", "ip6frag_time", "ip_nonlocal_bind"),
	in("net/ipv6/conf/all", conf6...), in("net/ipv6/conf/default", conf6...), in("net/ipv6/conf/lo", "disable_ipv6"),
)

// What may be set for all links and for new ones.
var (
	conf4 = []string{"accept_local", "accept_redirects", "accept_source_route", "forwarding", "log_martians", "route_localnet", "rp_filter", "send_redirects"}
	conf6 = []string{"accept_dad", "accept_ra", "addr_gen_mode", "autoconf", "disable_ipv6", "forwarding", "router_solicitations"}
)

func in(dir string, names ...string) []string {
	paths := make([]string, len(names))
	for i, name := range names {
		paths[i] = dir + "/" + name
	}
	return paths
}

// watches reports whether a sysctl, by its path below /proc/sys, would be missed
// if a probe left it changed.
func watches(path string) bool {
	return slices.Contains(sysctlTrees, filepath.Dir(path)) || slices.Contains(sysctlFiles, path)
}

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
	for _, name := range append(names, sysctlFiles...) {
		f, err := watch(strings.ReplaceAll(name, "/", "."), "/proc/sys/"+name)
		if unreadable(err) {
			continue
		}
		if err != nil {
			return err
		}
		s.sysctls, s.files = append(s.sysctls, f), append(s.files, f)
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
			s.parameters, s.files = append(s.parameters, f), append(s.files, f)
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
	if w.settings != nil && sameNames(s[KindModule], w.loaded) && w.settings.read(s) == nil {
		return nil
	}
	// Modules came or went, or went and came back: so did their files.
	if w.settings != nil {
		w.settings.close()
	}
	w.settings, w.loaded = nil, nil
	now := &settings{texts: texts{kinds: []Kind{KindSetting, KindParameter}}}
	if err := now.open(s.Modules()); err != nil {
		now.close()
		return err
	}
	w.settings, w.loaded = now, s[KindModule]
	return w.settings.read(s)
}

func sameNames(a, b []Fact) bool {
	return same(a, b) || slices.EqualFunc(a, b, func(a, b Fact) bool { return a.Name == b.Name })
}

// read reads the settings anew and adds what they are.
func (s *settings) read(st *State) error {
	return s.texts.read(st, func(st *State) {
		st[KindSetting], st[KindParameter] = facts(s.sysctls), facts(s.parameters)
	})
}

func facts(files []*watched) []Fact {
	out := make([]Fact, len(files))
	for i, f := range files {
		out[i] = Fact{Name: f.name, Value: f.value, thing: f.path}
	}
	return out
}
