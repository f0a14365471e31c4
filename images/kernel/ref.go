package kernel

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// Schemes of refs.
const (
	SchemeDebian = "debian"
	SchemeDir    = "dir"  // a vmlinuz and its modules
	SchemeTree   = "tree" // a kernel's build tree
	SchemeHost   = "host" // a kernel that is installed on this machine
)

// Defaults of a ref's options.
const (
	DefaultFlavour = "cloud"
	DefaultArch    = "amd64"
)

var (
	schemes  = []string{SchemeDebian, SchemeDir, SchemeTree, SchemeHost}
	flavours = []string{"cloud", "generic", "rt"}
	arches   = []string{"amd64", "arm64", "loong64", "ppc64el", "riscv64", "s390x"}
)

// Ref is a parsed kernel ref: scheme, what the scheme makes of the rest, and
// options.
type Ref struct {
	Scheme  string
	Value   string // "6.1", "6.12.*", a path; "" for the running kernel
	Flavour string // "" where not named
	Arch    string // "" where not named

	text string // as the user wrote it
}

// String is the ref as the user wrote it, or as one would where it was not
// parsed. Options that are the default are not written then.
func (r Ref) String() string {
	if r.text != "" {
		return r.text
	}
	s := r.Scheme + ":" + r.Value
	sep := "?"
	if r.Flavour != "" && r.Flavour != DefaultFlavour {
		s, sep = s+sep+"flavour="+r.Flavour, "&"
	}
	if r.Arch != "" && r.Arch != DefaultArch {
		s += sep + "arch=" + r.Arch
	}
	return s
}

// ParseRef parses a kernel ref: "debian:6.1?flavour=rt", "dir:/boot/mine",
// "tree:/src/linux", "host:". The error says what would be right.
func ParseRef(s string) (Ref, error) {
	bad := func(format string, args ...any) (Ref, error) {
		return Ref{}, fmt.Errorf("%w %q: %s", ErrBadRef, s, fmt.Sprintf(format, args...))
	}
	if len(s) > 4096 || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return Ref{}, fmt.Errorf("%w %.80q: too long, or control characters in it", ErrBadRef, s)
	}
	scheme, rest, ok := strings.Cut(s, ":")
	if !ok {
		return bad("no scheme; write debian:%s or dir:PATH", s)
	}
	if !slices.Contains(schemes, scheme) {
		return bad("unknown scheme %q; there are %s", scheme, strings.Join(schemes, ", "))
	}
	r := Ref{Scheme: scheme, Value: rest, text: s}
	if value, opts, ok := strings.Cut(rest, "?"); ok {
		r.Value = value
		if err := r.options(opts); err != nil {
			return bad("%v", err)
		}
	}
	if r.Value == "" && scheme != SchemeHost {
		return bad("nothing after %s:", scheme)
	}
	if scheme == SchemeDebian {
		if _, err := parseSelector(r.Value); err != nil {
			return bad("%v", err)
		}
	}
	if scheme == SchemeHost && r.Value != "" && !plainRelease(r.Value) {
		return bad("%q is no release; write host: for the running kernel, or host:RELEASE as uname -r has it", r.Value)
	}
	return r, nil
}

// options parses what follows the question mark.
func (r *Ref) options(s string) error {
	opts, err := url.ParseQuery(s)
	if err != nil {
		return fmt.Errorf("options %q: write ?flavour=NAME&arch=NAME", s)
	}
	names := make([]string, 0, len(opts))
	for name := range opts {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if len(opts[name]) > 1 {
			return fmt.Errorf("option %s is given twice", name)
		}
		value := opts[name][0]
		switch name {
		case "flavour":
			r.Flavour, err = oneOf("flavour", value, flavours)
		case "arch":
			r.Arch, err = oneOf("arch", value, arches)
		default:
			err = fmt.Errorf("unknown option %q; there are flavour and arch", name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func oneOf(what, value string, all []string) (string, error) {
	if !slices.Contains(all, value) {
		return "", fmt.Errorf("unknown %s %q; there are %s", what, value, strings.Join(all, ", "))
	}
	return value, nil
}
