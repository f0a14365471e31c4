package main

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/ctmatrix/ctmatrix/guest/internal/modules"
)

func TestParseModprobe(t *testing.T) {
	for text, want := range map[string]probing{
		"-q -- net-pf-16-proto-12": {names: []string{"net-pf-16-proto-12"}, quiet: true}, // the kernel's
		"ip_tables -q":             {names: []string{"ip_tables"}, quiet: true},          // iptables'
		"-a a b":                   {names: []string{"a", "b"}},
		"-r a":                     {names: []string{"a"}, remove: true},
		"-- -a":                    {names: []string{"-a"}},
	} {
		if got, err := parseModprobe(strings.Fields(text)); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %+v, %v; want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "--", "-q", "--nonsense a", "nf_conntrack hashsize=7"} {
		if got, err := parseModprobe(strings.Fields(text)); err == nil || exitStatus(err) != 64 {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
}

// shelf is a loader that has some modules.
type shelf struct {
	has, loaded map[string]bool
}

func (s shelf) Has(name string) bool { return s.has[name] }

func (s shelf) Load(names ...string) error {
	for _, n := range names {
		if !s.has[n] {
			return fmt.Errorf("%s: %w", n, modules.ErrMissing)
		}
		s.loaded[n] = true
	}
	return nil
}

func (s shelf) Unload(name string) error { delete(s.loaded, name); return nil }

func TestModprobe(t *testing.T) {
	s := shelf{has: map[string]bool{"a": true, "b": true}, loaded: map[string]bool{}}
	if err := (probing{names: []string{"a", "none"}, quiet: true}).run(s, nil); err != nil || !s.loaded["a"] {
		t.Errorf("quietly: %v, %v", err, s.loaded)
	}
	if err := (probing{names: []string{"none", "b"}}).run(s, nil); !errors.Is(err, modules.ErrMissing) || !s.loaded["b"] {
		t.Errorf("one is missing: %v, %v", err, s.loaded)
	}
	if err := (probing{names: []string{"a"}, remove: true}).run(s, nil); err != nil || s.loaded["a"] {
		t.Errorf("removed: %v, %v", err, s.loaded)
	}
}
