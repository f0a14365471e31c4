package lab

import (
	"errors"
	"fmt"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ctmatrix/ctmatrix/guest/internal/nfnl"
)

// Witness reads the state of the initial namespace and of the kernel. What it
// reads often it keeps open: asking the kernel for some hundred files again
// takes a fifth of the time that opening them does.
type Witness struct {
	route    *netlink.Handle // which takes answers apart, and undoes
	lists    *nfnl.Conn      // to rtnetlink, which asks for kept lists and neighbours
	kept     []*kept
	now      []byte // what was answered last
	nf       *nfnetlink
	settings *settings
	loaded   []Fact // modules when settings was opened
	sockets  texts  // /proc/net/sockstat and sockstat6
	modules  texts
	xtables  [len(xtables)]*watched // names of tables, where there are any
	threads  int                    // /proc/self/task
	files    int                    // /proc/self/fd
	home     string

	open      []openFile // as last listed
	openFacts []Fact
}

// NewWitness opens what a witness reads. The calling thread must be in the
// initial namespace; the witness may then be used from any.
func NewWitness() (*Witness, error) {
	w := &Witness{
		threads: -1, files: -1, kept: keptLists(),
		sockets: texts{kinds: []Kind{KindSockets}},
		modules: texts{kinds: []Kind{KindModule, KindModuleUse}},
	}
	if err := w.dial(); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return w, nil
}

func (w *Witness) dial() (err error) {
	if w.home, err = netnsOf("/proc/thread-self/ns/net"); err != nil {
		return err
	}
	if w.route, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
		return fmt.Errorf("open route netlink: %w", err)
	}
	if w.lists, err = nfnl.DialProtocol(unix.NETLINK_ROUTE); err != nil {
		return err
	}
	w.lists.Short()
	if w.nf, err = dialNfnetlink(); err != nil {
		return err
	}
	if w.threads, err = openDir("/proc/self/task"); err != nil {
		return err
	}
	if w.files, err = openDir("/proc/self/fd"); err != nil {
		return err
	}
	modules, err := watchModules()
	if err != nil {
		return err
	}
	w.modules.files = append(w.modules.files, modules)
	for _, name := range []string{"/proc/thread-self/net/sockstat", "/proc/thread-self/net/sockstat6"} {
		f, err := watch(name, name)
		if err != nil {
			return err
		}
		w.sockets.files = append(w.sockets.files, f)
	}
	return nil
}

// Close closes what the witness holds open.
func (w *Witness) Close() error {
	if w.route != nil {
		w.route.Close()
	}
	var errs []error
	if w.lists != nil {
		errs = append(errs, w.lists.Close())
	}
	if w.nf != nil {
		errs = append(errs, w.nf.Close())
	}
	for _, fd := range []int{w.threads, w.files} {
		if fd >= 0 {
			errs = append(errs, unix.Close(fd))
		}
	}
	if w.settings != nil {
		w.settings.close()
	}
	for _, f := range w.xtables {
		if f != nil {
			f.close()
		}
	}
	w.sockets.close()
	w.modules.close()
	return errors.Join(errs...)
}

// State reads the state. What the kernel lets go of in the background, child
// namespaces above all, is waited for first.
func (w *Witness) State() (*State, error) {
	s := &State{}
	left, err := awaitChildren()
	if err != nil {
		return nil, err
	}
	s.count(KindNamespaces, left, "child namespaces")
	for _, read := range []func(*State) error{
		w.readFiles, w.readThreads, w.readModules, w.readSettings, w.readSockets, w.readKept, w.readNeighbours,
		w.nf.readTracking, w.nf.readTables, w.readObjects, w.readXTables,
	} {
		if err := read(s); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Modules lists the names of the modules of a state.
func (s *State) Modules() []string {
	names := make([]string, len(s[KindModule]))
	for i, m := range s[KindModule] {
		names[i] = m.Name
	}
	return names
}

// Patience is how long, in guest time, what differs may take to go by itself.
const (
	// Background covers grace periods and workers.
	Background = 4 * time.Second
	// TimeWait covers the minute that a closed TCP connection lingers
	// (TCP_TIMEWAIT_LEN), for which its ports are taken.
	TimeWait = 70 * time.Second
)

// Settled reads the state when it is that of before, or when what differs has
// had its time: the kernel gives modules back, and takes sockets apart, in the
// background.
func (w *Witness) Settled(before *State, patience time.Duration) (*State, error) {
	rest := 4 * time.Millisecond
	for end := Now() + patience; ; {
		s, err := w.State()
		if err != nil || !settling(Diff(before, s)) || Now() >= end {
			return s, err
		}
		if err := Wait(rest); err != nil {
			return nil, err
		}
		rest = min(2*rest, time.Second)
	}
}

// settling reports whether all that differs may still go by itself.
func settling(traces Traces) bool {
	for _, t := range traces {
		if t.Kind != KindModuleUse && t.Kind != KindSockets {
			return false
		}
	}
	return len(traces) > 0
}
