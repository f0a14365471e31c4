package sched

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/ctmatrix/ctmatrix/images/kernel/store"
)

// Files of a saved guest: its memory, the state of its devices, and what it
// printed before it was saved.
const (
	savedRAM     = "ram"
	savedState   = "state"
	savedConsole = "console"
)

// savedVersion changes when a guest that was saved before cannot be used.
const savedVersion = "guest-2"

// guestDir is where saved guests are kept in a cache: a store of their own, whose
// entries are in its directory "kernels" like those of every store.
func guestDir(cache string) string { return filepath.Join(cache, "guests") }

// Saved guests are kept up to a sum of their sizes, the least recently used going
// first. One used within keptTime stays: somebody may be about to open its files.
// It is short, since the guests of a whole pool would else lie about for as long.
//
// A guest is saved also where it will be used only once, as by a run of a whole
// pool: to boot, save and restore it took 5.2 s with a short suite on 6.1, and to
// boot it without 5.2 s (7.3: 6.5 to 8.5 s and 6.9 s), since a suite goes faster
// in a restored guest. And what the run measured then serves every later one,
// which a guest that was not saved would not: it is of another identity.
const (
	keptBytes = 8 << 30 // on the disk: the guests of a pool of 81 kernels take about 7 GiB
	keptTime  = 10 * time.Minute
)

// savedGuests keeps guests that wait for a job.
type savedGuests struct {
	store *store.Store

	mu    sync.Mutex
	whole map[string]bool // by digest: the entries that this process has verified
}

func openSaved(cache string) (*savedGuests, error) {
	s, err := store.Open(guestDir(cache))
	if err != nil {
		return nil, err
	}
	s.Unsynced = true // what a crash of the host spoils is verified, and made again
	return &savedGuests{store: s, whole: map[string]bool{}}, nil
}

// CollectGuests removes the saved guests of a cache that nobody used since a time,
// and what is damaged. It returns how many those were.
func CollectGuests(ctx context.Context, cache string, unusedSince time.Time) (int, error) {
	s, err := openSaved(cache)
	if err != nil {
		return 0, err
	}
	removed, _, err := s.store.GC(ctx, unusedSince)
	return len(removed), err
}

// StaleGuests is how many saved guests CollectGuests would remove.
func StaleGuests(cache string, unusedSince time.Time) (int, error) {
	s, err := openSaved(cache)
	if err != nil {
		return 0, err
	}
	stale, err := s.store.Stale(unusedSince)
	return len(stale), err
}

// get returns the directory of the guest that key stands for. Where there is
// none, or it is damaged, save makes it.
func (s *savedGuests) get(ctx context.Context, key string, save func(ctx context.Context, dir string) error) (string, error) {
	fill := func(ctx context.Context, dir string) (store.Filled, error) {
		if err := save(ctx, dir); err != nil {
			return store.Filled{}, err
		}
		filled, err := contents(dir)
		if err == nil {
			s.verified(filled.Digest)
			err = s.store.Trim(keptBytes, time.Now().Add(-keptTime))
		}
		return filled, err
	}
	for range 2 {
		e, err := s.store.Fill(ctx, key, fill)
		if err != nil {
			return "", err
		}
		if s.isVerified(e.Digest) {
			return e.Dir, nil
		}
		err = s.store.Verify(ctx, e.Digest)
		if err == nil {
			s.verified(e.Digest)
			return e.Dir, nil
		}
		if !errors.Is(err, store.ErrDamaged) {
			return "", err
		}
		if err := s.store.Remove(e.Digest); err != nil {
			return "", err
		}
	}
	return "", fmt.Errorf("saved guest %s: damaged as soon as it is written", key)
}

func (s *savedGuests) verified(digest string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.whole[digest] = true
}

func (s *savedGuests) isVerified(digest string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.whole[digest]
}

// contents describes the files of a guest that was just saved.
func contents(dir string) (store.Filled, error) {
	var filled store.Filled
	all := sha256.New()
	for _, name := range []string{savedConsole, savedRAM, savedState} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			return filled, fmt.Errorf("look at the saved guest: %w", err)
		}
		sum, err := store.HashFile(filepath.Join(dir, name))
		if err != nil {
			return filled, fmt.Errorf("hash the saved guest: %w", err)
		}
		filled.Files = append(filled.Files, store.File{Name: name, Size: info.Size(), SHA256: sum})
		io.WriteString(all, sum) // a hash takes everything
	}
	filled.Digest = hex.EncodeToString(all.Sum(nil))
	return filled, nil
}

// sparseBlock is what copySparse looks for zeros in. A page of a guest is either
// used or not.
const sparseBlock = 4 << 10

// copySparse writes what is in from to a new file, without the blocks of zeros:
// of a guest's memory half is never touched.
func copySparse(path string, from *os.File) (err error) {
	to, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	var size int64
	zero, buf := make([]byte, sparseBlock), make([]byte, 256*sparseBlock)
	for {
		n, err := from.ReadAt(buf, size)
		for at := 0; at < n; {
			// A run of blocks that are not zero is one write.
			end := at
			for end < n && !bytes.Equal(buf[end:min(end+sparseBlock, n)], zero[:min(sparseBlock, n-end)]) {
				end = min(end+sparseBlock, n)
			}
			if _, err := to.WriteAt(buf[at:end], size+int64(at)); err != nil {
				return err
			}
			at = end + sparseBlock
		}
		size += int64(n)
		if errors.Is(err, io.EOF) {
			return to.Truncate(size)
		}
		if err != nil {
			return err
		}
	}
}
