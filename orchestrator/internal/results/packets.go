package results

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// PacketsDir is the directory of a cell's captures, where its run captured.
const PacketsDir = "packets"

// maxPackets bounds the bytes of a capture that are read.
const maxPackets = 64 << 20

// slash stands in the name of a capture for that of its probe, in whose name it
// cannot stand: every probe has a file of its own, and every file a probe.
const slash = "~"

// PacketsFile is the path of a probe's capture in a cell's directory.
func PacketsFile(probe string) string {
	return filepath.Join(PacketsDir, strings.ReplaceAll(probe, "/", slash)+".pcapng")
}

// PutPackets writes the capture of a probe of the i-th cell.
func (w *Writer) PutPackets(i int, probe string, data []byte) error {
	path := filepath.Join(w.CellDir(i), PacketsFile(probe))
	if err := os.Mkdir(filepath.Dir(path), 0o777); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return Replace(path, data)
}

// Packets reads the capture of a probe of a cell. The error is a *FileError;
// fs.ErrNotExist is its cause where there is none.
func (r *Run) Packets(cell CellRows, probe string) ([]byte, error) {
	return readBounded(filepath.Join(r.Dir, cell.Dir, PacketsFile(probe)), maxPackets)
}
