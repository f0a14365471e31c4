package shell

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"github.com/ctmatrix/ctmatrix/orchestrator/internal/remote"
)

// Runner runs commands in a guest. A remote.Client is one.
type Runner interface {
	Do(ctx context.Context, r remote.Request) error
}

// CopyIn puts a copy of the host's directory into the guest, of at most limit
// bytes: all of it will be in the guest's memory. Links are copied as links;
// what is neither a file, a directory nor a link is left out, and told.
func (m Mount) CopyIn(ctx context.Context, guest Runner, limit int64, told func(string)) error {
	if err := run(ctx, guest, nil, io.Discard, "mkdir", "-p", "--", m.Guest); err != nil {
		return fmt.Errorf("copy %s into the guest: %w", m.Host, err)
	}
	r, w := io.Pipe()
	packed := make(chan error, 1)
	go func() {
		err := pack(w, m.Host, limit, told)
		packed <- err
		w.CloseWithError(err)
	}()
	err := run(ctx, guest, r, io.Discard, "tar", "-x", "-p", "--no-same-owner", "-C", m.Guest, "-f", "-")
	r.CloseWithError(errors.Join(io.ErrClosedPipe, err))
	if perr := <-packed; perr != nil && !errors.Is(perr, io.ErrClosedPipe) {
		err = perr
	}
	if err != nil {
		return fmt.Errorf("copy %s into the guest: %w", m.Host, err)
	}
	return nil
}

var errTooLarge = errors.New("too large")

// pack writes a directory as a tar archive.
func pack(w io.Writer, dir string, limit int64, told func(string)) error {
	t := tar.NewWriter(w)
	var sum int64
	err := filepath.WalkDir(dir+string(filepath.Separator), func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return cause(err)
		}
		rel, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return cause(err)
		}
		if sum += info.Size(); info.Mode().IsRegular() && sum > limit {
			return fmt.Errorf("%w: %s holds more than the %d MiB that fit; give the guest more with --memory", errTooLarge, dir, limit>>20)
		}
		return packOne(t, name, filepath.ToSlash(rel), info, told)
	})
	if err != nil {
		return err
	}
	return t.Close()
}

func packOne(t *tar.Writer, name, rel string, info fs.FileInfo, told func(string)) error {
	link := ""
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		var err error
		if link, err = os.Readlink(name); err != nil {
			return cause(err)
		}
	case !info.Mode().IsRegular() && !info.IsDir():
		told(fmt.Sprintf("%s is neither a file nor a directory: not copied", name))
		return nil
	}
	h, err := tar.FileInfoHeader(info, link)
	if err != nil {
		return err
	}
	h.Name = rel
	if info.IsDir() {
		h.Name = path.Clean(rel) + "/"
	}
	h.Uid, h.Gid, h.Uname, h.Gname = 0, 0, "", ""
	if err := t.WriteHeader(h); err != nil || !info.Mode().IsRegular() {
		return err
	}
	f, err := os.Open(name)
	if err != nil {
		return cause(err)
	}
	defer f.Close() // only read
	if _, err = io.Copy(t, f); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// maxComplaint bounds what is kept of a command's complaints.
const maxComplaint = 4096

// run runs a command and makes what it complains of part of the error.
func run(ctx context.Context, guest Runner, stdin io.Reader, stdout io.Writer, argv ...string) error {
	said := &bounded{left: maxComplaint}
	err := guest.Do(ctx, remote.Request{Argv: argv, Stdin: stdin, Stdout: stdout, Stderr: said})
	return said.with(err)
}
