package lab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ctmatrix/ctmatrix/guest/internal/kfile"
	"github.com/ctmatrix/ctmatrix/guest/internal/nfnl"
)

func openDir(path string) (int, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open %s: %w", path, err)
	}
	return fd, nil
}

// maxPieces bounds a list that is read whole: a thousand names.
const maxPieces = 25

// list reads the names in an open directory up to a number of pieces, each of
// forty names or so.
func list(fd, pieces int) ([]string, error) {
	if _, err := unix.Seek(fd, 0, unix.SEEK_SET); err != nil {
		return nil, err
	}
	var names []string
	buf := make([]byte, 1024)
	for range pieces {
		n, err := unix.ReadDirent(fd, buf)
		if err != nil || n == 0 {
			return names, err
		}
		_, _, names = unix.ParseDirent(buf[:n], -1, names)
	}
	return names, nil
}

// link reads a symbolic link below an open directory.
func link(dir int, name string) (string, error) {
	buf := make([]byte, 256)
	n, err := unix.Readlinkat(dir, name, buf)
	if err != nil {
		return "", err
	}
	return string(buf[:n]), nil
}

func netnsOf(path string) (string, error) {
	ns, err := os.Readlink(path)
	if err != nil {
		return "", fmt.Errorf("find network namespace: %w", err)
	}
	return ns, nil
}

// mostLists is how often threads may come or go while they are listed. After
// quickLists each list waits for a tick: a thread that is about to end needs the
// CPU for it.
const (
	mostLists  = 100
	quickLists = 10
)

// listThreads lists the threads of the process. The kernel ends the list early
// where the thread that it has come to ends (next_tid in fs/proc/base.c). So a
// list is believed if it has as many as there were before and after, by the
// directory's number of links (proc_task_getattr there), and the one before said
// the same.
func (w *Witness) listThreads() ([]string, error) {
	before, err := w.countThreads()
	if err != nil {
		return nil, err
	}
	var last []string
	for i := range mostLists {
		if i >= quickLists {
			if err := PassTicks(1); err != nil {
				return nil, err
			}
		}
		names, err := list(w.threads, maxPieces)
		if err != nil {
			return nil, fmt.Errorf("list threads: %w", err)
		}
		after, err := w.countThreads()
		if err != nil {
			return nil, err
		}
		if len(names) == before && len(names) == after && slices.Equal(names, last) {
			return names, nil
		}
		before, last = after, names
	}
	return nil, errors.New("list threads: they come and go")
}

func (w *Witness) countThreads() (int, error) {
	var is unix.Stat_t
	if err := unix.Fstat(w.threads, &is); err != nil {
		return 0, fmt.Errorf("count threads: %w", err)
	}
	return int(is.Nlink) - 2, nil
}

// readThreads lists the threads that are in another network namespace than the
// initial one. One that ends meanwhile is in none.
func (w *Witness) readThreads(s *State) error {
	names, err := w.listThreads()
	if err != nil {
		return err
	}
	strays := 0
	for _, tid := range names {
		ns, err := link(w.threads, tid+"/ns/net")
		if err == nil && ns != w.home {
			strays++
		}
	}
	s.count(KindThread, strays, "threads in another network namespace")
	return nil
}

// readModules lists modules and how often each is used, by other modules, rules
// and open files.
func (w *Witness) readModules(s *State) error {
	return w.modules.read(s, func(s *State) {
		for line := range strings.Lines(w.modules.files[0].value) {
			name, uses := moduleLine(line)
			s.add(KindModule, Fact{Name: name})
			s.add(KindModuleUse, Fact{Name: name, Value: uses})
		}
	})
}

// ModuleUses is how often the kernel counts a module as used. It is an error that
// is fs.ErrNotExist where the kernel has it built in, and does not count.
func ModuleUses(name string) (int, error) {
	text, err := kfile.Read("/sys/module/" + name + "/refcnt")
	if err != nil {
		return 0, fmt.Errorf("count uses of module %s: %w", name, err)
	}
	return strconv.Atoi(strings.TrimSpace(string(text)))
}

// counted are the sockets of /proc/net/sockstat and sockstat6 that hold ports or
// send by themselves: line and word.
var counted = []struct{ line, word, what string }{
	{"TCP:", "inuse", "TCP sockets"}, {"TCP:", "tw", "TCP sockets in TIME_WAIT"},
	{"UDP:", "inuse", "UDP sockets"}, {"RAW:", "inuse", "raw sockets"},
	{"FRAG:", "inuse", "fragment queues"},
	{"TCP6:", "inuse", "TCP sockets of IPv6"}, {"UDP6:", "inuse", "UDP sockets of IPv6"},
	{"RAW6:", "inuse", "raw sockets of IPv6"}, {"FRAG6:", "inuse", "fragment queues of IPv6"},
}

func (w *Witness) readSockets(s *State) error {
	return w.sockets.read(s, func(s *State) {
		for _, f := range w.sockets.files {
			for line := range strings.Lines(f.value) {
				countSockets(s, strings.Fields(line))
			}
		}
	})
}

// countSockets counts what a line tells, of which the first word says what it is about.
func countSockets(s *State, words []string) {
	for _, c := range counted {
		if len(words) == 0 || words[0] != c.line {
			continue
		}
		if i := slices.Index(words, c.word); i > 0 && i+1 < len(words) && words[i+1] != "0" {
			s.add(KindSockets, Fact{Name: c.what, Value: words[i+1]})
		}
	}
}

func (w *Witness) readLinks(s *State) error {
	links, err := w.route.LinkList()
	if err != nil {
		return fmt.Errorf("list links: %w", err)
	}
	for _, l := range links {
		a := l.Attrs()
		s.add(KindLink, Fact{Name: a.Name, thing: l, Value: fmt.Sprintf("%s %s mtu %d queue %d", a.Flags&^runningFlags, l.Type(), a.MTU, a.TxQLen)})
	}
	s.sorted(KindLink)
	return nil
}

// runningFlags say what follows from the others.
const runningFlags = unix.IFF_RUNNING

func (w *Witness) readAddresses(s *State) error {
	addrs, err := w.route.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return fmt.Errorf("list addresses: %w", err)
	}
	for _, a := range addrs {
		s.add(KindAddress, Fact{Name: fmt.Sprintf("%s on link %d", a.IPNet, a.LinkIndex), thing: a})
	}
	s.sorted(KindAddress)
	return nil
}

func (w *Witness) readRoutes(s *State) error {
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		// Table 0 with this filter means all tables.
		routes, err := w.route.RouteListFiltered(family, &netlink.Route{}, netlink.RT_FILTER_TABLE)
		if err != nil {
			return fmt.Errorf("list routes: %w", err)
		}
		for _, r := range routes {
			name := fmt.Sprintf("to %v on link %d, metric %d, table %d", r.Dst, r.LinkIndex, r.Priority, r.Table)
			if r.Gw != nil {
				name += ", by " + r.Gw.String()
			}
			s.add(KindRoute, Fact{Name: name, Value: fmt.Sprintf("type %d scope %d", r.Type, r.Scope), thing: r})
		}
	}
	s.sorted(KindRoute)
	return nil
}

func (w *Witness) readRules(s *State) error {
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		rules, err := w.route.RuleList(family)
		if errors.Is(err, unix.EOPNOTSUPP) {
			continue // built without IP_MULTIPLE_TABLES
		}
		if err != nil {
			return fmt.Errorf("list routing rules: %w", err)
		}
		for _, r := range rules {
			r.Family = family
			name := fmt.Sprintf("of family %d, priority %d: from %v to %v in %q out %q mark %d, table %d", family, r.Priority, r.Src, r.Dst, r.IifName, r.OifName, r.Mark, r.Table)
			s.add(KindRule, Fact{Name: name, thing: r})
		}
	}
	s.sorted(KindRule)
	return nil
}

func (w *Witness) readNeighbours(s *State) error {
	if some, err := w.made(); err != nil || !some {
		if err != nil {
			err = fmt.Errorf("look for neighbours: %w", err)
		}
		return err
	}
	neighs, err := w.route.NeighList(0, netlink.FAMILY_ALL)
	if err != nil {
		return fmt.Errorf("list neighbours: %w", err)
	}
	for _, n := range neighs {
		if n.State&unix.NUD_PERMANENT == 0 {
			continue // learned, not made
		}
		s.add(KindNeighbour, Fact{Name: fmt.Sprintf("%s on link %d", n.IP, n.LinkIndex), thing: n})
	}
	s.sorted(KindNeighbour)
	return nil
}

// readObjects lists ct helpers made by programs and timeout policies, where
// their modules are: asking would load them.
func (w *Witness) readObjects(s *State) error {
	for _, o := range []struct {
		module string
		kind   Kind
		get    uint16
		what   string
	}{
		{"nfnetlink_cthelper", KindHelper, helperGet, "ct helpers"},
		{"nfnetlink_cttimeout", KindTimeoutPolicy, policyGet, "ct timeout policies"},
	} {
		if !s.hasModule(o.module) {
			continue
		}
		const name = 1 // NFCTH_NAME, CTA_TIMEOUT_NAME
		err := w.nf.request(o.get, unix.NLM_F_DUMP, nil, func(m nfnl.Message) {
			s.add(o.kind, Fact{Name: text(nfnl.Attr(m.Attrs, name))})
		})
		if err != nil {
			return fmt.Errorf("list %s: %w", o.what, err)
		}
		s.sorted(o.kind)
	}
	return nil
}

func (s *State) hasModule(name string) bool {
	_, ok := slices.BinarySearchFunc(s[KindModule], name, func(f Fact, n string) int { return strings.Compare(f.Name, n) })
	return ok
}

// xtables are the families of x_tables: the module whose presence says that
// there may be tables, the list of them, and how a socket asks about one.
var xtables = [2]struct {
	module, names, family string
	domain, level         int
}{
	{"ip_tables", "/proc/thread-self/net/ip_tables_names", "ip", unix.AF_INET, unix.IPPROTO_IP},
	{"ip6_tables", "/proc/thread-self/net/ip6_tables_names", "ip6", unix.AF_INET6, unix.IPPROTO_IPV6},
}

// readXTables lists the tables of x_tables and how many rules each has.
func (w *Witness) readXTables(s *State) error {
	for i, x := range xtables {
		if !s.hasModule(x.module) {
			continue
		}
		// If the module went and came back, so did the file.
		names := w.xtables[i]
		if names == nil || names.read() != nil {
			if names != nil {
				names.close()
			}
			var err error
			initial.do(func() { names, err = watch(x.names, x.names) })
			w.xtables[i] = names
			if err != nil {
				return fmt.Errorf("list x_tables: %w", err)
			}
		}
		if names.value == "" {
			continue
		}
		var err error
		initial.do(func() { err = readXTables(s, names.value, x.family, x.domain, x.level) })
		if err != nil {
			return err
		}
	}
	return nil
}

func readXTables(s *State, names, family string, domain, level int) error {
	fd, err := unix.Socket(domain, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		return fmt.Errorf("open x_tables: %w", err)
	}
	defer unix.Close(fd)
	for _, name := range strings.Fields(names) {
		n, err := xtEntries(fd, level, name)
		if err != nil {
			return fmt.Errorf("read x_tables table %s: %w", name, err)
		}
		s.add(KindXTable, Fact{Name: family + " " + name, Value: strconv.Itoa(n) + " entries"})
	}
	s.sorted(KindXTable)
	return nil
}

// xtEntries asks for struct ipt_getinfo, or ip6t_getinfo, which is alike.
func xtEntries(fd, level int, table string) (int, error) {
	const (
		getInfo    = 64 // IPT_SO_GET_INFO, IP6T_SO_GET_INFO
		numEntries = 76 // offset, behind the name and 11 numbers
		size       = 84
	)
	var info [size]byte
	copy(info[:31], table)
	if err := getsockopt(fd, level, getInfo, info[:]); err != nil {
		return 0, err
	}
	return int(binary.NativeEndian.Uint32(info[numEntries:])), nil
}

func getsockopt(fd, level, option int, buf []byte) error {
	size := uint32(len(buf))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), uintptr(level), uintptr(option),
		uintptr(unsafe.Pointer(&buf[0])), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return errno
	}
	return nil
}
