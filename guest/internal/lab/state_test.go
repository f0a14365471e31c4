package lab

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ctmatrix/ctmatrix/guest/internal/nfnl"
)

// state makes one of facts of one kind.
func state(k Kind, facts ...Fact) *State {
	s := &State{}
	s[k] = facts
	return s
}

func TestDiff(t *testing.T) {
	for _, test := range []struct {
		name          string
		before, after *State
		want          string
	}{
		{"nothing", &State{}, &State{}, ""},
		{"the same", state(KindLink, Fact{Name: "lo", Value: "up"}), state(KindLink, Fact{Name: "lo", Value: "up"}), ""},
		{"something new", state(KindLink, Fact{Name: "lo"}), state(KindLink, Fact{Name: "far"}, Fact{Name: "lo"}), "link far"},
		{"something gone", state(KindRoute, Fact{Name: "to a"}, Fact{Name: "to b"}), state(KindRoute, Fact{Name: "to b"}), "route to a is gone"},
		{"something else", state(KindSetting, Fact{Name: "net.ipv4.ip_forward", Value: "0"}), state(KindSetting, Fact{Name: "net.ipv4.ip_forward", Value: "1"}), "sysctl net.ipv4.ip_forward = 1, was 0"},
		{"a number", &State{}, state(KindExpectations, Fact{Name: "expectations", Value: "3"}), "3 expectations"},
		{"more", state(KindSockets, Fact{Name: "TCP sockets", Value: "1"}), state(KindSockets, Fact{Name: "TCP sockets", Value: "2"}), "2 TCP sockets, were 1"},
		{"none any more", state(KindSockets, Fact{Name: "TCP sockets", Value: "1"}), &State{}, "0 TCP sockets, were 1"},
		{"x_tables", state(KindXTable, Fact{Name: "ip raw", Value: "3 entries"}), state(KindXTable, Fact{Name: "ip raw", Value: "4 entries"}), "x_tables table ip raw = 4 entries, was 3 entries"},
		{"one for another", state(KindAddress, Fact{Name: "a"}), state(KindAddress, Fact{Name: "b"}), "address a is gone; address b"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := Diff(test.before, test.after).String(); got != test.want {
				t.Errorf("Diff says %q, want %q", got, test.want)
			}
		})
	}
}

// No kind may be overlooked, and each must be named in words of its own.
func TestDiffOfEveryKind(t *testing.T) {
	seen := map[string]Kind{}
	all := &State{}
	for k := range kinds {
		f := Fact{Name: "things of kind", Value: "1"}
		all[k] = []Fact{f}
		traces := Diff(&State{}, state(k, f))
		if len(traces) != 1 || traces[0].Kind != k || traces[0].Is == nil || traces[0].Was != nil {
			t.Fatalf("kind %d: %+v", k, traces)
		}
		if kindNames[k] == "" {
			continue // the name of the fact says what it is
		}
		text := traces[0].String()
		if other, ok := seen[text]; ok {
			t.Errorf("kinds %d and %d are both %q", k, other, text)
		}
		seen[text] = k
	}
	// A module that came is why others have another user.
	if got, want := len(Diff(&State{}, all)), int(kinds)-1; got != want {
		t.Errorf("%d traces of all kinds, want %d", got, want)
	}
}

func TestSettling(t *testing.T) {
	uses := Trace{Kind: KindModuleUse, Is: &Fact{}}
	link := Trace{Kind: KindLink, Is: &Fact{}}
	for _, test := range []struct {
		traces Traces
		want   bool
	}{{nil, false}, {Traces{uses}, true}, {Traces{link}, false}, {Traces{uses, link}, false}} {
		if got := settling(test.traces); got != test.want {
			t.Errorf("settling(%v) = %v", test.traces, got)
		}
	}
}

// Whatever a probe writes must be missed if it stays so.
func TestWatches(t *testing.T) {
	for path, want := range map[string]bool{
		"net/netfilter/nf_conntrack_max":   true,
		"net/netfilter/nf_log/2":           true,
		"net/ipv4/ip_forward":              true,
		"net/ipv6/conf/all/forwarding":     true,
		"net/ipv6/conf/near/disable_ipv6":  false,
		"net/ipv6/conf/lo/forwarding":      false,
		"net/ipv4/tcp_wmem":                false,
		"kernel/hostname":                  false,
		"net/netfilter/../../kernel/panic": false,
		"":                                 false,
	} {
		if got := watches(path); got != want {
			t.Errorf("watches(%q) = %v", path, got)
		}
	}
	if err := WriteSysctl("kernel.hostname", "other"); err == nil {
		t.Error("a sysctl that nobody watches was written")
	}
}

func TestHeld(t *testing.T) {
	before := map[string]string{"nft_ct": "1", "nft_redir": "0"}
	for _, test := range []struct {
		now  map[string]string
		want bool
	}{
		{map[string]string{"nft_ct": "1", "nft_redir": "0"}, false},
		{map[string]string{"nft_ct": "2", "nft_redir": "0"}, true},
		{map[string]string{"nft_ct": "1"}, false}, // unloaded: nothing holds it
		{map[string]string{"nft_ct": "1", "nft_log": "0"}, false},
		{map[string]string{"nft_ct": "1", "nft_log": "1"}, true},
	} {
		if got := held(test.now, before); got != test.want {
			t.Errorf("held(%v) = %v", test.now, got)
		}
	}
}

func TestStringAttr(t *testing.T) {
	b := append(stringAttr(1, "abc"), stringAttr(2|unix.NLA_F_NESTED, "stray")...)
	for kind, want := range map[uint16]string{1: "abc", 2: "stray", 3: ""} {
		if got := text(nfnl.Attr(b, kind)); got != want {
			t.Errorf("attribute %d is %q, want %q", kind, got, want)
		}
	}
}
