package kernel

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"regexp"
	"strings"
	"time"

	"github.com/ctmatrix/ctmatrix/images/kernel/apt"
	"github.com/ctmatrix/ctmatrix/images/kernel/unpack"
)

const (
	maxInRelease = 8 << 20
	maxPackages  = 256 << 20 // compressed
	maxPlain     = 1 << 30   // a Packages file, unpacked
)

var kernelPackage = regexp.MustCompile(`^linux-(image|binary|modules|base)-`)

// wantedPackage tells the packages that are kept of an index.
func wantedPackage(name string) bool {
	return kernelPackage.MatchString(name) && !strings.HasSuffix(name, "-dbg")
}

// suiteData is what is known of a suite: nothing but the name where the mirror
// does not have it.
type suiteData struct {
	name     string // as it was asked for
	base     string // URL of its archive
	state    suiteState
	packages []apt.Package
}

// suiteState is kept between runs, so that a fresh index costs nothing.
type suiteState struct {
	Asked        time.Time `json:"asked"` // when the mirror was asked last
	Missing      bool      `json:"missing,omitempty"`
	Suite        string    `json:"suite"`
	Codename     string    `json:"codename"`
	Date         time.Time `json:"date,omitzero"` // when it was signed; zero in what older versions kept
	ValidUntil   time.Time `json:"valid_until"`
	ETag         string    `json:"etag,omitempty"`
	LastModified string    `json:"last_modified,omitempty"`
	Index        string    `json:"index"` // name of the kept packages; "" where the architecture has none
}

func (d *suiteData) expired(now time.Time) bool {
	return !d.state.ValidUntil.IsZero() && now.After(d.state.ValidUntil)
}

// is reports whether a user may mean this suite by a name.
func (d *suiteData) is(name string) bool {
	return !d.state.Missing && (d.name == name || d.state.Suite == name || d.state.Codename == name)
}

// loadSuite returns a suite's packages, from the mirror where what is kept is
// not fresh.
func (s *debian) loadSuite(ctx context.Context, name, base, arch string) (*suiteData, error) {
	d := &suiteData{name: name, base: base}
	id := suiteID(base, name, arch, s.o.Keyring)
	known := s.recall(d, id)
	if age := s.now().Sub(d.state.Asked); known && !s.o.Refresh && age >= 0 && age < s.o.Freshness {
		return d, nil
	}
	state, packages, err := s.askSuite(ctx, d, known, arch)
	if err != nil {
		if known && d.state.Missing && ctx.Err() == nil && !errors.Is(err, apt.ErrSignature) {
			s.warn("suite %s: %v; passed over", name, err)
			return d, nil
		}
		if known && ctx.Err() == nil && !errors.Is(err, apt.ErrSignature) {
			s.warn("suite %s: %v; using the index of %s", name, err, d.state.Asked.Local().Format(time.DateTime))
			return d, nil
		}
		if errors.Is(err, apt.ErrSignature) || ctx.Err() != nil {
			return nil, fmt.Errorf("suite %s: %w", name, err)
		}
		return nil, fmt.Errorf("suite %s: %w; no index of it is kept: name another mirror with --mirror, or try again", name, err)
	}
	d.state, d.packages = state, packages
	return d, s.keep("suites", id, state)
}

func suiteID(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\n")))
	return hex.EncodeToString(sum[:16])
}

// recall fills d from what is kept, and reports whether all of it was there. An
// index that is not there any more leaves no more than when it was signed.
func (s *debian) recall(d *suiteData, id string) bool {
	var state suiteState
	if !s.kept("suites", id, &state) {
		return false
	}
	packages, ok := s.keptIndex(state.Index)
	if !ok {
		d.state.Date = state.Date
		return false
	}
	d.state, d.packages = state, packages
	return true
}

func (s *debian) keptIndex(name string) ([]apt.Package, bool) {
	if name == "" {
		return nil, true
	}
	var packages []apt.Package
	ok := s.kept("packages", name, &packages)
	return packages, ok
}

// askSuite asks the mirror for the suite's release file and, where it names an
// index that is not kept yet, for that.
func (s *debian) askSuite(ctx context.Context, d *suiteData, known bool, arch string) (suiteState, []apt.Package, error) {
	header := http.Header{}
	if known {
		header.Set("If-None-Match", d.state.ETag)
		header.Set("If-Modified-Since", d.state.LastModified)
	}
	dist := "dists/" + d.name + "/"
	resp, data, err := s.fetch.small(ctx, join(d.base, dist+"InRelease"), header, maxInRelease)
	if errors.Is(err, errNotFound) {
		if !d.state.Date.IsZero() && !d.state.Missing {
			s.warn("suite %s: the mirror had it, signed on %s, and has it no more; passed over", d.name, day(d.state.Date))
		}
		return suiteState{Asked: s.now(), Missing: true, Date: d.state.Date}, nil, nil
	}
	if err != nil {
		return suiteState{}, nil, err
	}
	if resp.StatusCode == http.StatusNotModified {
		state := d.state
		state.Asked = s.now()
		return state, d.packages, nil
	}
	rel, err := s.verify(d.name, data)
	if err != nil {
		return suiteState{}, nil, err
	}
	if err := notOlder(rel, d.state.Date); err != nil {
		return suiteState{}, nil, err
	}
	state := suiteState{
		Asked: s.now(), Suite: rel.Suite, Codename: rel.Codename, Date: rel.Date, ValidUntil: rel.ValidUntil,
		ETag: resp.Header.Get("ETag"), LastModified: resp.Header.Get("Last-Modified"),
	}
	name, hash, ok := chooseIndex(rel, arch)
	if !ok {
		return state, nil, nil
	}
	state.Index = hash.SHA256
	if packages, ok := s.keptIndex(state.Index); ok {
		return state, packages, nil
	}
	packages, err := s.fetchIndex(ctx, d, dist, name, hash, rel.AcquireByHash)
	if err != nil {
		return suiteState{}, nil, err
	}
	return state, packages, s.keep("packages", state.Index, packages)
}

// verify checks a release file's signature and that it is of the suite that was
// asked for.
func (s *debian) verify(suite string, data []byte) (*apt.Release, error) {
	keys, err := s.keys()
	if err != nil {
		return nil, err
	}
	rel, err := apt.ReadInRelease(data, keys, s.now())
	if err != nil {
		return nil, fmt.Errorf("InRelease: %w", err)
	}
	if !rel.Is(suite) {
		return nil, fmt.Errorf("InRelease: %w: it is of suite %q, codename %q", apt.ErrSignature, rel.Suite, rel.Codename)
	}
	return rel, nil
}

// chooseIndex prefers gzip: over all default suites it costs 17 MB more than xz
// to download and 3 s less to unpack.
func chooseIndex(rel *apt.Release, arch string) (string, apt.Hash, bool) {
	for _, ext := range []string{".gz", ".xz", ""} {
		name := "main/binary-" + arch + "/Packages" + ext
		if h, ok := rel.Files[name]; ok && h.Size > 0 && h.Size <= maxPackages {
			return name, h, true
		}
	}
	return "", apt.Hash{}, false
}

func (s *debian) fetchIndex(ctx context.Context, d *suiteData, dist, name string, hash apt.Hash, byHash bool) ([]apt.Package, error) {
	urls := []string{join(d.base, dist+name)}
	if byHash {
		urls = append([]string{join(d.base, dist+path.Dir(name)+"/by-hash/SHA256/"+hash.SHA256)}, urls...)
	}
	var b bytes.Buffer
	b.Grow(int(hash.Size))
	if err := s.fetch.download(ctx, remote{label: d.name + " index", urls: urls, hash: hash}, &b); err != nil {
		return nil, err
	}
	plain, err := unpack.Reader(name, &b)
	if err != nil {
		return nil, err
	}
	defer plain.Close() // only read
	packages, err := apt.ParsePackages(io.LimitReader(plain, maxPlain), wantedPackage)
	if err != nil {
		return nil, fmt.Errorf("parse %s: %w", name, err)
	}
	return packages, nil
}
