package kernel

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/ctmatrix/ctmatrix/images/kernel/apt"
	"github.com/ctmatrix/ctmatrix/images/kernel/unpack"
)

// Selection names packages that are no kernels: programs for a guest.
type Selection struct {
	Suites  []string // of one release; of each package the newest version counts
	Names   []string // of packages, which come with all that they need
	Without []string // packages that are taken to be there
}

// Package is a package that a signed index vouches for.
type Package struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Size    int64  `json:"size"`
	SHA256  string `json:"sha256"` // hex
	URL     string `json:"url"`
}

// closureVersion changes when the same indexes give another closure.
const closureVersion = "closure-1"

// Packages returns the packages of a selection and all that they need, sorted by
// name. Indexes come from the same mirrors as those of kernels, are verified in
// the same way, and are not asked for again before they are stale.
func (c *Catalog) Packages(ctx context.Context, sel Selection) ([]Package, error) {
	s, ok := c.sources[SchemeDebian].(*debian)
	if !ok {
		return nil, fmt.Errorf("%w: nobody offers packages", ErrUnknown)
	}
	mirrors, err := s.mirrors()
	if err != nil {
		return nil, err
	}
	var heads []indexHead
	for _, suite := range sel.Suites {
		base := mirrors.Main
		if strings.HasSuffix(suite, "-security") {
			base = mirrors.Security
		}
		h, err := s.indexHead(ctx, suite, base, c.arch)
		if err != nil {
			return nil, fmt.Errorf("suite %s: %w", suite, err)
		}
		if h.Hash.SHA256 == "" {
			s.verbose("suite %s: not on the mirror; passed over", suite)
			continue
		}
		heads = append(heads, h)
	}
	if len(heads) == 0 {
		return nil, fmt.Errorf("programs for the guest come from %s, which is not on the mirror; check mirror: or --mirror", strings.Join(sel.Suites, ", "))
	}
	return s.closure(ctx, sel, heads)
}

// Download writes a package to w and checks it. What was written is of no use
// when it returns an error. The error is ErrGone where the mirror no longer has
// it, and ErrCorrupt where that is another. Packages are small and many: the
// catalog's Progress is not told of each.
func (c *Catalog) Download(ctx context.Context, p Package, w io.Writer) error {
	s, ok := c.sources[SchemeDebian].(*debian)
	if !ok {
		return fmt.Errorf("%w: nobody offers packages", ErrUnknown)
	}
	src := remote{label: path.Base(p.URL), urls: []string{p.URL}, hash: apt.Hash{Size: p.Size, SHA256: p.SHA256}}
	quiet := *s.fetch
	quiet.progress = noProgress{}
	err := quiet.download(ctx, src, w)
	if errors.Is(err, errNotFound) {
		return fmt.Errorf("%w: %s", ErrGone, src.label)
	}
	return err
}

// indexHead is what a suite's release file says of its index: enough to tell
// whether it is one that was read before.
type indexHead struct {
	Asked        time.Time `json:"asked"`
	ETag         string    `json:"etag,omitempty"`
	LastModified string    `json:"last_modified,omitempty"`

	Date   time.Time `json:"date,omitzero"` // when it was signed
	Base   string    `json:"base"`          // URL of the archive
	Suite  string    `json:"suite"`
	File   string    `json:"file"` // below the suite
	Hash   apt.Hash  `json:"hash"` // zero where the mirror has no such suite
	ByHash bool      `json:"by_hash"`
}

// indexHead is loadSuite without the index.
func (s *debian) indexHead(ctx context.Context, name, base, arch string) (indexHead, error) {
	id := suiteID("head", base, name, arch, s.o.Keyring)
	var kept indexHead
	known := s.kept("suites", id, &kept) && kept.Suite == name
	if age := s.now().Sub(kept.Asked); known && !s.o.Refresh && age >= 0 && age < s.o.Freshness {
		return kept, nil
	}
	if !known {
		kept = indexHead{Base: base, Suite: name}
	}
	h, err := s.askHead(ctx, kept, arch)
	if err != nil {
		if known && ctx.Err() == nil && !errors.Is(err, apt.ErrSignature) {
			s.warn("suite %s: %v; using the index of %s", name, err, kept.Asked.Local().Format(time.DateTime))
			return kept, nil
		}
		return h, err
	}
	return h, s.keep("suites", id, h)
}

func (s *debian) askHead(ctx context.Context, kept indexHead, arch string) (indexHead, error) {
	header := http.Header{}
	header.Set("If-None-Match", kept.ETag)
	header.Set("If-Modified-Since", kept.LastModified)
	resp, data, err := s.fetch.small(ctx, join(kept.Base, "dists/"+kept.Suite+"/InRelease"), header, maxInRelease)
	h := indexHead{Asked: s.now(), Base: kept.Base, Suite: kept.Suite}
	switch {
	case errors.Is(err, errNotFound):
		h.Date = kept.Date
		return h, nil
	case err != nil:
		return h, err
	case resp.StatusCode == http.StatusNotModified:
		kept.Asked = s.now()
		return kept, nil
	}
	rel, err := s.verify(kept.Suite, data)
	if err != nil {
		return h, err
	}
	if err := notOlder(rel, kept.Date); err != nil {
		return h, err
	}
	h.Date = rel.Date
	if rel.Expired(s.now()) {
		s.warn("the index of %s expired on %s", kept.Suite, rel.ValidUntil.UTC().Format(time.DateOnly))
	}
	h.ETag, h.LastModified = resp.Header.Get("ETag"), resp.Header.Get("Last-Modified")
	h.File, h.Hash, _ = chooseIndex(rel, arch)
	h.ByHash = rel.AcquireByHash
	return h, nil
}

// closure is what a selection comes to in some indexes. It is kept, the indexes
// are not: they have tens of megabytes and change rarely.
func (s *debian) closure(ctx context.Context, sel Selection, heads []indexHead) ([]Package, error) {
	parts := []string{closureVersion, strings.Join(sel.Names, " "), strings.Join(sel.Without, " ")}
	for _, h := range heads {
		parts = append(parts, h.Base, h.Hash.SHA256)
	}
	id := suiteID(parts...)
	var kept []Package
	if s.kept("closures", id, &kept) && len(kept) > 0 {
		return kept, nil
	}
	var indexes [][]apt.Package
	bases := map[[2]string]string{} // by name and version
	for _, h := range heads {
		index, err := s.wholeIndex(ctx, h)
		if err != nil {
			return nil, fmt.Errorf("suite %s: %w", h.Suite, err)
		}
		for _, p := range index {
			key := [2]string{p.Name, p.Version}
			bases[key] = cmp.Or(bases[key], h.Base)
		}
		indexes = append(indexes, index)
	}
	u, err := apt.NewUniverse(CompareVersions, indexes...)
	if err != nil {
		return nil, err
	}
	chosen, err := u.Closure(sel.Names, sel.Without)
	if err != nil {
		return nil, err
	}
	for _, p := range chosen {
		kept = append(kept, Package{Name: p.Name, Version: p.Version, Size: p.Size, SHA256: p.SHA256, URL: join(bases[[2]string{p.Name, p.Version}], p.Filename)})
	}
	return kept, s.keep("closures", id, kept)
}

// wholeIndex downloads and reads an index.
func (s *debian) wholeIndex(ctx context.Context, h indexHead) ([]apt.Package, error) {
	dist := "dists/" + h.Suite + "/"
	urls := []string{join(h.Base, dist+h.File)}
	if h.ByHash {
		urls = append([]string{join(h.Base, dist+path.Dir(h.File)+"/by-hash/SHA256/"+h.Hash.SHA256)}, urls...)
	}
	var b bytes.Buffer
	b.Grow(int(h.Hash.Size))
	if err := s.fetch.download(ctx, remote{label: h.Suite + " index", urls: urls, hash: h.Hash}, &b); err != nil {
		return nil, err
	}
	plain, err := unpack.Reader(h.File, &b)
	if err != nil {
		return nil, err
	}
	defer plain.Close() // only read
	packages, err := apt.ParseIndex(io.LimitReader(plain, maxPlain))
	if err != nil {
		return nil, fmt.Errorf("parse %s: %w", h.File, err)
	}
	return packages, nil
}
