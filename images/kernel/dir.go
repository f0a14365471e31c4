package kernel

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/ctmatrix/ctmatrix/images/kernel/unpack"
)

// dirKernel is what was found in a directory.
type dirKernel struct {
	image   string
	config  string // "" where there is none
	modules string // the directory that holds kernel/
	release string
}

// local lists the files that are kept.
func (d dirKernel) local() (localKernel, error) {
	files := []localFile{{imageFile, d.image}}
	if d.config != "" {
		files = append(files, localFile{configFile, d.config})
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
			files = append(files, localFile{modulesTree + "/" + rel, path})
		}
		return nil
	})
	if err != nil {
		return localKernel{}, fmt.Errorf("read modules: %w", err)
	}
	return localKernel{release: d.release, files: files}, nil
}

// findDir looks for a kernel and its modules in dir.
func findDir(dir, _ string) (localKernel, error) {
	bad := func(format string, args ...any) (localKernel, error) {
		return localKernel{}, fmt.Errorf("%w in %s: %s", ErrUnknown, dir, fmt.Sprintf(format, args...))
	}
	if err := isDir(dir); err != nil {
		return bad("%v", err)
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
	// Of several there is none that is sure to be its own.
	d.config, _ = oneMatch(filepath.Dir(image), "config-"+d.release, "config", ".config")
	if d.config == "" {
		d.config = configOfModules(d.modules, d.release)
	}
	return d.local()
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
