package sched

import (
	"reflect"
	"slices"
	"testing"

	"github.com/ctmatrix/ctmatrix/orchestrator/internal/matrix"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
)

// change sets a field to something else.
func change(t *testing.T, v reflect.Value) {
	t.Helper()
	switch v.Kind() {
	case reflect.String:
		v.SetString(v.String() + "x")
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.Int:
		v.SetInt(v.Int() + 1)
	case reflect.Uint32:
		v.SetUint(v.Uint() + 1)
	case reflect.Slice:
		v.Set(reflect.Append(v, reflect.ValueOf("x")))
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
	default:
		t.Fatalf("a field of kind %s: say here how it changes", v.Kind())
	}
}

// Every part of the identity makes another id.
func TestIdentityParts(t *testing.T) {
	seen := map[string]string{results.Identity{}.ID(): "nothing"}
	typ := reflect.TypeFor[results.Identity]()
	for i := range typ.NumField() {
		var id results.Identity
		change(t, reflect.ValueOf(&id).Elem().Field(i))
		got, name := id.ID(), typ.Field(i).Name
		if other, twice := seen[got]; twice {
			t.Errorf("another %s has the id of another %s", name, other)
		}
		seen[got] = name
	}
	list := func(args ...string) string { return results.Identity{Args: args}.ID() }
	if list("a b") == list("a", "b") || list("a", "b") == list("b", "a") {
		t.Error("lists that differ have one id")
	}
	if list() != list([]string{}...) {
		t.Error("an empty list is not nothing")
	}
}

// sources are the structs that an identity is made from. Each of their fields
// either changes it, or is said here to be of no matter, and why.
var sources = []struct {
	of     func(r *rig, spec *Cell, c *results.Cell, m *Machine) any
	matter []string
	not    map[string]string
}{
	{
		of: func(_ *rig, s *Cell, _ *results.Cell, _ *Machine) any { return s },
		not: map[string]string{
			"Kernel": "its digest is in results.Kernel", "Variant": "below", "Guest": "below", "Repeat": "never kept",
			"Before": "held to the id",
		},
	}, {
		of:     func(_ *rig, s *Cell, _ *results.Cell, _ *Machine) any { return &s.Guest },
		matter: []string{"Memory", "CPUs", "Clock"},
		not:    map[string]string{"Machine": "Machine.Machine is the one that ran", "Accel": "so is Machine.Accel"},
	}, {
		of:     func(_ *rig, s *Cell, _ *results.Cell, _ *Machine) any { return &s.Variant },
		matter: []string{"Args"},
		not: map[string]string{
			"Name":   "two variants that say the same are the same",
			"Memory": "is in Guest", "CPUs": "is in Guest", "Clock": "is in Guest",
		},
	}, {
		of:     func(_ *rig, _ *Cell, _ *results.Cell, m *Machine) any { return m },
		matter: []string{"QEMU", "Build", "Machine", "Accel", "Restored", "Seed", "Args"},
	}, {
		of:     func(_ *rig, _ *Cell, c *results.Cell, _ *Machine) any { return &c.Kernel },
		matter: []string{"Digest"},
		not: map[string]string{
			"Ref": "a name", "Label": "a name", "Release": "a name", "Version": "a name", "Series": "a name",
			"Flavour": "the digest tells", "Arch": "the digest tells",
			"Source": "where it came from", "Verified": "who vouches for it",
		},
	}, {
		of:     func(r *rig, _ *Cell, _ *results.Cell, _ *Machine) any { return r.Scheduler },
		matter: []string{"Agent", "Shuffle", "FreshGuest"},
		not: map[string]string{
			"Kernels": "", "Booter": "what it boots is in Machine", "Out": "", "Progress": "", "Jobs": "guests share nothing",
			"Modules": "the agent says them", "Selected": "probes do not depend on each other",
			"ImageDir": "", "Cells": "", "Anew": "", "Warn": "",
			"Whole": "lets a kernel be booted or not", "Held": "a kernel's digest is in results.Kernel", "Stored": "", "History": "", "Left": "", "Ended": "", "Capture": "never kept",
		},
	},
}

// A field that is added to what an identity is made from must be decided about.
func TestIdentitySources(t *testing.T) {
	for _, src := range sources {
		typ := reflect.TypeOf(src.of(newRig(t, map[string]script{"1": {}}), &Cell{}, &results.Cell{}, &Machine{})).Elem()
		for i := range typ.NumField() {
			f := typ.Field(i)
			_, not := src.not[f.Name]
			if matters := slices.Contains(src.matter, f.Name); matters == not && f.IsExported() {
				t.Errorf("%s.%s: can it change a row? Put it into results.Identity, or say here why not", typ, f.Name)
			} else if matters && idWith(t, src.of, f.Name) == idWith(t, src.of, "") {
				t.Errorf("%s.%s does not change the id", typ, f.Name)
			} else if not && f.IsExported() && changeable(f.Type) && idWith(t, src.of, f.Name) != idWith(t, src.of, "") {
				t.Errorf("%s.%s changes the id", typ, f.Name)
			}
		}
	}
}

// changeable says whether change knows the type.
func changeable(t reflect.Type) bool {
	return slices.Contains([]reflect.Kind{reflect.String, reflect.Bool, reflect.Int, reflect.Uint32}, t.Kind()) ||
		t == reflect.TypeFor[[]string]()
}

// idWith is the id of a cell after one field of what it is made from has changed.
func idWith(t *testing.T, of func(*rig, *Cell, *results.Cell, *Machine) any, field string) string {
	t.Helper()
	r := newRig(t, map[string]script{"1": {}})
	spec := r.cells[0]
	spec.Variant.Args = []string{"quiet"}
	spec.Guest = matrix.Guest{Memory: "256M", CPUs: 1, Machine: "auto", Accel: "auto", Clock: "virtual"}
	m := Machine{QEMU: "7.2", Build: "b", Machine: "q35", Accel: "tcg", Args: []string{"-m", "256M"}}
	c := Planned(spec)
	c.Kernel.Digest = "d"
	if v := reflect.ValueOf(of(r, &spec, &c, &m)).Elem(); field == "Agent" {
		r.Agent = []byte("other")
	} else if field != "" {
		change(t, v.FieldByName(field))
	}
	r.identify(&c, spec, m)
	return c.ID
}
