package kernel

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/ctmatrix/ctmatrix/images/kernel/store"
)

// localSource takes kernels from places on this machine that the user names.
type localSource struct {
	scheme string
	// find looks for the kernel that the value of a ref means. Its error says
	// what is missing, and what to do.
	find  func(value, arch string) (localKernel, error)
	store *store.Store
	warn  func(string)
}

// localKernel is a kernel in files of this machine.
type localKernel struct {
	release string
	files   []localFile
	whole   bool // no modules are among them since the kernel has none
}

// localFile is a file to be copied to the store.
type localFile struct{ dst, path string }

// List implements Source: there is no end of directories.
func (s *localSource) List(context.Context) ([]Candidate, error) { return nil, nil }

// Resolve implements Source.
func (s *localSource) Resolve(_ context.Context, ref Ref) ([]Candidate, error) {
	k, err := s.find(ref.Value, ref.Arch)
	if err != nil {
		return nil, err
	}
	upstream, series := releaseParts(k.release)
	return []Candidate{{
		Ref: ref.String(), Source: s.scheme, Version: k.release, Upstream: upstream, Series: series,
		Release: k.release, Arch: ref.Arch,
	}}, nil
}

// Fetch implements Source. The files are copied to the store, so that what is
// tested stays what it is when the kernel is built anew.
func (s *localSource) Fetch(ctx context.Context, c Candidate) (*Kernel, error) {
	ref, err := ParseRef(c.Ref)
	if err != nil {
		return nil, err
	}
	local, err := s.find(ref.Value, c.Arch)
	if err != nil {
		return nil, err
	}
	c.Release, c.Version = local.release, local.release
	c.Upstream, c.Series = releaseParts(local.release)
	key, err := local.key(ctx)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.Ref, err)
	}
	e, err := fill(ctx, s.store, key, s.warn, func(ctx context.Context, dir string) (store.Filled, error) {
		return local.fill(ctx, c, key, dir)
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.Ref, err)
	}
	kept, err := stored(c, e)
	if err != nil {
		return nil, err
	}
	return kept, local.keepConfig(s.store, kept)
}

// fill copies the files, of which key was made, to dir.
func (k localKernel) fill(ctx context.Context, c Candidate, key, dir string) (store.Filled, error) {
	t := newTree(ctx, dir, k.release)
	t.whole = k.whole
	for _, f := range k.files {
		if err := t.copy(f); err != nil {
			t.abort()
			return store.Filled{}, err
		}
	}
	made, err := t.finish(c)
	if err != nil {
		return store.Filled{}, err
	}
	if again, err := k.key(ctx); err != nil || again != key {
		return store.Filled{}, errors.Join(err, errors.New("it changed while it was copied; try again when nothing writes to it"))
	}
	return made, nil
}

// key names a kernel by the content of its files.
func (k localKernel) key(ctx context.Context) (string, error) {
	h := sha256.New()
	fmt.Fprintln(h, treeVersion, SchemeDir, k.release)
	for _, f := range k.files {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		sum, err := store.HashFile(f.path)
		if err != nil {
			return "", fmt.Errorf("read kernel: %w", err)
		}
		fmt.Fprintln(h, f.dst, sum)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func (t *tree) copy(src localFile) error {
	f, err := os.Open(src.path)
	if err != nil {
		return err
	}
	defer f.Close() // only read
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return t.write(src.dst, src.path, info.Size(), f)
}

// isDir says in a few words why a path is no directory to look into.
func isDir(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return plainError(err)
	}
	if !info.IsDir() {
		return errors.New("not a directory")
	}
	return nil
}

// plainError is an error of the file system without the path, for lines that
// name it already.
func plainError(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
