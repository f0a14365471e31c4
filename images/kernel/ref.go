package kernel

// Schemes of refs.
const (
	SchemeDebian = "debian"
	SchemeDir    = "dir"
)

// Ref is a parsed kernel ref: scheme, what the scheme makes of the rest, and
// options.
type Ref struct {
	Scheme  string
	Value   string // "6.1", "6.12.*", a path
	Flavour string // "" where not named
	Arch    string // "" where not named
}

// String is the ref as a user would write it.
func (r Ref) String() string {
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

// Defaults of a ref's options.
const (
	DefaultFlavour = "cloud"
	DefaultArch    = "amd64"
)

// ParseRef parses a kernel ref.
func ParseRef(s string) (Ref, error) {
	return Ref{}, ErrBadRef
}
