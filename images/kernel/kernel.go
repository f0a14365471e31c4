// Package kernel finds, fetches and keeps the kernels to be tested.
//
// A kernel is named by a ref, "debian:6.1" or "dir:/boot/mine". A Catalog hands
// a ref to the source of its scheme, which answers with candidates; a fetched
// candidate is a Kernel, files in a store that several processes may share.
package kernel

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/ctmatrix/ctmatrix/images/kernel/store"
)

// Candidate is a kernel that a source can fetch. It is plain data: it can be
// kept, sent elsewhere and fetched by another process with the same settings.
type Candidate struct {
	Ref      string   `json:"ref"`      // as the user named it: "debian:6.1"
	Source   string   `json:"source"`   // the source's name: "debian", "dir"
	Version  string   `json:"version"`  // package version: "6.1.192-2"; the release where there is no package
	Upstream string   `json:"upstream"` // "6.1.192"
	Series   string   `json:"series"`   // stable series: "6.1"
	Release  string   `json:"release"`  // uname -r: "6.1.0-56-cloud-amd64"
	Flavour  string   `json:"flavour,omitempty"`
	Arch     string   `json:"arch"`               // Debian's name: "amd64"
	Suite    string   `json:"suite,omitempty"`    // where it was found first, in the order of the suites
	Verified bool     `json:"verified"`           // whether a signed index vouches for every file
	Warnings []string `json:"warnings,omitempty"` // of this candidate: its index has expired
}

// Exact is a ref that names this candidate and no other, whatever ref found it.
func (c Candidate) Exact() string {
	if c.Source != SchemeDebian || c.Suite == "" { // named by path, or by its file in the pool
		return c.Ref
	}
	return Ref{Scheme: c.Source, Value: c.Version, Flavour: c.Flavour, Arch: c.Arch}.String()
}

// Kernel is a fetched candidate: files that stay as they are until the store is
// collected. They must not be written to.
type Kernel struct {
	Candidate

	// Image is the path of the bootable file, vmlinuz.
	Image string `json:"image"`
	// ModulesDir holds the modules, uncompressed, below kernel/ as the package
	// lays them out, and modules.builtin, modules.builtin.modinfo and
	// modules.order where the package ships them. Only the modules that a
	// suite about networking can need are kept.
	ModulesDir string `json:"modules_dir"`
	// Config is the path of the kernel's configuration, or "" where not shipped.
	Config string `json:"config,omitempty"`
	// Digest is the SHA256, in hex, over the image and the kept modules with
	// their names below ModulesDir. It does not depend on where they lie, nor
	// on where they came from.
	Digest string `json:"digest"`
}

// Source offers kernels of one scheme. Its methods may be called concurrently.
type Source interface {
	// List returns all that there is, oldest first: every flavour of the
	// source's architecture. A source whose kernels cannot be listed, because
	// the user names them by path, returns none.
	List(ctx context.Context) ([]Candidate, error)
	// Resolve returns the candidates that ref names, oldest first: at least
	// one, or an error that says what there is instead.
	Resolve(ctx context.Context, ref Ref) ([]Candidate, error)
	// Fetch makes the candidate's files available. A candidate that has gone
	// since its index was written gives an error for which errors.Is(err,
	// ErrGone) holds, unless its ref allows another choice: then that one is
	// fetched, and the kernel's warnings say so.
	Fetch(ctx context.Context, c Candidate) (*Kernel, error)
}

// Errors to be tested for with errors.Is.
var (
	// ErrGone: the index names a package that the mirror no longer has.
	ErrGone = errors.New("package has gone from the mirror")
	// ErrUnknown: no kernel answers to the ref.
	ErrUnknown = errors.New("no such kernel")
	// ErrUnverified: no signed index vouches for a file, and unverified files
	// are not allowed.
	ErrUnverified = errors.New("not in a signed index")
	// ErrCorrupt: what was downloaded is not what the index promised.
	ErrCorrupt = errors.New("content differs from the signed index")
	// ErrBadRef: the ref is malformed.
	ErrBadRef = errors.New("bad kernel ref")
)

// Options says where kernels come from and where they are kept. The zero value
// works on a Debian host.
type Options struct {
	// CacheDir is the store's directory; "" means $CTMATRIX_CACHE, else
	// ctmatrix below the user's cache directory.
	CacheDir string
	// Mirror is the base URL of the main archive, as in apt's sources; "" means
	// the one that the host's apt sources name.
	Mirror string
	// SecurityMirror is the base URL of the security archive; "" means the
	// host's apt sources, or with Mirror given its sibling debian-security.
	SecurityMirror string
	// Suites are the suites to look into, by name; nil means all supported
	// releases with security, updates and backports, testing, unstable and
	// experimental. A name that ends in -security is on the security archive.
	Suites []string
	// Keyring is the path of the archive's OpenPGP keyring; "" means the one of
	// the host, else the built-in copy.
	Keyring string
	// AllowUnverified permits packages that no signed index vouches for.
	AllowUnverified bool
	// Refresh asks the mirror again however fresh the indexes are.
	Refresh bool
	// Freshness is how long an index is used without asking the mirror; 0 means
	// one hour.
	Freshness time.Duration
	// Flavour and Arch apply to refs that do not name them; "" means "cloud"
	// and "amd64".
	Flavour, Arch string
	// Progress is told about downloads; nil is fine.
	Progress Progress
	// Warn is called with what the user should know although all went well, one
	// line each; Verbose with what only a curious user wants to know. Both may
	// be called concurrently; nil is fine.
	Warn, Verbose func(msg string)
	// HTTP is the client for downloads; nil means one that respects the
	// environment's proxy.
	HTTP *http.Client
	// AptDir is the directory of apt's configuration; "" means /etc/apt.
	AptDir string
	// Patience is how long a mirror may take to bring little or nothing; 0 means a
	// minute.
	Patience time.Duration
	// Now is the clock that indexes expire by; nil means time.Now.
	Now func() time.Time
}

// Progress is told about work that takes long. Start may be called
// concurrently; total is in bytes, or 0 where unknown.
type Progress interface {
	Start(name string, total int64) Task
}

// Task is one piece of such work, used by one goroutine. Done is called exactly
// once, with nil when the work was finished.
type Task interface {
	Add(n int64)
	Done(err error)
}

// Catalog dispatches refs to the sources of their schemes. It may be used
// concurrently.
type Catalog struct {
	sources map[string]Source
	store   *store.Store
	flavour string
	arch    string
}

// Source returns the source of a scheme, or nil.
func (c *Catalog) Source(scheme string) Source { return c.sources[scheme] }

// Resolve returns the candidates that a ref names, oldest first: at least one,
// or an error of one line that says what there is instead.
func (c *Catalog) Resolve(ctx context.Context, ref string) ([]Candidate, error) {
	r, s, err := c.parse(ref)
	if err != nil {
		return nil, err
	}
	return s.Resolve(ctx, r)
}

// parse parses a ref, adds the defaults and finds its source.
func (c *Catalog) parse(ref string) (Ref, Source, error) {
	r, err := ParseRef(ref)
	if err != nil {
		return r, nil, err
	}
	r.Flavour = cmp.Or(r.Flavour, c.flavour)
	r.Arch = cmp.Or(r.Arch, c.arch)
	s := c.sources[r.Scheme]
	if s == nil {
		return r, nil, fmt.Errorf("%w %q: no source for scheme %q", ErrBadRef, ref, r.Scheme)
	}
	return r, s, nil
}

// Fetch makes a candidate's files available.
func (c *Catalog) Fetch(ctx context.Context, cand Candidate) (*Kernel, error) {
	s := c.sources[cand.Source]
	if s == nil {
		return nil, fmt.Errorf("%w %q: no source %q", ErrBadRef, cand.Ref, cand.Source)
	}
	return s.Fetch(ctx, cand)
}
