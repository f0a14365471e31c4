package results

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"github.com/ctmatrix/ctmatrix/guest/observe"
)

// Cache keeps what probes recorded in cells, by the cells' identity. It may be
// used concurrently, by several processes too. An entry is the union of the
// probes that were recorded under its identity, by however many runs.
type Cache struct{ dir string }

// NewCache returns the cache in dir, which is made when something is first put.
func NewCache(dir string) *Cache { return &Cache{dir: dir} }

// Known is what a cache knows of a cell. Its probes are recorded or unsupported:
// nothing else is an answer. Of the cell only Modules, Probes, Cached and the
// guest's Args are of use to another run.
type Known struct {
	Cell    Cell
	Rows    []observe.Row // sorted by name
	Console []byte        // of the guests that recorded them
}

// entry is the file of a cell but for its rows: a line between one with the checksum
// of all that follows, and the rows as in rows.jsonl.
type entry struct {
	Identity Identity        `json:"identity"`
	Cell     json.RawMessage `json:"cell"`
	Console  []byte          `json:"console"`
}

const (
	// entryHead begins an entry: what all forms begin with, and the form's number.
	entryForm = "ctmatrix cell "
	entryHead = entryForm + "2 "
	maxEntry  = 64 << 20 // bytes that are read of one
	cacheLock = "lock"
	lockTime  = 10 * time.Second
	lockPoll  = 5 * time.Millisecond
)

// MaxConsole is how many bytes of a console a cache keeps, the last.
const MaxConsole = 256 << 10

// Get returns what is known under an identity, or nil. An entry that is damaged,
// or is not what its name says, is an error, for which nobody need stop: Put
// replaces it.
func (c *Cache) Get(id Identity) (*Known, error) {
	path := c.path(id)
	known, err := readEntry(path, id)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	// For Collect. In a cache that may only be read there is none to fear.
	_ = os.Chtimes(path, time.Time{}, time.Now())
	return known, nil
}

func (c *Cache) path(id Identity) string { return filepath.Join(c.dir, id.ID()) }

func readEntry(path string, id Identity) (*Known, error) {
	data, err := readBounded(path, maxEntry)
	if err != nil {
		return nil, err
	}
	known, err := parseEntry(data, id)
	if err != nil {
		return nil, &FileError{Path: path, Err: err}
	}
	return known, nil
}

// errForm says that an entry is one of another ctmatrix: to this one it is none.
var errForm = fmt.Errorf("of another form: %w", fs.ErrNotExist)

func parseEntry(data []byte, id Identity) (*Known, error) {
	head, body, _ := bytes.Cut(data, []byte("\n"))
	switch {
	case string(head) == entryHead+sumOf(body):
	case bytes.HasPrefix(head, []byte(entryForm)) && !bytes.HasPrefix(head, []byte(entryHead)):
		return nil, errForm
	default:
		return nil, errors.New("not what was written")
	}
	line, rows, _ := bytes.Cut(body, []byte("\n"))
	var e entry
	if err := strict(line, &e); err != nil {
		return nil, err
	}
	if e.Identity.ID() != id.ID() {
		return nil, errors.New("of another identity")
	}
	known := &Known{Console: e.Console}
	var err error
	if known.Cell, err = parseCell(e.Cell); err != nil {
		return nil, err
	}
	if known.Rows, _, err = parseRows(rows); err != nil {
		return nil, err
	}
	if err := checkCounts(known.Cell, known.Rows); err != nil {
		return nil, err
	}
	return known, known.check(id)
}

// check holds an entry to what may be put.
func (k *Known) check(id Identity) error {
	if k.Cell.Outcome != CellOK || k.Cell.Kernel.Digest != id.Kernel || k.Cell.Guest.Agent != id.Agent {
		return errors.New("of another cell")
	}
	from := map[string]int{}
	for _, o := range k.Cell.Cached {
		for _, p := range o.Probes {
			from[p]++
		}
	}
	for _, p := range k.Cell.Probes {
		if !p.Outcome.Behaviour() || from[p.Name] != 1 {
			return fmt.Errorf("probe %q is %s, of %d runs", p.Name, p.Outcome, from[p.Name])
		}
	}
	if len(from) != len(k.Cell.Probes) {
		return errors.New("probes that are not there have an origin")
	}
	return nil
}

func sumOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// Put adds to an entry what a cell recorded, and replaces what the entry has of
// the same probes. Origin says which run that was and when; its Probes need not
// be set. What the cell has from the cache itself is left as it is, and so is a
// cell that is not ok.
func (c *Cache) Put(ctx context.Context, id Identity, known Known, origin Origin) error {
	fresh := known.without(known.Cell.FromCache())
	fresh = fresh.only(func(p Probe) bool { return p.Outcome.Behaviour() })
	if known.Cell.Outcome != CellOK || len(fresh.Cell.Probes) == 0 {
		return nil
	}
	origin.Probes = nil
	for _, p := range fresh.Cell.Probes {
		origin.Probes = append(origin.Probes, p.Name)
	}
	slices.Sort(origin.Probes)
	fresh.Cell.Cached = []Origin{origin}
	fresh.Cell.Steps, fresh.Cell.Warnings = nil, nil // of how it was run, not of what came of it
	fresh.Cell.Config = nil                          // whoever asks has the kernel, and so this
	return c.locked(ctx, func() error {
		// One that cannot be read is written anew.
		if old, err := readEntry(c.path(id), id); err == nil {
			fresh = old.without(origin.Probes).join(fresh)
		}
		data, err := encodeEntry(id, fresh)
		if err != nil {
			return fmt.Errorf("keep cell %s: %w", id.ID(), err)
		}
		return Replace(c.path(id), data)
	})
}

// locked keeps other processes from writing meanwhile.
func (c *Cache) locked(ctx context.Context, do func() error) error {
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		return fmt.Errorf("keep cells: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, lockTime)
	defer cancel()
	lock := flock.New(filepath.Join(c.dir, cacheLock))
	if _, err := lock.TryLockContext(ctx, lockPoll); err != nil {
		return fmt.Errorf("keep cells: wait for another process: %w", err)
	}
	defer lock.Unlock() // closing the descriptor unlocks in any case
	return do()
}

func encodeEntry(id Identity, k Known) ([]byte, error) {
	slices.SortFunc(k.Cell.Probes, func(a, b Probe) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(k.Rows, func(a, b observe.Row) int { return cmp.Compare(a.Name, b.Name) })
	rows, err := encodeRows(k.Rows)
	if err == nil {
		err = checkCounts(k.Cell, k.Rows)
	}
	if err != nil {
		return nil, err
	}
	cell, err := json.Marshal(k.Cell)
	if err != nil {
		return nil, err
	}
	console := k.Console[max(0, len(k.Console)-MaxConsole):]
	line, err := json.Marshal(entry{Identity: id, Cell: cell, Console: console})
	if err != nil {
		return nil, err
	}
	body := slices.Concat(line, []byte("\n"), rows)
	return append([]byte(entryHead+sumOf(body)+"\n"), body...), nil
}

// Collect removes the entries that nobody used since a time, but not if dry. It
// returns how many those are and their size in bytes.
func (c *Cache) Collect(ctx context.Context, unusedSince time.Time, dry bool) (removed int, freed int64, err error) {
	if _, err := os.Stat(c.dir); errors.Is(err, fs.ErrNotExist) {
		return 0, 0, nil
	}
	err = c.locked(ctx, func() error {
		files, err := os.ReadDir(c.dir)
		if err != nil {
			return fmt.Errorf("collect cells: %w", err)
		}
		for _, f := range files {
			info, err := f.Info()
			if err != nil || f.Name() == cacheLock || !info.Mode().IsRegular() || !info.ModTime().Before(unusedSince) {
				continue // gone by now, in use, or not ours
			}
			if !dry {
				err = os.Remove(filepath.Join(c.dir, f.Name()))
			}
			if err != nil {
				return fmt.Errorf("collect cells: %w", err)
			}
			removed, freed = removed+1, freed+info.Size()
		}
		return nil
	})
	return removed, freed, err
}

// Of is what is known of the probes that are named.
func (k Known) Of(names []string) Known {
	of := setOf(names)
	return k.only(func(p Probe) bool { return of[p.Name] })
}

func (k Known) without(names []string) Known {
	of := setOf(names)
	return k.only(func(p Probe) bool { return !of[p.Name] })
}

func setOf(names []string) map[string]bool {
	set := make(map[string]bool, len(names))
	for _, name := range names {
		set[name] = true
	}
	return set
}

// only is what is known of some probes, with their rows and origins.
func (k Known) only(keep func(Probe) bool) Known {
	out := k
	out.Cell.Probes, out.Cell.Cached, out.Rows = nil, nil, nil
	kept := map[string]bool{}
	for _, p := range k.Cell.Probes {
		if keep(p) {
			kept[p.Name] = true
			out.Cell.Probes = append(out.Cell.Probes, p)
		}
	}
	for _, o := range k.Cell.Cached {
		var names []string
		for _, p := range o.Probes {
			if kept[p] {
				names = append(names, p)
			}
		}
		if o.Probes = names; len(names) > 0 {
			out.Cell.Cached = append(out.Cell.Cached, o)
		}
	}
	for _, r := range k.Rows {
		if kept[r.Probe()] {
			out.Rows = append(out.Rows, r)
		}
	}
	return out
}

// join is what is known of a cell by two accounts of different probes. What is
// of no probe is the later's.
func (k Known) join(later Known) Known {
	out := later
	out.Cell.Probes = append(slices.Clone(k.Cell.Probes), later.Cell.Probes...)
	out.Cell.Cached = append(slices.Clone(k.Cell.Cached), later.Cell.Cached...)
	out.Rows = append(slices.Clone(k.Rows), later.Rows...)
	return out
}
