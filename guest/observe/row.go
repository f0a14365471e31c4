// Package observe holds what the guest says and the host hears: rows, the
// values in them, and the record stream that carries them. It is the only
// package that both sides share, so it imports nothing of either.
package observe

import (
	"fmt"
	"strings"
)

// Kind names the type of an observed value. It says how the value was taken
// and fixes how two values of it are compared: the canonical text is compared
// byte for byte, and two rows of one name but different kinds never agree.
type Kind string

// The kinds of observation.
const (
	Fate    Kind = "fate"    // what became of packets at the far side: "10 delivered", "3 dropped"
	Entry   Kind = "entry"   // state and flags of a conntrack entry, or "none"
	Tuple   Kind = "tuple"   // one direction's addresses and ports
	Class   Kind = "class"   // what tracking thought of packets: "new", "established", "related", "invalid", "untracked"
	Events  Kind = "events"  // conntrack events in order of arrival
	Delta   Kind = "delta"   // difference of a statistic before and after
	Count   Kind = "count"   // a number of things
	Timeout Kind = "timeout" // seconds that an entry was given
	Errno   Kind = "errno"   // symbolic errno of a system call, or "ok"
	Flag    Kind = "flag"    // "yes" or "no"
	Text    Kind = "text"    // anything else, in a canonical form
	Chance  Kind = "chance"  // how often something happened that takes luck, "37 of 2000": never compared
)

var kinds = map[Kind]bool{
	Fate: true, Entry: true, Tuple: true, Class: true, Events: true, Delta: true,
	Count: true, Timeout: true, Errno: true, Flag: true, Text: true, Chance: true,
}

// Valid reports whether k is one of the kinds declared in this package.
func (k Kind) Valid() bool { return kinds[k] }

// Row is one observed fact. Name has the form family/probe/subject.attr, for
// example "table-full/syn/raw.packets".
type Row struct {
	Name  string `json:"row"`
	Kind  Kind   `json:"kind"`
	Value string `json:"value"`
}

// MaxName and MaxValue bound a row's name and value in bytes. A longer one is
// an error on either side of the stream.
const (
	MaxName  = 200
	MaxValue = 4096
)

// Probe returns the family/probe part of the row's name.
func (r Row) Probe() string {
	if i := strings.LastIndexByte(r.Name, '/'); i >= 0 {
		return r.Name[:i]
	}
	return ""
}

// Check reports what is wrong with r: its name, its kind, or a size.
func (r Row) Check() error {
	if err := checkName(r.Name); err != nil {
		return err
	}
	if !r.Kind.Valid() {
		return fmt.Errorf("row %s: unknown kind %q", r.Name, r.Kind)
	}
	if len(r.Value) > MaxValue {
		return fmt.Errorf("row %s: value of %d bytes, more than %d", r.Name, len(r.Value), MaxValue)
	}
	return nil
}

func checkName(name string) error {
	if len(name) > MaxName {
		return fmt.Errorf("row name of %d bytes, more than %d", len(name), MaxName)
	}
	family, rest, _ := strings.Cut(name, "/")
	probe, subject, _ := strings.Cut(rest, "/")
	if strings.Count(name, "/") != 2 || !strings.Contains(subject, ".") {
		return fmt.Errorf("row name %q is not family/probe/subject.attr", name)
	}
	for _, part := range []string{family, probe, subject} {
		if !partOfName(part) {
			return fmt.Errorf("row name %q: only a-z, A-Z, 0-9 and -_.+@= may stand in it", name)
		}
	}
	return nil
}

// partOfName reports whether a text may be the family, probe or subject of a name.
func partOfName(text string) bool {
	for i := range len(text) {
		switch c := text[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		case strings.IndexByte("-_.+@=", c) < 0:
			return false
		}
	}
	return text != ""
}

// Outcome is how a probe ended. Only Recorded and Unsupported are behaviour;
// the others are never compared.
type Outcome string

// The five outcomes.
const (
	Recorded    Outcome = "recorded"    // the question was asked and answered
	Unsupported Outcome = "unsupported" // the kernel lacks something; the reason names it
	Broken      Outcome = "broken"      // our rig failed; the reason says where
	Crashed     Outcome = "crashed"     // the kernel oopsed, panicked or hung
	Missing     Outcome = "missing"     // the probe never ran
)

var outcomes = map[Outcome]bool{
	Recorded: true, Unsupported: true, Broken: true, Crashed: true, Missing: true,
}

// Valid reports whether o is one of the five outcomes.
func (o Outcome) Valid() bool { return outcomes[o] }

// Behaviour reports whether o is an answer of the kernel under test, which may
// be compared with another kernel's.
func (o Outcome) Behaviour() bool { return o == Recorded || o == Unsupported }
