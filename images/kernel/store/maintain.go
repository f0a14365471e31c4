package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// List returns the whole entries, by digest.
func (s *Store) List() ([]*Entry, error) {
	names, err := s.Digests()
	if err != nil {
		return nil, err
	}
	var out []*Entry
	for _, n := range names {
		if e, err := s.open(n); err == nil {
			out = append(out, e)
		}
	}
	return out, nil
}

// GC removes the entries that nobody asked for since a time, entries that are
// damaged, documents as old, and what interrupted processes left in tmp more
// than a day ago. It returns the digests of the removed entries and the bytes
// they took. An entry asked for just before may be in use: leave some hours.
func (s *Store) GC(ctx context.Context, unusedSince time.Time) (removed []string, freed int64, err error) {
	stale, err := s.Stale(unusedSince)
	if err != nil {
		return nil, 0, err
	}
	for _, e := range stale {
		if err := ctx.Err(); err != nil {
			return removed, freed, err
		}
		if err := s.Remove(e.Digest); err != nil {
			return removed, freed, err
		}
		removed = append(removed, e.Digest)
		freed += e.Size()
	}
	if err := s.sweepKeys(); err != nil {
		return removed, freed, err
	}
	if err := sweepOld(filepath.Join(s.dir, "docs"), unusedSince); err != nil {
		return removed, freed, err
	}
	return removed, freed, s.sweepTmp(time.Now().Add(-24 * time.Hour))
}

// Stale returns the entries that GC would remove. Of one that is damaged no
// more is known than its digest.
func (s *Store) Stale(unusedSince time.Time) ([]*Entry, error) {
	names, err := s.Digests()
	if err != nil {
		return nil, err
	}
	var out []*Entry
	for _, n := range names {
		e, err := s.open(n)
		if err != nil {
			e = &Entry{Digest: n, Dir: s.path(n)}
		}
		if e.Used.Before(unusedSince) {
			out = append(out, e)
		}
	}
	return out, nil
}

// Remove removes an entry, if it is there. Whoever has its files open keeps them.
func (s *Store) Remove(digest string) error {
	if !plainName.MatchString(digest) {
		return fmt.Errorf("remove store entry %q: not a plain name", digest)
	}
	return s.remove(s.path(digest))
}

// Trim removes entries until their files take no more than a number of bytes on the
// disk, the least recently used first. Those used since a time stay.
func (s *Store) Trim(most int64, usedSince time.Time) error {
	entries, err := s.List()
	if err != nil {
		return err
	}
	slices.SortFunc(entries, func(a, b *Entry) int { return b.Used.Compare(a.Used) })
	var sum int64
	for _, e := range entries {
		sum += e.room()
		if sum <= most || !e.Used.Before(usedSince) {
			continue
		}
		if err := s.Remove(e.Digest); err != nil {
			return err
		}
	}
	return s.sweepKeys()
}

// remove moves a directory away first, so that nobody sees half of it.
func (s *Store) remove(dir string) error {
	if err := s.mkdirs("tmp"); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(filepath.Join(s.dir, "tmp"), "gc-")
	if err != nil {
		return s.unwritable(err)
	}
	if err := os.Rename(dir, filepath.Join(tmp, "entry")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return s.unwritable(err)
	}
	if err := os.RemoveAll(tmp); err != nil {
		return s.unwritable(err)
	}
	return nil
}

// sweepKeys removes the keys whose entry has gone.
func (s *Store) sweepKeys() error {
	names, err := readNames(filepath.Join(s.dir, "keys"))
	if err != nil {
		return err
	}
	for _, n := range names {
		path := filepath.Join(s.dir, "keys", n)
		digest, err := os.ReadFile(path)
		if err != nil {
			continue // another process was quicker
		}
		if _, err := s.open(string(digest)); err == nil {
			continue
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return s.unwritable(err)
		}
	}
	return nil
}

func (s *Store) sweepTmp(before time.Time) error {
	dir := filepath.Join(s.dir, "tmp")
	names, err := readNames(dir)
	if err != nil {
		return err
	}
	for _, n := range names {
		path := filepath.Join(dir, n)
		info, err := os.Lstat(path)
		if err != nil || !info.ModTime().Before(before) {
			continue
		}
		if err := os.RemoveAll(path); err != nil {
			return s.unwritable(err)
		}
	}
	return nil
}

// sweepOld removes the documents below dir that nobody asked for since a time.
func sweepOld(dir string, since time.Time) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil || !info.ModTime().Before(since) {
			return nil
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	})
}

// readNames returns the names in a directory, sorted; none where it is missing.
func readNames(dir string) ([]string, error) {
	list, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list the cache: %w", err)
	}
	var names []string
	for _, d := range list {
		names = append(names, d.Name())
	}
	slices.Sort(names)
	return names, nil
}
