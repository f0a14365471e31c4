package results

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Resume opens a run directory to go on in it, and returns what is there. While
// another process runs it, the error is ErrBusy. Nothing is written before
// Continue. The caller closes the Writer.
func Resume(dir string) (_ *Writer, _ *Run, err error) {
	lock, err := lockDir(dir)
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			lock.Close() // the first error is the one to tell
		}
	}()
	run, err := Open(dir)
	if err != nil {
		return nil, nil, err
	}
	return &Writer{dir: dir, plan: run.Plan, lock: lock}, run, nil
}

// Continue writes down that the run goes on at the given time, and clears away
// what was half written when it was cut short.
func (w *Writer) Continue(at time.Time) error {
	for _, c := range w.plan.Cells {
		dir := filepath.Join(w.dir, c.Dir)
		// One that is gone is made again: the cell is missing, as if cut short.
		if err := os.MkdirAll(dir, 0o777); err != nil {
			return fmt.Errorf("go on with the run: %w", err)
		}
		if err := removeHalves(dir, "."+CellFile+"-", "."+RowsFile+"-"); err != nil {
			return err
		}
		if err := removeHalves(filepath.Join(dir, PacketsDir), "."); err != nil {
			return err
		}
	}
	w.plan.Finished = nil
	w.plan.Resumed = append(slices.Clone(w.plan.Resumed), at.UTC())
	return writeJSON(filepath.Join(w.dir, PlanFile), w.plan)
}

// removeHalves removes what Replace left behind when its process was killed, by
// the beginning of its name.
func removeHalves(dir string, begins ...string) error {
	files, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("go on with the run: %w", err)
	}
	for _, f := range files {
		if !slices.ContainsFunc(begins, func(begin string) bool { return strings.HasPrefix(f.Name(), begin) }) {
			continue
		}
		if err := os.Remove(filepath.Join(dir, f.Name())); err != nil {
			return fmt.Errorf("go on with the run: %w", err)
		}
	}
	return nil
}

// Close lets other processes go on with the run. Nothing may be written after
// that.
func (w *Writer) Close() error {
	if err := w.lock.Close(); err != nil {
		return fmt.Errorf("close run directory: %w", err)
	}
	return nil
}

// lockDir locks a directory for as long as it is open. The kernel unlocks it when
// the process ends, however that comes about.
func lockDir(dir string) (*os.File, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, pathError(dir, err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = ErrBusy
	}
	if err != nil {
		f.Close() // only a lock
		return nil, &FileError{Path: dir, Err: err}
	}
	return f, nil
}
