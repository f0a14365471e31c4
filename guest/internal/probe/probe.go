// Package probe is the language that experiments are written in. A probe is a
// declarative head and a short body; the head can be listed without running,
// and the body records what happened without expecting anything.
package probe

import (
	"slices"

	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/observe"
)

// Place is the network namespace that a probe uses as the box under test.
type Place string

// The places. The initial namespace differs from others in more than one way:
// limits, log lines and some sysctls are only there.
const (
	Initial Place = "initial"
	Child   Place = "child"
)

// Sysctl is a setting that holds while a probe runs.
type Sysctl struct{ Name, Value string }

// Probe is one experiment. Everything but Run is data.
type Probe struct {
	Name     string // family/probe
	Question string
	Source   string // where the behaviour asked about is written down or coded

	Path    lab.Path // lab.Input if empty
	Sysctls []Sysctl
	Rules   []lab.Rule
	Needs   []string // kernel modules, beyond those every probe needs
	Only    Place    // both places if empty

	// Timed says that the probe waits for kernel time, so that its rows depend
	// on the clock that the guest runs on.
	Timed bool

	// Bare leaves out the class meters, whose ct expressions would make the
	// namespace track. Enabling tracking is then up to the rules.
	Bare bool
	// Untouched unloads conntrack before the probe and loads it again after.
	Untouched bool
	// Wears are modules that some kernels count as used for good when the probe is
	// over, so that they cannot be unloaded. It is asked after all others.
	Wears []string
	// Renews are modules that are loaded anew after the probe, because what it does
	// makes some kernels forget part of what they keep.
	Renews []string

	Run func(*P)
}

// base are the modules that every probe needs.
var base = []string{"tun", "nf_tables", "nft_counter", "nf_conntrack", "nf_conntrack_netlink", "nft_ct"}

// Case is a probe in a place: what runs and what rows belong to.
type Case struct {
	Probe
	Place Place
	// HostClock says that the guest's clock is the host's: what takes days
	// cannot be asked.
	HostClock bool
	// Capture says that what passes the links is recorded.
	Capture bool
}

// Name is the probe's name, marked where the box is not the initial namespace.
func (c Case) Name() string {
	if c.Place == Child {
		return c.Probe.Name + "@child"
	}
	return c.Probe.Name
}

// Cases lists each probe in each of its places, in order.
func Cases(probes []Probe) []Case {
	var cases []Case
	for _, p := range probes {
		for _, place := range []Place{Initial, Child} {
			if p.Only == "" || p.Only == place {
				cases = append(cases, Case{Probe: p, Place: place})
			}
		}
	}
	return cases
}

// Head describes the case to the host.
func (c Case) Head() observe.Head {
	h := observe.Head{
		Name: c.Name(), Question: c.Question, Source: c.Source,
		Path: string(c.path()) + " (" + string(c.Place) + " namespace)", Needs: c.modules(),
		Timed: c.Timed,
	}
	for _, s := range c.Sysctls {
		h.Sysctls = append(h.Sysctls, s.Name+" = "+s.Value)
	}
	for _, r := range c.Probe.Rules {
		h.Rules = append(h.Rules, r.String())
	}
	return h
}

func (c Case) path() lab.Path {
	if c.Path == "" {
		return lab.Input
	}
	return c.Path
}

func (c Case) modules() []string {
	return append(slices.Clone(base), c.Needs...)
}

// Modules lists every module that the cases need, sorted, each once.
func Modules(cases []Case) []string {
	var all []string
	for _, c := range cases {
		all = append(all, c.modules()...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}
