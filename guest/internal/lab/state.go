package lab

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// State is what a probe could leave behind: what there is of each kind, sorted
// by name. Two states of clean ground are equal. States share what did not change
// between them: it is not to be written to.
type State [kinds][]Fact

// Kind is a sort of thing that a probe could leave behind.
type Kind int

// The kinds, in the order in which traces are named and undone: what holds
// others comes before what it holds.
const (
	KindFile Kind = iota
	KindThread
	KindNamespaces
	KindLink
	KindAddress
	KindRoute
	KindRule
	KindNeighbour
	KindNFTable
	KindXTable
	KindHelper
	KindTimeoutPolicy
	KindEntries
	KindExpectations
	KindSockets
	KindSetting
	KindParameter
	KindModule
	KindModuleUse
	kinds
)

// kindNames are the words before the name of a fact. Kinds without one are
// counted: their facts have a number for a value, and the name says of what.
var kindNames = [kinds]string{
	KindFile: "open file", KindLink: "link", KindAddress: "address", KindRoute: "route",
	KindRule: "routing rule", KindNeighbour: "neighbour", KindNFTable: "nftables table", KindXTable: "x_tables table",
	KindHelper: "ct helper", KindTimeoutPolicy: "ct timeout policy", KindSetting: "sysctl",
	KindParameter: "module parameter", KindModule: "module", KindModuleUse: "use of module",
}

// Fact is one thing of a kind.
type Fact struct {
	Name  string
	Value string // what may change about it
	thing any    // what undoing needs to know of it
}

// Trace is a difference between two states.
type Trace struct {
	Kind Kind
	Was  *Fact // nil if it was not there before
	Is   *Fact // nil if it is gone
}

// String names the trace: "link far", "sysctl net.ipv4.ip_forward = 1, was 0",
// "3 expectations".
func (t Trace) String() string {
	word := kindNames[t.Kind]
	switch {
	case word == "" && t.Was == nil:
		return t.Is.Value + " " + t.Is.Name
	case word == "" && t.Is == nil:
		return "0 " + t.Was.Name + ", were " + t.Was.Value
	case word == "":
		return t.Is.Value + " " + t.Is.Name + ", were " + t.Was.Value
	case t.Was == nil:
		return word + " " + t.Is.Name
	case t.Is == nil:
		return word + " " + t.Was.Name + " is gone"
	}
	return word + " " + t.Is.Name + " = " + t.Is.Value + ", was " + t.Was.Value
}

// Traces is a list of traces that reads as one sentence.
type Traces []Trace

func (ts Traces) String() string {
	texts := make([]string, len(ts))
	for i, t := range ts {
		texts[i] = t.String()
	}
	return strings.Join(texts, "; ")
}

// Diff returns what is different after, in the order of kinds and names.
func Diff(before, after *State) Traces {
	var traces Traces
	for k := range kinds {
		if k == KindModuleUse && len(traces) > 0 && traces[len(traces)-1].Kind == KindModule {
			break // how often others are used follows from that
		}
		was, is := before[k], after[k]
		if same(was, is) {
			continue
		}
		for len(was) > 0 || len(is) > 0 {
			order := 0
			switch {
			case len(was) == 0:
				order = 1
			case len(is) == 0:
				order = -1
			default:
				order = strings.Compare(was[0].Name, is[0].Name)
			}
			switch {
			case order < 0:
				traces = append(traces, Trace{k, &was[0], nil})
				was = was[1:]
			case order > 0:
				traces = append(traces, Trace{k, nil, &is[0]})
				is = is[1:]
			default:
				if was[0].Value != is[0].Value {
					traces = append(traces, Trace{k, &was[0], &is[0]})
				}
				was, is = was[1:], is[1:]
			}
		}
	}
	return traces
}

// same reports whether two lists of facts are one: what did not change is not listed
// anew. Others may be equal, too.
func same(a, b []Fact) bool { return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0]) }

// add keeps a fact; sorted puts a kind in order once all of it is there.
func (s *State) add(k Kind, f Fact) { s[k] = append(s[k], f) }

func (s *State) sorted(k Kind) {
	slices.SortFunc(s[k], func(a, b Fact) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Value, b.Value))
	})
}

// count keeps how many there are of something, unless there are none.
func (s *State) count(k Kind, n int, what string) {
	if n != 0 {
		s.add(k, Fact{Name: what, Value: fmt.Sprint(n)})
	}
}
