package kernel

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/ctmatrix/ctmatrix/images/kernel/store"
	"github.com/ctmatrix/ctmatrix/images/kernel/unpack"
)

// dirSource takes a kernel from a directory of the user's.
type dirSource struct {
	o     Options
	store *store.Store
}

// dirKernel is what was found in a directory.
type dirKernel struct {
	image   string
	config  string // "" where there is none
	modules string // the directory that holds kernel/
	release string
}

// List implements Source: there is no end of directories.
func (s *dirSource) List(context.Context) ([]Candidate, error) { return nil, nil }

// Resolve implements Source.
func (s *dirSource) Resolve(_ context.Context, ref Ref) ([]Candidate, error) {
	d, err := findDir(ref.Value)
	if err != nil {
		return nil, err
	}
	upstream, series := releaseParts(d.release)
	return []Candidate{{
		Ref: ref.String(), Source: SchemeDir, Version: d.release, Upstream: upstream, Series: series,
		Release: d.release, Arch: cmp.Or(ref.Arch, s.o.Arch),
	}}, nil
}

// Fetch implements Source. The files are copied to the store, so that what is
// tested stays what it is when the directory is built anew.
func (s *dirSource) Fetch(ctx context.Context, c Candidate) (*Kernel, error) {
	ref, err := ParseRef(c.Ref)
	if err != nil {
		return nil, err
	}
	d, err := findDir(ref.Value)
	if err != nil {
		return nil, err
	}
	c.Release, c.Version = d.release, d.release
	files, key, err := d.scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.Ref, err)
	}
	e, err := s.store.Fill(ctx, key, func(ctx context.Context, dir string) (store.Filled, error) {
		t := newTree(ctx, dir, d.release)
		for _, f := range files {
			if err := t.copy(f); err != nil {
				t.abort()
				return store.Filled{}, err
			}
		}
		return t.finish(c)
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.Ref, err)
	}
	return stored(c, e)
}

// dirFile is a file to be copied.
type dirFile struct{ dst, path string }

// scan lists the files that are kept, and makes a store key of their content.
func (d dirKernel) scan(ctx context.Context) ([]dirFile, string, error) {
	files := []dirFile{{imageFile, d.image}}
	if d.config != "" {
		files = append(files, dirFile{configFile, d.config})
	}
	err := filepath.WalkDir(d.modules, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(d.modules, path)
		if err != nil {
			return err
		}
		rel = unpack.Plain(filepath.ToSlash(rel))
		if e.Type().IsRegular() && keeps(rel) {
			files = append(files, dirFile{modulesTree + "/" + rel, path})
		}
		return nil
	})
	if err != nil {
		return nil, "", fmt.Errorf("read modules: %w", err)
	}
	h := sha256.New()
	fmt.Fprintln(h, treeVersion, "dir", d.release)
	for _, f := range files {
		if err := ctx.Err(); err != nil {
			return nil, "", err
		}
		sum, err := store.HashFile(f.path)
		if err != nil {
			return nil, "", fmt.Errorf("read kernel: %w", err)
		}
		fmt.Fprintln(h, f.dst, sum)
	}
	return files, hex.EncodeToString(h.Sum(nil)), nil
}

func (t *tree) copy(src dirFile) error {
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

// findDir looks for a kernel and its modules in dir.
func findDir(dir string) (dirKernel, error) {
	bad := func(format string, args ...any) (dirKernel, error) {
		return dirKernel{}, fmt.Errorf("%w in %s: %s", ErrUnknown, dir, fmt.Sprintf(format, args...))
	}
	info, err := os.Stat(dir)
	if err != nil {
		var p *fs.PathError
		if errors.As(err, &p) {
			err = p.Err
		}
		return bad("%v", err)
	}
	if !info.IsDir() {
		return bad("not a directory")
	}
	image, err := oneMatch(dir, "vmlinuz-*", "vmlinuz", "bzImage", "boot/vmlinuz-*")
	if err != nil {
		return bad("%v", err)
	}
	if image == "" {
		return bad("no image: looked for vmlinuz-*, vmlinuz, bzImage, boot/vmlinuz-*")
	}
	d := dirKernel{image: image}
	if _, rel, ok := strings.Cut(filepath.Base(image), "vmlinuz-"); ok {
		d.release = rel
	}
	if err := d.findModules(dir); err != nil {
		return bad("%v", err)
	}
	if d.release == "" {
		if d.release, err = imageRelease(image); err != nil {
			return bad("%v", err)
		}
	}
	d.config, _ = oneMatch(filepath.Dir(image), "config-"+d.release, "config", ".config")
	return d, nil
}

// findModules looks for the modules of the image's release.
func (d *dirKernel) findModules(dir string) error {
	rel := cmp.Or(d.release, "*")
	patterns := []string{"lib/modules/" + rel, "usr/lib/modules/" + rel}
	var found []string
	for _, p := range patterns {
		matches, err := filepath.Glob(filepath.Join(escapeGlob(dir), p, "kernel"))
		if err != nil {
			return err
		}
		for _, m := range matches {
			// lib may be a link to usr/lib.
			if real, err := filepath.EvalSymlinks(m); err == nil && !slices.Contains(found, real) {
				found = append(found, real)
			}
		}
	}
	if len(found) > 1 {
		return fmt.Errorf("modules of several kernels: %s; name the image vmlinuz-RELEASE", strings.Join(found, ", "))
	}
	if len(found) == 1 {
		d.modules = filepath.Dir(found[0])
		d.release = filepath.Base(d.modules)
		return nil
	}
	direct := filepath.Join(dir, "modules")
	if info, err := os.Stat(filepath.Join(direct, "kernel")); err == nil && info.IsDir() {
		d.modules = direct
		return nil
	}
	return fmt.Errorf("no modules: looked for kernel/ below %s, modules", strings.Join(patterns, ", "))
}

// oneMatch returns the first pattern's only match below dir, or "".
func oneMatch(dir string, patterns ...string) (string, error) {
	for _, p := range patterns {
		matches, err := filepath.Glob(filepath.Join(escapeGlob(dir), p))
		if err != nil {
			return "", err
		}
		matches = slices.DeleteFunc(matches, func(m string) bool {
			info, err := os.Stat(m)
			return err != nil || !info.Mode().IsRegular()
		})
		if len(matches) > 1 {
			return "", fmt.Errorf("several images: %s; keep one", strings.Join(matches, ", "))
		}
		if len(matches) == 1 {
			return matches[0], nil
		}
	}
	return "", nil
}

var globMeta = regexp.MustCompile(`[*?\[\\]`)

func escapeGlob(s string) string { return globMeta.ReplaceAllString(s, `\$0`) }

// imageRelease reads the release from an x86 image's header, where the boot
// protocol has it: a pointer at 0x20e to a string after the first 0x200 bytes.
func imageRelease(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", fmt.Errorf("read image: %w", err)
	}
	defer f.Close() // only read
	head := make([]byte, 64<<10)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return "", fmt.Errorf("read image: %w", err)
	}
	if rel := headerRelease(head[:n]); rel != "" {
		return rel, nil
	}
	return "", fmt.Errorf("%s does not say its release; name it vmlinuz-RELEASE", name)
}

func headerRelease(head []byte) string {
	if len(head) < 0x210 || string(head[0x202:0x206]) != "HdrS" {
		return ""
	}
	at := 0x200 + int(head[0x20e]) + int(head[0x20f])<<8
	if at >= len(head) {
		return ""
	}
	rest := head[at:min(at+128, len(head))]
	end := slices.IndexFunc(rest, func(b byte) bool { return b <= ' ' || b > '~' })
	if end <= 0 {
		return ""
	}
	return string(rest[:end])
}

var releaseForm = regexp.MustCompile(`^(([0-9]+\.[0-9]+)(?:\.[0-9]+)?)`)

// releaseParts takes a release apart: "6.1.0-56-cloud-amd64" is "6.1.0" of
// "6.1". A distribution's own numbering tells no more.
func releaseParts(rel string) (upstream, series string) {
	m := releaseForm.FindStringSubmatch(rel)
	if m == nil {
		return rel, ""
	}
	return m[1], m[2]
}
