package kernel

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"

	"github.com/ctmatrix/ctmatrix/images/kernel/deb"
)

// ErrNoChangelog: the kernel comes from where there are no changelogs, or its
// package holds none.
var ErrNoChangelog = errors.New("no changelog")

const (
	changelogDocs = "changelogs"
	maxChangelog  = 64 << 20 // unpacked; 6.12's has 4 MB after 263 versions
)

// changelogger is a source whose kernels have changelogs.
type changelogger interface {
	Changelog(ctx context.Context, c Candidate) ([]byte, error)
}

// Changelog returns the Debian changelog of the candidate's package, newest
// entry first, as deb-changelog(5) describes it: from the candidate's version
// back to the first that was packaged, with the titles of the upstream commits
// of each. A signed package's newest entry is headed by the signed source
// package, "linux-signed-amd64 (6.12.105+1)", the others by "linux
// (6.12.101-1)".
//
// The text is kept in the store, and is there already for a kernel that Fetch
// downloaded; otherwise the whole package is, 25 to 180 MB, since no index
// vouches for less. errors.Is(err, ErrNoChangelog) holds where there can be
// none, errors.Is(err, ErrUnverified) where no signed index names the package
// that holds it: so it is with 6.18 as soon as a newer kernel is in the index.
func (c *Catalog) Changelog(ctx context.Context, cand Candidate) ([]byte, error) {
	s := c.sources[cand.Source]
	if s == nil {
		return nil, fmt.Errorf("%w %q: no source %q", ErrBadRef, cand.Ref, cand.Source)
	}
	l, ok := s.(changelogger)
	if !ok {
		return nil, fmt.Errorf("%s: %w: only packages have one", cand.Ref, ErrNoChangelog)
	}
	text, err := l.Changelog(ctx, cand)
	if err != nil {
		return nil, fmt.Errorf("changelog of %s: %w", cand.Ref, err)
	}
	return text, nil
}

// Changelog implements changelogger.
func (s *debian) Changelog(ctx context.Context, c Candidate) ([]byte, error) {
	if text := s.keptChangelog(c); text != nil {
		return text, nil
	}
	ref, err := wholeRef(c)
	if err != nil {
		return nil, err
	}
	choices, err := s.choices(ctx, ref, c)
	if err != nil {
		return nil, err
	}
	src := choices[0].docs
	if src.hash.SHA256 == "" && !s.o.AllowUnverified {
		return nil, fmt.Errorf("%s: %w; --allow-unverified takes it", src.label, ErrUnverified)
	}
	packed, err := s.fetchChangelog(ctx, src)
	if err != nil {
		return nil, err
	}
	text, err := plainChangelog(packed)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", src.label, err)
	}
	return text, s.keepChangelog(c, src, packed)
}

// keptChangelog returns what is in the store: under the candidate's name, so
// that it is found when the index no longer has the package.
func (s *debian) keptChangelog(c Candidate) []byte {
	names := []string{changelogName(c, true)}
	if s.o.AllowUnverified {
		names = append(names, changelogName(c, false))
	}
	for _, n := range names {
		if text, err := plainChangelog(s.store.Doc(changelogDocs, n)); err == nil {
			return text
		}
	}
	return nil
}

// keepChangelog keeps the packed changelog that came with a package.
func (s *debian) keepChangelog(c Candidate, from remote, packed []byte) error {
	return s.store.PutDoc(changelogDocs, changelogName(c, from.hash.SHA256 != ""), packed)
}

// changelogName keeps what an index vouches for apart from what none does.
func changelogName(c Candidate, verified bool) string {
	return suiteID(c.Version, c.Release, c.Arch, fmt.Sprint(verified))
}

// fetchChangelog downloads a package and takes the changelog out of it once the
// package is verified.
func (s *debian) fetchChangelog(ctx context.Context, src remote) (packed []byte, err error) {
	dir, err := os.MkdirTemp("", "ctmatrix-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	name := filepath.Join(dir, "package.deb")
	err = s.downloadTo(ctx, src, name)
	if errors.Is(err, errNotFound) {
		return nil, fmt.Errorf("%w: %s", ErrGone, src.label)
	}
	if err != nil {
		return nil, err
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() // only read
	var found changelogFile
	if err := deb.Files(f, found.wants, found.add); err != nil {
		return nil, fmt.Errorf("unpack %s: %w", src.label, err)
	}
	if found.packed == nil {
		return nil, fmt.Errorf("%s: %w", src.label, ErrNoChangelog)
	}
	return found.packed, nil
}

// changelogFile is the changelog among a package's files, as it is packed
// there. A link is none: it leads to another package, see docs of a build.
type changelogFile struct {
	name   string
	packed []byte
}

func (*changelogFile) wants(name string, regular bool) bool {
	dir, base := path.Split(name)
	if !regular || base != "changelog.gz" && base != "changelog.Debian.gz" {
		return false
	}
	ok, err := path.Match("usr/share/doc/linux-*/", dir)
	return ok && err == nil
}

// add keeps the file. Where there are two, changelog.gz is upstream's.
func (f *changelogFile) add(name string, size int64, r io.Reader) error {
	if path.Base(f.name) == "changelog.Debian.gz" {
		return nil
	}
	if size > maxChangelog {
		return fmt.Errorf("%s has %d bytes", name, size)
	}
	data := make([]byte, size)
	if _, err := io.ReadFull(r, data); err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	f.name, f.packed = name, data
	return nil
}

func plainChangelog(packed []byte) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, fmt.Errorf("unpack changelog: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(z, maxChangelog+1))
	if err != nil {
		return nil, fmt.Errorf("unpack changelog: %w", err)
	}
	if len(text) > maxChangelog {
		return nil, fmt.Errorf("unpack changelog: more than %d bytes", maxChangelog)
	}
	return text, nil
}
