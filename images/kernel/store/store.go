// Package store keeps directories by the digest of their content, so that
// several processes can share them and a half-written one is never seen.
//
//	kernels/DIGEST/   an entry: the files and manifest.json
//	keys/KEY          which entry a key stands for
//	docs/KIND/NAME    small files that can be made again
//	locks/KEY         one lock for everyone who would fill the same key
//	tmp/              entries that are being made, each locked by its maker
package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/gofrs/flock"
	"golang.org/x/sys/unix"
)

// EnvDir is the environment variable that names the directory.
const EnvDir = "CTMATRIX_CACHE"

var (
	// ErrDamaged: an entry's files are not those that it was filled with.
	ErrDamaged = errors.New("damaged store entry")
	// ErrUnwritable: the directory cannot be written, or its disk is full.
	ErrUnwritable = errors.New("cannot write to the cache")
)

const (
	manifestName = "manifest.json"
	lockPoll     = 20 * time.Millisecond
)

// Store is a directory of entries. It may be used concurrently, by several
// processes too.
type Store struct {
	dir string
	// Unsynced leaves it to the host when entries are on the disk. Only for what
	// is verified before every use.
	Unsynced bool
}

// Entry is a directory that was filled once and is only read since.
type Entry struct {
	Digest string          `json:"digest"`
	Meta   json.RawMessage `json:"meta"`  // what the one who filled it wants to know
	Files  []File          `json:"files"` // by name
	Dir    string          `json:"-"`
	Used   time.Time       `json:"-"` // last time that Get returned it
}

// File is a regular file of an entry.
type File struct {
	Name   string `json:"name"` // slash-separated, below the entry's directory
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"` // hex
}

// Size is the sum of the files' sizes in bytes.
func (e *Entry) Size() int64 {
	var n int64
	for _, f := range e.Files {
		n += f.Size
	}
	return n
}

// Filled is what a fill function made.
type Filled struct {
	Digest string // names the entry; 64 hex digits
	Meta   any    // kept as JSON
	Files  []File // all regular files in the directory, sorted by name
}

// DefaultDir is the directory that Open uses for "".
func DefaultDir() (string, error) {
	if dir := os.Getenv(EnvDir); dir != "" {
		return dir, nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the cache directory: %w; set %s", err, EnvDir)
	}
	return filepath.Join(dir, "ctmatrix"), nil
}

// Open returns the store in dir, or in DefaultDir for "". The directory is made
// when something is first written.
func Open(dir string) (*Store, error) {
	if dir == "" {
		var err error
		if dir, err = DefaultDir(); err != nil {
			return nil, err
		}
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("find the cache directory: %w", err)
	}
	return &Store{dir: abs}, nil
}

// Dir is the store's directory.
func (s *Store) Dir() string { return s.dir }

var plainName = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z._+~-]{0,127}$`)

// Get returns the entry that key stands for, or nil where there is none or it
// is not whole. Sizes are compared, content is not: see Verify.
func (s *Store) Get(key string) *Entry {
	e := s.Peek(key)
	if e == nil {
		return nil
	}
	// For GC. In a cache that may only be read there is none to fear.
	_ = os.Chtimes(filepath.Join(e.Dir, manifestName), time.Time{}, time.Now())
	return e
}

// Peek is Get for those who only look: the entry does not count as used.
func (s *Store) Peek(key string) *Entry {
	if !plainName.MatchString(key) {
		return nil
	}
	digest, err := os.ReadFile(filepath.Join(s.dir, "keys", key))
	if err != nil {
		return nil
	}
	e, err := s.open(string(digest))
	if err != nil {
		return nil
	}
	return e
}

// Has reports whether there is an entry that key stands for. Nothing of it is read:
// it may be damaged.
func (s *Store) Has(key string) bool {
	if !plainName.MatchString(key) {
		return false
	}
	digest, err := os.ReadFile(filepath.Join(s.dir, "keys", key))
	if err != nil || !plainName.MatchString(string(digest)) {
		return false
	}
	_, err = os.Stat(filepath.Join(s.path(string(digest)), manifestName))
	return err == nil
}

// Fill returns the entry that key stands for; where there is none, fill makes
// it in the directory that it is given, whose parent it may use for what it
// does not want to keep. Only one of those who want the same key
// at the same time does the work, the others wait for it. When fill returns an
// error, nothing is left behind and Fill returns that error.
func (s *Store) Fill(ctx context.Context, key string, fill func(ctx context.Context, dir string) (Filled, error)) (*Entry, error) {
	if e := s.Get(key); e != nil {
		return e, nil
	}
	if !plainName.MatchString(key) {
		return nil, fmt.Errorf("store key %q: not a plain name", key)
	}
	if err := s.mkdirs("keys", "kernels", "tmp", "locks"); err != nil {
		return nil, err
	}
	lock := flock.New(filepath.Join(s.dir, "locks", key))
	if _, err := lock.TryLockContext(ctx, lockPoll); err != nil {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("wait for another process to fill %s: %w", key, ctx.Err())
		}
		return nil, s.unwritable(err)
	}
	defer lock.Unlock() // closing the descriptor unlocks in any case
	if e := s.Get(key); e != nil {
		return e, nil
	}
	return s.fill(ctx, key, fill)
}

func (s *Store) fill(ctx context.Context, key string, fill func(context.Context, string) (Filled, error)) (_ *Entry, err error) {
	tmp, held, err := s.workplace()
	if err != nil {
		return nil, s.unwritable(err)
	}
	defer func() {
		if rerr := os.RemoveAll(tmp); err == nil && rerr != nil {
			err = fmt.Errorf("remove %s: %w", tmp, rerr)
		}
		held.Close() // only a lock
	}()
	dir := filepath.Join(tmp, "entry")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, s.unwritable(err)
	}
	made, err := fill(ctx, dir)
	if err != nil {
		return nil, s.full(err)
	}
	if !plainName.MatchString(made.Digest) {
		return nil, fmt.Errorf("store digest %q: not a plain name", made.Digest)
	}
	if err := writeManifest(dir, made); err != nil {
		return nil, s.full(err)
	}
	if err := s.publish(dir, made.Digest); err != nil {
		return nil, err
	}
	if err := s.replace(filepath.Join("keys", key), []byte(made.Digest)); err != nil {
		return nil, err
	}
	return s.open(made.Digest)
}

func writeManifest(dir string, made Filled) error {
	meta, err := json.Marshal(made.Meta)
	if err != nil {
		return fmt.Errorf("encode manifest: %w", err)
	}
	data, err := json.Marshal(Entry{Digest: made.Digest, Meta: meta, Files: made.Files})
	if err != nil {
		return fmt.Errorf("encode manifest: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, manifestName), data, 0o644); err != nil {
		return fmt.Errorf("write manifest: %w", err)
	}
	return nil
}

// full says of an error that comes from a full disk what unwritable does, and
// leaves others as they are. A file that lies elsewhere is none of the store's.
func (s *Store) full(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) && isFull(p.Err) && strings.HasPrefix(p.Path, s.dir+string(filepath.Separator)) {
		return s.unwritable(err)
	}
	return err
}

func isFull(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }

// publish moves a finished directory to its place. Two keys may stand for the
// same content: whoever comes second uses what is there, if it is whole.
func (s *Store) publish(dir, digest string) error {
	if !s.Unsynced {
		if err := syncTree(dir); err != nil {
			return err
		}
	}
	dst := s.path(digest)
	if _, err := s.open(digest); err == nil {
		return nil
	}
	for range 2 {
		err := os.Rename(dir, dst)
		if err == nil && s.Unsynced {
			return nil
		}
		if err == nil {
			return syncDir(filepath.Dir(dst))
		}
		if !errors.Is(err, fs.ErrExist) {
			return s.unwritable(err)
		}
		if _, err := s.open(digest); err == nil {
			return nil
		}
		// What is there is damaged: move it into the directory that the
		// caller removes.
		if err := os.Rename(dst, dir+".damaged"); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return s.unwritable(err)
		}
	}
	return fmt.Errorf("store %s: another process keeps putting a damaged entry there", dst)
}

// Lookup returns an entry by its digest; it does not count as used. The error is
// ErrDamaged where there is none, or not all of it.
func (s *Store) Lookup(digest string) (*Entry, error) { return s.open(digest) }

// open reads an entry's manifest and compares the sizes of its files.
func (s *Store) open(digest string) (*Entry, error) {
	if !plainName.MatchString(digest) {
		return nil, fmt.Errorf("%w: named %q", ErrDamaged, digest)
	}
	dir := s.path(digest)
	e, err := readManifest(dir)
	if err != nil {
		return nil, err
	}
	if e.Digest != digest {
		return nil, fmt.Errorf("%w: %s holds the manifest of %s", ErrDamaged, dir, e.Digest)
	}
	for _, f := range e.Files {
		info, err := os.Lstat(filepath.Join(dir, filepath.FromSlash(f.Name)))
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		if !info.Mode().IsRegular() || info.Size() != f.Size {
			return nil, fmt.Errorf("%w: %s/%s has %d bytes, want %d", ErrDamaged, dir, f.Name, info.Size(), f.Size)
		}
	}
	return e, nil
}

// readManifest reads what an entry was filled with, and when it was used last.
func readManifest(dir string) (*Entry, error) {
	data, err := os.ReadFile(filepath.Join(dir, manifestName))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	e := &Entry{Dir: dir}
	if err := json.Unmarshal(data, e); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrDamaged, dir, err)
	}
	for _, f := range e.Files {
		if !filepath.IsLocal(f.Name) {
			return nil, fmt.Errorf("%w: %s names %q", ErrDamaged, dir, f.Name)
		}
	}
	if info, err := os.Stat(filepath.Join(dir, manifestName)); err == nil {
		e.Used = info.ModTime()
	}
	return e, nil
}

// mkdirs makes directories below the store's.
func (s *Store) mkdirs(names ...string) error {
	for _, n := range names {
		if err := os.MkdirAll(filepath.Join(s.dir, n), 0o755); err != nil {
			return s.unwritable(err)
		}
	}
	return nil
}

// unwritable says which directory cannot be written, and what to do about it.
func (s *Store) unwritable(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	mend := fmt.Sprintf("set %s to a directory that can be written", EnvDir)
	if isFull(err) {
		mend = fmt.Sprintf("make room, as `ctmatrix kernels gc` does, or set %s to a directory with more", EnvDir)
	}
	return fmt.Errorf("%w %s: %w; %s", ErrUnwritable, s.dir, err, mend)
}
