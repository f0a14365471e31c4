package results

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Find returns the run that arg names, as a user writes it: the path of a run
// directory or of a cell's directory in one, the name of one below root,
// "latest", or a kernel of the latest run, by ref, label, version or release.
// A cell or a kernel gives a Run with only the cells that it names: of a kernel
// all its repetitions, of a cell's directory that one.
func Find(root, arg string) (*Run, error) {
	if arg == "" {
		return nil, fmt.Errorf("%w: the name is empty", ErrNotFound)
	}
	for _, dir := range []string{arg, filepath.Join(root, arg)} {
		if isFile(filepath.Join(dir, PlanFile)) {
			return openReal(dir)
		}
		parent := filepath.Dir(filepath.Clean(dir))
		if isDir(dir) && isFile(filepath.Join(parent, PlanFile)) {
			run, err := openReal(parent)
			if err != nil {
				return nil, err
			}
			base := filepath.Base(filepath.Clean(dir))
			return run.only(arg, func(c CellRows) bool { return c.Dir == base })
		}
	}
	run, err := openReal(filepath.Join(root, LatestLink))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s is no run directory, and there is no run below %s", ErrNotFound, arg, root)
	}
	if err != nil {
		return nil, err
	}
	return run.only(arg, func(c CellRows) bool {
		k := c.Kernel
		for _, name := range []string{k.Ref, k.Label, k.Version, k.Release, k.Label + "+" + c.Variant, c.Dir} {
			if name == arg {
				return true
			}
		}
		return false
	})
}

// openReal opens the run behind a link, so that Dir goes on naming the same run
// when the next one starts.
func openReal(dir string) (*Run, error) {
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, pathError(dir, err)
	}
	return Open(real)
}

// only returns the run with no cells but those that match.
func (r *Run) only(arg string, match func(CellRows) bool) (*Run, error) {
	out := &Run{Dir: r.Dir, Plan: r.Plan}
	var have []string
	for _, c := range r.Cells {
		if match(c) {
			out.Cells = append(out.Cells, c)
		}
		if c.Repeat < 2 {
			have = append(have, c.Dir)
		}
	}
	if len(out.Cells) == 0 {
		return nil, fmt.Errorf("%w: %s is neither a run directory nor one of %s, the cells of %s",
			ErrNotFound, arg, strings.Join(have, ", "), r.Dir)
	}
	return out, nil
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
