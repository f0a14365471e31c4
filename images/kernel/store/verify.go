package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// Damage is one thing that is wrong with an entry.
type Damage struct {
	File string `json:"file"` // slash-separated, below the entry's directory
	What string `json:"what"` // "has changed", "is missing"
}

// Digests returns the digests of all entries, damaged ones too, sorted.
func (s *Store) Digests() ([]string, error) {
	names, err := readNames(s.path(""))
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(names, func(n string) bool { return !plainName.MatchString(n) }), nil
}

// Manifest returns an entry as it was filled, whatever became of its files.
func (s *Store) Manifest(digest string) (*Entry, error) {
	if !plainName.MatchString(digest) {
		return nil, fmt.Errorf("%w: named %q", ErrDamaged, digest)
	}
	return readManifest(s.path(digest))
}

func (s *Store) path(digest string) string { return filepath.Join(s.dir, "kernels", digest) }

// Verify reads all files of an entry and compares their SHA256. The error names
// the first damage.
func (s *Store) Verify(ctx context.Context, digest string) error {
	_, damage, err := s.Check(ctx, digest)
	if err == nil && len(damage) > 0 {
		err = fmt.Errorf("%w: %s/%s %s", ErrDamaged, s.path(digest), damage[0].File, damage[0].What)
	}
	return err
}

// Check reads all files of an entry and says what is wrong with it: files that
// changed, are missing, or are nobody's. Where the manifest cannot be read, the
// entry holds no more than the digest. The error is of the context, or
// ErrDamaged where there is no such entry.
func (s *Store) Check(ctx context.Context, digest string) (*Entry, []Damage, error) {
	e := &Entry{Digest: digest, Dir: s.path(digest)}
	if !plainName.MatchString(digest) {
		return e, nil, fmt.Errorf("%w: named %q", ErrDamaged, digest)
	}
	if _, err := os.Stat(e.Dir); err != nil {
		return e, nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	read, err := readManifest(e.Dir)
	if err != nil || read.Digest != digest {
		return e, []Damage{{manifestName, "is not this entry's"}}, nil
	}
	var damage []Damage
	known := map[string]bool{manifestName: true}
	for _, f := range read.Files {
		if err := ctx.Err(); err != nil {
			return read, damage, err
		}
		known[f.Name] = true
		if what := checkFile(filepath.Join(e.Dir, filepath.FromSlash(f.Name)), f); what != "" {
			damage = append(damage, Damage{f.Name, what})
		}
	}
	extra, err := strays(e.Dir, known)
	return read, append(damage, extra...), err
}

// checkFile says what is wrong with a file, or "".
func checkFile(path string, want File) string {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "is missing"
	case err != nil:
		return "cannot be read: " + cause(err).Error()
	case !info.Mode().IsRegular():
		return "is not a regular file"
	case info.Size() != want.Size:
		return fmt.Sprintf("has %d bytes, want %d", info.Size(), want.Size)
	}
	sum, err := HashFile(path)
	if err != nil {
		return "cannot be read: " + cause(err).Error()
	}
	if sum != want.SHA256 {
		return "has changed"
	}
	return ""
}

// strays are files that the manifest does not know.
func strays(dir string, known map[string]bool) ([]Damage, error) {
	var out []Damage
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if name = filepath.ToSlash(name); !known[name] {
			out = append(out, Damage{name, "is not part of it"})
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("check %s: %w", dir, cause(err))
	}
	return out, nil
}

// cause is an error of the file system without operation and path.
func cause(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// HashFile is the SHA-256 of a file's content, in hex.
func HashFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close() // only read
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
