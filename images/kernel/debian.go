package kernel

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ctmatrix/ctmatrix/images/kernel/apt"
	"github.com/ctmatrix/ctmatrix/images/kernel/deb"
	"github.com/ctmatrix/ctmatrix/images/kernel/store"
)

// DefaultSuites are the suites that are looked into: all supported releases,
// and what becomes the next one.
var DefaultSuites = []string{
	"bullseye", "bullseye-updates", "bullseye-security",
	"bookworm", "bookworm-updates", "bookworm-security", "bookworm-backports",
	"trixie", "trixie-updates", "trixie-security", "trixie-backports",
	"testing", "unstable", "experimental",
}

const (
	suitesAtOnce   = 4
	packagesAtOnce = 3
)

// debian is the source of packaged kernels.
type debian struct {
	o     Options // with all defaults filled in
	store *store.Store
	fetch *fetcher
	keys  func() (apt.Keyring, error)

	unkept sync.Once // warns that indexes cannot be kept

	mu      sync.Mutex
	indexes map[string]*debIndex // by architecture; what was loaded stays for the life of the source
}

func newDebian(o Options, st *store.Store) *debian {
	return &debian{
		o: o, store: st, fetch: newFetcher(o), indexes: map[string]*debIndex{},
		keys: sync.OnceValues(func() (apt.Keyring, error) {
			hosts := slices.Clone(apt.HostKeyrings)
			if m, err := apt.Discover(o.AptDir); err == nil {
				hosts = append(hosts, m.SignedBy...)
			}
			slices.Sort(hosts)
			return apt.LoadKeyring(o.Keyring, slices.Compact(hosts))
		}),
	}
}

func (s *debian) now() time.Time { return s.o.Now() }

func (s *debian) warn(format string, args ...any)    { s.o.Warn(fmt.Sprintf(format, args...)) }
func (s *debian) verbose(format string, args ...any) { s.o.Verbose(fmt.Sprintf(format, args...)) }

// List implements Source.
func (s *debian) List(ctx context.Context) ([]Candidate, error) {
	x, err := s.index(ctx, s.o.Arch)
	if err != nil {
		return nil, err
	}
	var out []Candidate
	for _, b := range x.builds {
		c := b.Candidate
		c.Ref = c.Exact()
		out = append(out, c)
	}
	return out, nil
}

// Resolve implements Source.
func (s *debian) Resolve(ctx context.Context, ref Ref) ([]Candidate, error) {
	if sel, err := parseSelector(ref.Value); err == nil && sel.kind == selectPool {
		if !s.o.AllowUnverified {
			return nil, fmt.Errorf("%s: a file of the pool is %w; --allow-unverified takes it", ref, ErrUnverified)
		}
		return []Candidate{s.poolCandidate(sel, ref)}, nil
	}
	x, err := s.index(ctx, ref.Arch)
	if err != nil {
		return nil, err
	}
	picked, _, left, err := x.pick(ref, s.o.AllowUnverified)
	if err != nil {
		return nil, err
	}
	if left != "" {
		s.warn("%s: %s", ref, left)
	}
	var out []Candidate
	for _, b := range picked {
		b.Ref = ref.String()
		out = append(out, b.Candidate)
	}
	return out, nil
}

// Fetch implements Source.
func (s *debian) Fetch(ctx context.Context, c Candidate) (*Kernel, error) {
	ref, err := wholeRef(c)
	if err != nil {
		return nil, err
	}
	choices, err := s.choices(ctx, ref, c)
	if err != nil {
		return nil, err
	}
	var warnings []string
	for i, b := range choices {
		b.Ref = c.Ref
		k, err := s.fetchBuild(ctx, b)
		if errors.Is(err, ErrGone) && i+1 < len(choices) {
			warnings = append(warnings, fmt.Sprintf("%s: %v; taking %s", c.Ref, err, choices[i+1].Version))
			s.warn("%s", warnings[len(warnings)-1])
			continue
		}
		if err != nil && ref.single() {
			return nil, fmt.Errorf("%s: %w", c.Ref, err)
		}
		if err != nil { // the ref names others, too
			return nil, fmt.Errorf("%s: %w", b.Exact(), err)
		}
		k.Warnings = append(slices.Clone(k.Warnings), warnings...)
		return k, nil
	}
	return nil, &UnknownError{Ref: ref, Nearest: "none"}
}

// wholeRef is the ref that a candidate was found by, with what the ref leaves to
// defaults.
func wholeRef(c Candidate) (Ref, error) {
	ref, err := ParseRef(c.Ref)
	ref.Flavour, ref.Arch = c.Flavour, c.Arch
	return ref, err
}

// choices returns the build that a candidate stands for, and after it those
// that will do where it has gone.
func (s *debian) choices(ctx context.Context, ref Ref, c Candidate) ([]build, error) {
	if sel, err := parseSelector(ref.Value); err == nil && sel.kind == selectPool {
		b, err := s.poolBuild(sel, ref)
		return []build{b}, err
	}
	x, err := s.index(ctx, c.Arch)
	if err != nil {
		return nil, err
	}
	exact := ref
	exact.Value, exact.text = c.Version, ""
	picked, _, _, err := x.pick(exact, true)
	if err != nil {
		return nil, err
	}
	all, others, _, err := x.pick(ref, s.o.AllowUnverified)
	if err != nil || !slices.ContainsFunc(all, func(b build) bool { return b.Version == c.Version }) {
		others = nil
	}
	return append(picked, others...), nil
}

// index returns the kernels of an architecture.
func (s *debian) index(ctx context.Context, arch string) (*debIndex, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if x := s.indexes[arch]; x != nil {
		return x, nil
	}
	mirrors, err := s.mirrors()
	if err != nil {
		return nil, err
	}
	loaded := make([]*suiteData, len(s.o.Suites))
	bad := make([]error, len(s.o.Suites))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(suitesAtOnce)
	for i, name := range s.o.Suites {
		base := mirrors.Main
		if strings.HasSuffix(name, "-security") {
			base = mirrors.Security
		}
		g.Go(func() error {
			d, err := s.loadSuite(gctx, name, base, arch)
			if errors.Is(err, apt.ErrSignature) {
				bad[i] = err
				return nil
			}
			loaded[i] = d
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	suites, err := s.usable(loaded, bad)
	if err != nil {
		return nil, err
	}
	x := newDebIndex(suites, arch, s.now())
	s.indexes[arch] = x
	return x, nil
}

// usable drops the suites that cannot be used and tells the user so. A suite
// whose signature is bad is not used, as if it were not there: whoever can
// break a signature could have left the suite out as well.
func (s *debian) usable(loaded []*suiteData, bad []error) ([]*suiteData, error) {
	var out []*suiteData
	var first error
	for i, d := range loaded {
		switch {
		case bad[i] != nil:
			first = cmpErr(first, bad[i])
			s.warn("%v; passed over", bad[i])
		case d.state.Missing:
			s.verbose("suite %s: not on the mirror; passed over", d.name)
		case d.state.Index == "":
			s.verbose("suite %s: nothing for this architecture", d.name)
			out = append(out, d)
		default:
			if d.expired(s.now()) {
				// Whoever gets a kernel from it is warned with the kernel.
				s.verbose("%s", expiry(d))
			}
			out = append(out, d)
		}
	}
	if len(out) > 0 {
		return out, nil
	}
	if first != nil {
		return nil, first
	}
	return nil, fmt.Errorf("none of the suites %s is on the mirror; check mirror: or --mirror", strings.Join(s.o.Suites, ", "))
}

func cmpErr(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// mirrors returns the archives from the options, else from the host.
func (s *debian) mirrors() (apt.Mirrors, error) {
	m := apt.Mirrors{Main: strings.TrimRight(s.o.Mirror, "/"), Security: strings.TrimRight(s.o.SecurityMirror, "/")}
	if m.Main == "" {
		host, err := apt.Discover(s.o.AptDir)
		if errors.Is(err, apt.ErrNoMirror) {
			return m, fmt.Errorf("%w below %s; set mirror: in matrix.yaml, or --mirror URL", err, s.o.AptDir)
		}
		if err != nil {
			return m, err
		}
		m.Main = host.Main
		if m.Security == "" {
			m.Security = host.Security
		}
	}
	if m.Security == "" {
		m.Security = m.Main[:strings.LastIndexByte(m.Main, '/')+1] + "debian-security"
	}
	return m, nil
}

// fetchBuild makes a build's files available: from the store, else from the
// mirror.
func (s *debian) fetchBuild(ctx context.Context, b build) (*Kernel, error) {
	if !b.Verified && !s.o.AllowUnverified {
		var names []string
		for _, p := range b.parts {
			if p.hash.SHA256 == "" {
				names = append(names, p.label)
			}
		}
		return nil, fmt.Errorf("%s: %s: %w; --allow-unverified takes it", b.Version, strings.Join(names, ", "), ErrUnverified)
	}
	e, err := fill(ctx, s.store, storeKey(b), s.o.Warn, func(ctx context.Context, dir string) (store.Filled, error) {
		return s.unpackBuild(ctx, b, dir)
	})
	if err != nil {
		return nil, err
	}
	return stored(b.Candidate, e)
}

// storeKey names a build by the hashes of its packages; by its place where no
// hash is known.
func storeKey(b build) string {
	h := sha256.New()
	fmt.Fprintln(h, treeVersion, "deb", b.Release)
	for _, p := range b.parts {
		if p.hash.SHA256 != "" {
			fmt.Fprintln(h, p.hash.SHA256)
		} else {
			fmt.Fprintln(h, strings.Join(p.urls, " "))
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

// unpackBuild downloads a build's packages, and unpacks them once all of them
// are verified.
func (s *debian) unpackBuild(ctx context.Context, b build, dir string) (store.Filled, error) {
	files := make([]string, len(b.parts))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(packagesAtOnce)
	for i, p := range b.parts {
		files[i] = filepath.Join(filepath.Dir(dir), fmt.Sprintf("package-%d.deb", i))
		g.Go(func() error {
			err := s.downloadTo(gctx, p, files[i])
			if errors.Is(err, errNotFound) {
				return fmt.Errorf("%w: %s", ErrGone, p.label)
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		if errors.Is(err, ErrGone) { // which Offers tells
			err = errors.Join(err, s.store.PutDoc(goneDocs, goneName(b), []byte(s.now().UTC().Format(time.RFC3339))))
		}
		return store.Filled{}, err
	}
	t := newTree(ctx, dir, b.Release)
	for i, name := range files {
		changes, err := unpackPackage(t, name)
		if err == nil && changes != nil {
			err = s.keepChangelog(b.Candidate, b.parts[i], changes)
		}
		if err != nil {
			t.abort()
			return store.Filled{}, fmt.Errorf("unpack %s: %w", b.parts[i].label, err)
		}
	}
	return t.finish(b.Candidate)
}

func (s *debian) downloadTo(ctx context.Context, src remote, name string) (err error) {
	f, err := os.Create(name)
	if err != nil {
		return fmt.Errorf("download %s: %w", src.label, err)
	}
	defer func() {
		if cerr := f.Close(); err == nil && cerr != nil {
			err = fmt.Errorf("download %s: %w", src.label, cerr)
		}
	}()
	return s.fetch.download(ctx, src, f)
}

// unpackPackage adds a package's files to the tree, and returns the packed
// changelog where the package has it.
func unpackPackage(t *tree, name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() // only read
	var changes changelogFile
	wants := func(name string, regular bool) bool { return changes.wants(name, regular) || t.wants(name) }
	err = deb.Files(f, wants, func(name string, size int64, r io.Reader) error {
		if changes.wants(name, true) {
			return changes.add(name, size, r)
		}
		return t.add(name, size, r)
	})
	return changes.packed, err
}

// poolCandidate is a kernel that is too old for any index: named by what its
// file in the pool is called, "6.1.0-37_6.1.140-1".
func (s *debian) poolCandidate(sel selector, ref Ref) Candidate {
	upstream, series, _ := versionParts(sel.value) // parseSelector has checked it
	release := sel.release
	if end := "-" + suffix(ref.Flavour, ref.Arch); !strings.HasSuffix(release, end) {
		release += end
	}
	return Candidate{
		Ref: ref.String(), Source: SchemeDebian, Version: sel.value, Upstream: upstream, Series: series,
		Release: release, Flavour: ref.Flavour, Arch: ref.Arch,
	}
}

func (s *debian) poolBuild(sel selector, ref Ref) (build, error) {
	c := s.poolCandidate(sel, ref)
	m, err := s.mirrors()
	if err != nil {
		return build{}, err
	}
	names := []string{"linux-image-"}
	docs := "linux-image-"
	if compareSeries(c.Series, "6.19") >= 0 {
		names = []string{"linux-binary-", "linux-modules-", "linux-base-"}
	}
	if compareSeries(c.Series, "6.18") >= 0 {
		docs = "linux-base-"
	}
	b := build{Candidate: c, docs: inPool(m, docs+c.Release, c)}
	for _, n := range names {
		b.parts = append(b.parts, inPool(m, n+c.Release, c))
	}
	return b, nil
}

// inPool guesses where a package lies that no index has.
func inPool(m apt.Mirrors, name string, c Candidate) remote {
	r := remote{label: poolFile(name, c.Version, c.Arch), limit: maxPackage}
	for _, dir := range []string{"linux-signed-" + c.Arch, "linux"} {
		r.urls = append(r.urls, join(m.Main, "pool/main/l/"+dir+"/"+r.label), join(m.Security, "pool/updates/main/l/"+dir+"/"+r.label))
	}
	return r
}
