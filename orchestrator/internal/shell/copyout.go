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
	"strings"
	"unicode"
)

// ErrHostile says that a guest sent what would leave the directory that it was
// to go to, or what is no file at all.
var ErrHostile = errors.New("refused what the guest sent")

// Bounds of what a guest may send, beside its bytes.
const (
	mostFiles = 100_000
	longest   = 4096 // bytes of a name
)

// CopyOut copies what is in the guest's copy of a mount back, over what the host
// has: files that are gone in the guest stay on the host. Limit is as in
// CopyOut of a Get.
func (m Mount) CopyOut(ctx context.Context, guest Runner, limit int64) error {
	root, err := os.OpenRoot(m.Host)
	if err != nil {
		return fmt.Errorf("copy %s out of the guest: %w", m.Guest, cause(err))
	}
	defer root.Close() // only a name
	if err := fetch(ctx, guest, root, m.Guest, ".", ".", limit); err != nil {
		return fmt.Errorf("copy %s out of the guest to %s: %w", m.Guest, m.Host, err)
	}
	return nil
}

// CopyOut copies a file or directory out of the guest, of at most limit bytes.
// The guest is not trusted: nothing is written outside of the place that was
// named, no link leads out of it, and set-id bits and special files do not come
// along.
func (g Get) CopyOut(ctx context.Context, guest Runner, limit int64) error {
	dir, name, err := g.place()
	if err != nil {
		return fmt.Errorf("copy %s out of the guest: %w", g.Guest, cause(err))
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("copy %s out of the guest: %w", g.Guest, cause(err))
	}
	defer root.Close() // only a name
	if err := fetch(ctx, guest, root, path.Dir(g.Guest), path.Base(g.Guest), name, limit); err != nil {
		return fmt.Errorf("copy %s out of the guest to %s: %w", g.Guest, g.Host, err)
	}
	return nil
}

// fetch unpacks the guest's dir/base below root, as name.
func fetch(ctx context.Context, guest Runner, root *os.Root, dir, base, name string, limit int64) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r, w := io.Pipe()
	sent := make(chan error, 1)
	go func() {
		err := run(ctx, guest, nil, w, "tar", "-c", "--hard-dereference", "-C", dir, "-f", "-", "--", base)
		sent <- err
		w.CloseWithError(err)
	}()
	u := unpacker{root: root, base: base, name: name, left: limit, limit: limit}
	err := u.unpack(r)
	r.CloseWithError(errors.Join(io.ErrClosedPipe, err)) // which ends the command
	if serr := <-sent; err == nil || errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.Join(serr)
	}
	return err
}

// unpacker writes an archive's members below a root. What is called base in the
// archive is called name there.
type unpacker struct {
	root        *os.Root
	base, name  string
	left, limit int64
}

func (u *unpacker) unpack(r io.Reader) error {
	t := tar.NewReader(r)
	for n := 0; ; n++ {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			_, err = io.Copy(io.Discard, io.LimitReader(r, u.limit)) // so that the sender ends
			return err
		}
		if err != nil {
			return fmt.Errorf("read what the guest sent: %w", err)
		}
		if n == mostFiles {
			return fmt.Errorf("%w: more than %d files", ErrHostile, mostFiles)
		}
		if err := u.member(h, t); err != nil {
			return err
		}
	}
}

// member writes one member.
func (u *unpacker) member(h *tar.Header, r io.Reader) error {
	name, err := memberName(h.Name, u.base, u.name)
	if err != nil {
		return err
	}
	switch h.Typeflag {
	case tar.TypeDir:
		return u.directory(name, h)
	case tar.TypeReg:
		return u.file(name, h, r)
	case tar.TypeSymlink:
		return u.link(name, h.Linkname)
	}
	return fmt.Errorf("%w: %q is neither a file, a directory nor a link", ErrHostile, h.Name)
}

// memberName is where a member goes: below name, as it is below base in the
// archive. Names that leave it, and those that would disturb a terminal, are
// refused.
func memberName(member, base, name string) (string, error) {
	refused := fmt.Errorf("%w: a file called %.80q", ErrHostile, member)
	if member == "" || len(member) > longest || path.IsAbs(member) || strings.ContainsFunc(member, unicode.IsControl) {
		return "", refused
	}
	for word := range strings.SplitSeq(member, "/") {
		if word == ".." {
			return "", refused
		}
	}
	clean := path.Clean(member)
	if base == "." {
		return path.Join(name, clean), nil
	}
	if rest, ok := strings.CutPrefix(clean+"/", base+"/"); ok {
		return path.Join(name, rest), nil
	}
	return "", refused
}

// parents makes the directories above a name. None may be a link: what a link
// leads to, another member could have changed.
func (u *unpacker) parents(name string) error {
	dir := path.Dir(name)
	if dir == "." {
		return nil
	}
	at := ""
	for word := range strings.SplitSeq(dir, "/") {
		at = path.Join(at, word)
		info, err := u.root.Lstat(at)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			if err := u.root.Mkdir(at, 0o755); err != nil {
				return cause(err)
			}
		case err != nil:
			return cause(err)
		case !info.IsDir():
			return fmt.Errorf("%w: %q would be written through %q, which is no directory", ErrHostile, name, at)
		}
	}
	return nil
}

func (u *unpacker) directory(name string, h *tar.Header) error {
	if name == "." {
		return nil
	}
	return u.parents(path.Join(name, "x")) // permissions are the user's own
}

// file writes a file beside its place, so that a copy that is cut short leaves
// none behind, nor half of one.
func (u *unpacker) file(name string, h *tar.Header, r io.Reader) error {
	if u.left -= h.Size; u.left < 0 {
		return fmt.Errorf("%w: more than %d MiB, which is more than it has memory", ErrHostile, u.limit>>20)
	}
	if err := u.parents(name); err != nil {
		return err
	}
	tmp := path.Join(path.Dir(name), ".ctmatrix-"+path.Base(name))
	f, err := u.root.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fs.FileMode(h.Mode)&0o777|0o200)
	if err != nil {
		return cause(err)
	}
	_, err = io.Copy(f, r)
	if err = errors.Join(err, f.Close()); err == nil {
		err = u.root.Rename(tmp, name)
	}
	if err != nil {
		_ = u.root.Remove(tmp) // the first error is the one to tell
		return fmt.Errorf("write %q: %w", name, err)
	}
	return nil
}

// link makes a link that stays inside. Its parents are directories and no links,
// so that what its text means can be told from the names alone.
func (u *unpacker) link(name, target string) error {
	if !honestTarget(target) || !u.inside(path.Join(path.Dir(name), target)) {
		return fmt.Errorf("%w: link %q leads out of it, to %.80q", ErrHostile, name, target)
	}
	if err := u.parents(name); err != nil {
		return err
	}
	if was, err := u.root.Readlink(name); err == nil {
		if was == target {
			return nil
		}
		if err := u.root.Remove(name); err != nil {
			return cause(err)
		}
	}
	return cause(u.root.Symlink(target, name))
}

// honestTarget reports whether a link's text means the same whatever other links
// there are: none of its steps up follows a step down.
func honestTarget(target string) bool {
	if target == "" || len(target) > longest || path.IsAbs(target) || strings.ContainsFunc(target, unicode.IsControl) {
		return false
	}
	down := false
	for word := range strings.SplitSeq(target, "/") {
		if word == ".." && down {
			return false
		}
		down = down || word != ".." && word != "." && word != ""
	}
	return true
}

// inside reports whether a clean name is what is written to, or below it.
func (u *unpacker) inside(clean string) bool {
	if u.name == "." {
		return clean != ".." && !strings.HasPrefix(clean, "../")
	}
	return clean == u.name || strings.HasPrefix(clean, u.name+"/")
}
