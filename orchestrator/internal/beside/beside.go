// Package beside says what else differs between two kernels whose rows do: the
// options that they were built with, the modules that they have, the defaults of
// their settings. It is pure. What it puts beside a change goes with it, over the
// same boundary; whether it is the reason, a reader must say.
package beside

import (
	"maps"
	"slices"
	"strings"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/table"
)

// Kind is what kind of thing differs.
type Kind string

// The kinds, in the order in which they are told.
const (
	Option Kind = "option" // of the kernel's configuration
	Module Kind = "module"
	Sysctl Kind = "sysctl" // the default of a setting
)

// Absent is the state of what a kernel does not have.
const Absent = "absent"

// Difference is one thing that two kernels do not have in common.
type Difference struct {
	Kind Kind   `json:"kind"`
	Name string `json:"name"` // "CONFIG_NF_CT_PROTO_DCCP", "nf_nat", "net.netfilter.nf_conntrack_events"
	// From and To are an option's values, a module's states or a setting's
	// defaults; Absent where there is no such thing. An option that is "n" could
	// have been set, one that is absent is not asked for.
	From string `json:"from"`
	To   string `json:"to"`
}

// String is the difference in a few words: "CONFIG_NF_CT_PROTO_DCCP y → absent".
func (d Difference) String() string {
	text := d.Name + " " + d.From + " → " + d.To
	if d.Kind == Module {
		return "module " + text
	}
	return text
}

// Side is what is known of one kernel beside its rows.
type Side struct {
	Options  map[string]string // nil where the configuration is not known
	Modules  map[string]string // states; without those that nothing asked for
	Defaults map[string]string // of settings in the initial namespace; nil where they were not asked
}

// SideOf is what is known of a column.
func SideOf(t *table.Table, column int) Side {
	return Side{
		Options: t.Columns[column].Config, Modules: states(t.Columns[column].Cell), Defaults: defaults(t, column),
	}
}

// states are those of the modules that the guest had. One that is part of the
// kernel or of another module is there like one that is loaded.
func states(c results.Cell) map[string]string {
	out := map[string]string{}
	for _, m := range c.Modules {
		switch m.State {
		case observe.ModuleLoaded, observe.ModuleBuiltin:
			out[m.Name] = "there"
		case observe.ModuleMissing:
			out[m.Name] = Absent
		default:
			out[m.Name] = string(m.State)
		}
	}
	return out
}

// inventory is the probe that reads every setting's default.
const inventory = "sysctl/inventory"

// defaults are those of the settings that the inventory found: rows such as
// "sysctl/inventory/events.default", "2 0644".
func defaults(t *table.Table, column int) map[string]string {
	var out map[string]string
	at, _ := slices.BinarySearchFunc(t.Rows, inventory+"/", func(r table.Row, prefix string) int {
		return strings.Compare(r.Name, prefix)
	})
	for ; at < len(t.Rows) && t.Rows[at].Probe == inventory; at++ {
		subject, ok := strings.CutSuffix(strings.TrimPrefix(t.Rows[at].Name, inventory+"/"), ".default")
		v := t.Rows[at].Values[column]
		if !ok || v.Status != table.Recorded {
			continue
		}
		if out == nil {
			out = map[string]string{}
		}
		value, _, _ := strings.Cut(v.Text, " ") // its mode follows
		if value == "none" {
			value = Absent
		}
		out[setting(subject)] = value
	}
	return out
}

// setting is the name of the one that a row's subject stands for.
func setting(subject string) string {
	if strings.HasPrefix(subject, "nf_") {
		return "net.netfilter." + subject
	}
	return "net.netfilter.nf_conntrack_" + subject
}

// Comparison is all that differs between two kernels.
type Comparison struct {
	All []Difference // by kind, then by name

	byName map[string]int
}

// Compare compares two kernels. What is not known of one of them is in no
// difference.
func Compare(from, to Side) *Comparison {
	c := &Comparison{byName: map[string]int{}}
	if from.Options != nil && to.Options != nil {
		c.All = append(c.All, Options(from.Options, to.Options)...)
	}
	c.All = append(c.All, common(Module, from.Modules, to.Modules)...)
	c.All = append(c.All, common(Sysctl, from.Defaults, to.Defaults)...)
	for i, d := range c.All {
		c.byName[d.Name] = i
	}
	return c
}

// Options returns what differs between two configurations, by name. That one of
// them does not know what the other has switched off is no difference.
func Options(from, to map[string]string) []Difference {
	return differ(Option, from, to, func(value string) bool { return value == "n" })
}

// Modules returns what differs between the modules of two kernels, by name.
func Modules(from, to map[string]string) []Difference {
	return differ(Module, from, to, func(string) bool { return false })
}

// differ compares two maps. What is off is as good as absent.
func differ(kind Kind, from, to map[string]string, off func(string) bool) []Difference {
	names := maps.Clone(from)
	if names == nil {
		names = map[string]string{}
	}
	maps.Copy(names, to)
	value := func(m map[string]string, name string) string {
		if v, ok := m[name]; ok {
			return v
		}
		return Absent
	}
	var out []Difference
	for _, name := range slices.Sorted(maps.Keys(names)) {
		a, b := value(from, name), value(to, name)
		if a == b || (a == Absent || off(a)) && (b == Absent || off(b)) {
			continue
		}
		out = append(out, Difference{kind, name, a, b})
	}
	return out
}

// common compares what both sides were asked for.
func common(kind Kind, from, to map[string]string) []Difference {
	var out []Difference
	for _, name := range slices.Sorted(maps.Keys(from)) {
		if b, ok := to[name]; ok && b != from[name] {
			out = append(out, Difference{kind, name, from[name], b})
		}
	}
	return out
}
