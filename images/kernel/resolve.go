package kernel

import (
	"fmt"
	"slices"
	"strings"
)

// pick returns the builds that a ref names, oldest first. Where one is meant,
// and others would do in its place, these follow it.
//
// Builds that no signed index vouches for are left out where there are others,
// unless allowed or named exactly; left says which.
func (x *debIndex) pick(ref Ref, allowUnverified bool) (picked, others []build, left string, err error) {
	sel, err := parseSelector(ref.Value)
	if err != nil {
		return nil, nil, "", fmt.Errorf("%w %q: %v", ErrBadRef, ref, err)
	}
	var hits []build
	if sel.kind == selectSuite {
		hits, err = x.shipped(sel.value, ref)
	} else {
		hits = x.matching(sel, ref)
	}
	if err != nil {
		return nil, nil, "", err
	}
	if len(hits) == 0 {
		return nil, nil, "", x.unknown(sel, ref)
	}
	if !allowUnverified && sel.kind != selectExact {
		hits, left = verifiedOnly(hits)
	}
	if !sel.single() {
		return hits, nil, left, nil
	}
	last := len(hits) - 1
	if sel.fallback() {
		others = slices.Clone(hits[:last])
		slices.Reverse(others)
	}
	return hits[last:], others, left, nil
}

// verifiedOnly drops what no signed index vouches for, unless nothing remains.
func verifiedOnly(hits []build) ([]build, string) {
	var good []build
	var dropped []string
	for _, b := range hits {
		if b.Verified {
			good = append(good, b)
		} else {
			dropped = append(dropped, b.Version)
		}
	}
	if len(good) == 0 || len(dropped) == 0 {
		return hits, ""
	}
	what := dropped[0]
	if len(dropped) > 1 {
		what = fmt.Sprintf("%d kernels from %s to %s", len(dropped), what, dropped[len(dropped)-1])
	}
	return good, fmt.Sprintf("left out %s, which no signed index names in full; --allow-unverified takes them in", what)
}

// matching returns the builds of the ref's flavour that a selector speaks of.
func (x *debIndex) matching(sel selector, ref Ref) []build {
	var out []build
	for _, b := range x.builds {
		if b.Flavour == ref.Flavour && sel.matches(b.Candidate) {
			out = append(out, b)
		}
	}
	return out
}

// shipped returns the kernels that a suite's meta package has stood for, oldest
// first. A release's security and updates suites are part of it.
func (x *debIndex) shipped(name string, ref Ref) ([]build, error) {
	wanted := map[string]bool{}
	for _, d := range x.suites {
		if d.is(name) {
			wanted[d.name] = true
			wanted[d.state.Codename+"-security"] = true
			wanted[d.state.Codename+"-updates"] = true
		}
	}
	if len(wanted) == 0 {
		return nil, fmt.Errorf("%w %s: no suite %q; there are %s", ErrUnknown, ref, name, strings.Join(x.suiteNames(), ", "))
	}
	meta := "linux-image-" + suffix(ref.Flavour, x.arch)
	stands := map[[2]string]bool{} // release and version
	for _, d := range x.suites {
		for _, p := range d.packages {
			if !wanted[d.name] || p.Name != meta {
				continue
			}
			for _, dep := range p.Depends {
				pkg, rest, _ := strings.Cut(dep, " ")
				version := strings.TrimSuffix(strings.TrimPrefix(rest, "(= "), ")")
				stands[[2]string{strings.TrimPrefix(pkg, "linux-image-"), version}] = true
			}
		}
	}
	var out []build
	for _, b := range x.builds {
		if b.Flavour == ref.Flavour && stands[[2]string{b.Release, b.Version}] {
			out = append(out, b)
		}
	}
	return out, nil
}

func (x *debIndex) suiteNames() []string {
	var out []string
	for _, d := range x.suites {
		if !d.state.Missing {
			out = append(out, d.name)
		}
	}
	return out
}

// unknown says that there is no such kernel, and what there is nearby.
func (x *debIndex) unknown(sel selector, ref Ref) error {
	var below, above string
	at := sel.position()
	for _, b := range x.builds {
		if b.Flavour != ref.Flavour {
			continue
		}
		if at == "" || CompareVersions(b.Version, at) < 0 {
			below = b.Version
		} else if above == "" {
			above = b.Version
		}
	}
	near := strings.Join(slices.DeleteFunc([]string{below, above}, func(s string) bool { return s == "" }), ", ")
	if near == "" {
		near = "none at all in " + strings.Join(x.suiteNames(), ", ")
	}
	return &UnknownError{Ref: ref, Nearest: near}
}

// UnknownError: no kernel answers to a ref. It is ErrUnknown to errors.Is.
type UnknownError struct {
	Ref     Ref
	Nearest string // versions around the wanted one
}

func (e *UnknownError) Error() string {
	return fmt.Sprintf("no kernel %s:%s for flavour %s, arch %s; nearest: %s", e.Ref.Scheme, e.Ref.Value, e.Ref.Flavour, e.Ref.Arch, e.Nearest)
}

// Is makes the error ErrUnknown.
func (e *UnknownError) Is(target error) bool { return target == ErrUnknown }
