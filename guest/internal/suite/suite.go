// Package suite holds the probes, one file a family.
package suite

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/internal/probe"
	"github.com/ctmatrix/ctmatrix/guest/observe"
)

// All lists every probe in the order of the families.
func All() []probe.Probe {
	var all []probe.Probe
	for _, family := range [][]probe.Probe{
		baseline, tableFull, loose, confirmation, sendErrno, synFlood, enable, earlyDrop, limits, tableLimits,
		tcpState, tcpWindow, tcpRST, tcpSYN, packetdrill, timeouts, udp, icmp, sysctls, procfs, logs, damage, accounting,
		proto,
		fragments,
		ctnetlink,
		events,
		rules,
		xtables,
		translations,
		helpers,
		zones,
		devices,
		queue,
		clash,
		races,
		flowtable,
		synproxy,
	} {
		all = append(all, family...)
	}
	return all
}

// Listing describes the chosen probes to the host.
func Listing(opts Options) (observe.Listing, error) {
	cases, err := Select(opts)
	if err != nil {
		return observe.Listing{}, err
	}
	l := observe.Listing{Modules: probe.Modules(cases)}
	for _, c := range cases {
		head := c.Head()
		if opts.Rows {
			head.Rows = rowsOf(c.Name())
		}
		l.Probes = append(l.Probes, head)
	}
	return l, nil
}

// Options choose what runs and in which order.
type Options struct {
	Patterns []string // globs over probe names; none means all
	Shuffle  bool
	Seed     uint64 // of the shuffle
	// Rows has a listing name the rows of each probe, with what they mean.
	Rows bool
	// HostClock says that the guest's clock is not a virtual one.
	HostClock bool
	// Capture has what passes the links told, too.
	Capture bool
}

// Select lists the cases that opts choose, those that wear modules last. A pattern
// that matches nothing is an error.
func Select(opts Options) ([]probe.Case, error) {
	chosen := probe.Cases(All())
	if len(opts.Patterns) > 0 {
		var err error
		if chosen, err = choose(chosen, opts.Patterns); err != nil {
			return nil, err
		}
	}
	if opts.Shuffle {
		rand.New(rand.NewPCG(opts.Seed, 0)).Shuffle(len(chosen), func(i, j int) {
			chosen[i], chosen[j] = chosen[j], chosen[i]
		})
	}
	slices.SortStableFunc(chosen, func(a, b probe.Case) int {
		return cmp.Compare(min(len(a.Wears), 1), min(len(b.Wears), 1))
	})
	for i := range chosen {
		chosen[i].HostClock, chosen[i].Capture = opts.HostClock, opts.Capture
	}
	return chosen, nil
}

// choose returns the cases that patterns cover. The host names hundreds of cases one
// by one: those are looked up, and only what is a glob is compared with every name.
func choose(all []probe.Case, patterns []string) ([]probe.Case, error) {
	used := map[string]bool{}
	var globs []string
	for _, pattern := range patterns {
		used[pattern] = false
		if !isName(pattern) {
			globs = append(globs, pattern)
		}
	}
	var chosen []probe.Case
	for _, c := range all {
		name := c.Name()
		_, match := used[name]
		if match {
			used[name] = true
		}
		for _, glob := range globs {
			if matches(glob, name) {
				match, used[glob] = true, true
			}
		}
		if match {
			chosen = append(chosen, c)
		}
	}
	for _, pattern := range patterns {
		if !used[pattern] {
			return nil, fmt.Errorf("no probe matches %q", pattern)
		}
	}
	return chosen, nil
}

// isName reports whether a pattern covers the case of that name and no other.
func isName(pattern string) bool {
	return strings.Contains(pattern, "/") && !strings.HasSuffix(pattern, "/") && !strings.ContainsAny(pattern, `*?[\`)
}

// matches reports whether a glob covers a probe's name. A pattern without a
// slash, or that ends in one, names families.
func matches(pattern, name string) bool {
	pattern = strings.TrimSuffix(pattern, "/")
	if pattern == "*" {
		return true
	}
	if !strings.Contains(pattern, "/") {
		name, _, _ = strings.Cut(name, "/")
	}
	ok, err := path.Match(pattern, name)
	return err == nil && ok
}

// Loader is what the suite needs of the module loader.
type Loader interface {
	probe.Loader
	// States lists what became of every module of the image.
	States() []observe.Module
}

// Prepare brings the guest into the state in which every probe begins, whichever
// are chosen. Preparing twice does no harm.
func Prepare(modules Loader) error {
	if err := quiet(); err != nil {
		return err
	}
	// What the kernel can have is loaded up front; each probe finds out for
	// itself whether something it needs is not there.
	for _, m := range probe.Modules(probe.Cases(All())) {
		_ = modules.Load(m)
	}
	return lab.HoldHooks()
}

// open prepares the guest, says hello, and returns what the cases run on.
func open(cases []probe.Case, modules Loader, emit func(observe.Record) error) (*lab.Log, *probe.Ground, error) {
	log, err := lab.OpenLog()
	if err != nil {
		return nil, nil, err
	}
	ground, err := greet(cases, modules, emit)
	if err != nil {
		return nil, nil, errors.Join(err, log.Close())
	}
	return log, ground, nil
}

func greet(cases []probe.Case, modules Loader, emit func(observe.Record) error) (*probe.Ground, error) {
	if err := Prepare(modules); err != nil {
		return nil, err
	}
	tainted, err := taints()
	if err != nil {
		return nil, err
	}
	if err := emit(hello(cases, modules, tainted)); err != nil {
		return nil, err
	}
	return probe.NewGround(modules)
}

// Run runs the chosen probes and emits the record stream. Rows of a probe are
// emitted after it ended, so that nothing waits for the host while it runs.
func Run(ctx context.Context, opts Options, modules Loader, emit func(observe.Record) error) error {
	cases, err := Select(opts)
	if err != nil {
		return err
	}
	if !opts.Shuffle {
		byPath(cases)
	}
	log, ground, err := open(cases, modules, emit)
	if err != nil {
		return err
	}
	defer log.Close()
	defer ground.Close()
	rows := 0
	for _, c := range cases {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := runCase(c, modules, log, ground, emit)
		if err != nil {
			return err
		}
		rows += n
	}
	return emit(observe.Record{Done: &observe.Done{Probes: len(cases), Rows: rows}})
}

// byPath has cases of the same path follow one another, since a box that one leaves
// the next can have. Those that wear modules stay last.
func byPath(cases []probe.Case) {
	slices.SortStableFunc(cases, func(a, b probe.Case) int {
		return cmp.Or(cmp.Compare(min(len(a.Wears), 1), min(len(b.Wears), 1)), cmp.Compare(a.Path, b.Path))
	})
}

func runCase(c probe.Case, modules Loader, log *lab.Log, ground *probe.Ground, emit func(observe.Record) error) (int, error) {
	if err := emit(observe.Record{Begin: &observe.Begin{Probe: c.Name()}}); err != nil {
		return 0, err
	}
	r := c.Run(modules, log, ground)
	tainted, err := taints()
	if err != nil {
		return 0, err
	}
	for i := range r.Rows {
		if err := emit(observe.Record{Row: &r.Rows[i]}); err != nil {
			return 0, err
		}
	}
	for i := range r.Log {
		if err := emit(observe.Record{Log: &r.Log[i]}); err != nil {
			return 0, err
		}
	}
	for _, rec := range r.Capture {
		if err := emit(rec); err != nil {
			return 0, err
		}
	}
	return len(r.Rows), emit(observe.Record{End: &observe.End{
		Probe: c.Name(), Outcome: r.Outcome, Reason: r.Reason, ElapsedNS: r.Elapsed.Nanoseconds(), Tainted: tainted,
	}})
}

// taints are the flags by which the kernel remembers what went wrong with it.
func taints() (uint64, error) {
	text, err := lab.ReadSysctl("kernel.tainted")
	if err != nil {
		return 0, fmt.Errorf("ask whether the kernel is tainted: %w", err)
	}
	return strconv.ParseUint(text, 10, 64)
}

func hello(cases []probe.Case, modules Loader, tainted uint64) observe.Record {
	h := &observe.Hello{Protocol: observe.Protocol, Modules: modules.States(), Tainted: tainted}
	var uts unix.Utsname
	if err := unix.Uname(&uts); err == nil {
		h.Release = unix.ByteSliceToString(uts.Release[:])
		h.Version = unix.ByteSliceToString(uts.Version[:])
		h.Arch = unix.ByteSliceToString(uts.Machine[:])
	}
	for _, c := range cases {
		h.Probes = append(h.Probes, c.Name())
	}
	return observe.Record{Hello: h}
}

// settings hold for all probes: the kernel prints what it logs at once and does
// not thin it out, and only what is dire goes to the slow console. Nor does it
// remember a client from one probe to the next: how many ICMP errors it was sent
// of late, and how fast its TCP was.
var settings = []struct{ name, value string }{
	{"net.core.message_cost", "0"},
	{"kernel.printk", "1 4 1 7"},
	{"net.ipv4.icmp_ratelimit", "0"},
	{"net.ipv4.tcp_no_metrics_save", "1"},
}

func quiet() error {
	for _, s := range settings {
		if err := lab.WriteSysctl(s.name, s.value); err != nil {
			return fmt.Errorf("set sysctl %s: %w", s.name, err)
		}
	}
	return nil
}
