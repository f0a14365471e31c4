package lab

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ctmatrix/ctmatrix/guest/internal/kfile"
)

// nowhere is what stands in for a file that was left open, and is no trace.
const nowhere = "/dev/null"

// openFile is a file that the agent has open. The kernel takes longer to say what a
// file is called than which one it is.
type openFile struct {
	number   string
	dev, ino uint64
	name     string
}

// readFiles lists open files. Those of the runtime's poller come when it first
// needs them.
func (w *Witness) readFiles(s *State) error {
	numbers, err := w.listFiles()
	if err != nil {
		return fmt.Errorf("list open files: %w", err)
	}
	var open []openFile
	for _, number := range numbers {
		if f, ok := w.openFile(number); ok {
			open = append(open, f)
		}
	}
	if slices.Equal(open, w.open) {
		s[KindFile] = w.openFacts
		return nil
	}
	for _, f := range open {
		if f.name != nowhere && !strings.HasPrefix(f.name, "anon_inode:[event") {
			s.add(KindFile, Fact{Name: f.number + " (" + f.name + ")", thing: f.number})
		}
	}
	s.sorted(KindFile)
	w.open, w.openFacts = open, slices.Clip(s[KindFile])
	return nil
}

// listFiles lists the numbers of open files but for what is watched. The kernel lists
// them in order, and a watched file has a high one: a piece of the list as long as what
// was open the last time holds almost always all that matters, and each number takes the
// kernel long.
func (w *Witness) listFiles() ([]string, error) {
	if _, err := unix.Seek(w.files, 0, unix.SEEK_SET); err != nil {
		return nil, err
	}
	var numbers []string
	const entry = 24 // bytes, of a number with up to four digits
	buf := make([]byte, entry*(len(w.open)+4))
	for {
		n, err := unix.ReadDirent(w.files, buf)
		if err != nil || n == 0 {
			return numbers, err
		}
		_, _, numbers = unix.ParseDirent(buf[:n], -1, numbers)
		for i, number := range numbers {
			if n, err := strconv.Atoi(number); err == nil && n >= kfile.Aside {
				return numbers[:i], nil
			}
		}
	}
}

// openFile looks at an open file, unless it is gone: the list was read through one.
func (w *Witness) openFile(number string) (f openFile, ok bool) {
	fd, err := strconv.Atoi(number)
	var is unix.Stat_t
	if err != nil || unix.Fstat(fd, &is) != nil {
		return f, false
	}
	f = openFile{number: number, dev: is.Dev, ino: is.Ino}
	i := slices.IndexFunc(w.open, func(had openFile) bool {
		return had.number == f.number && had.dev == f.dev && had.ino == f.ino
	})
	// What has no file of its own shares one: only the name tells what it is.
	if i >= 0 && !strings.HasPrefix(w.open[i].name, "anon_inode:") {
		f.name = w.open[i].name
		return f, true
	}
	f.name, err = link(w.files, number)
	return f, err == nil
}
