// Package userland makes the layer of an image that has programs in it: a shell
// and what one looks at a network stack with. They come from Debian's packages,
// which are verified as kernels are and unpacked in this process: no root, no
// package manager, and none of the packages' scripts.
package userland

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ctmatrix/ctmatrix/images/initramfs"
	"github.com/ctmatrix/ctmatrix/images/kernel"
	"github.com/ctmatrix/ctmatrix/images/kernel/store"
)

// version changes when the same packages make another layer.
const version = "userland-1"

// layerFile is the one file of an entry of the store.
const layerFile = "layer.cpio"

// Layers are kept up to a sum of their sizes, the least recently used going
// first; one used within keptTime stays.
const (
	keptBytes = 512 << 20
	keptTime  = time.Hour
)

// packagesAtOnce bounds downloads, which share one line.
const packagesAtOnce = 3

// Source offers packages. A kernel.Catalog is one.
type Source interface {
	Packages(ctx context.Context, sel kernel.Selection) ([]kernel.Package, error)
	Download(ctx context.Context, p kernel.Package, w io.Writer) error
}

// Layer is a layer with programs, and what it is made of.
type Layer struct {
	initramfs.Layer
	Packages []kernel.Package
	Made     bool // now, and not found in the cache
}

// Downloaded is the sum of the packages' sizes in bytes.
func (l *Layer) Downloaded() int64 {
	var n int64
	for _, p := range l.Packages {
		n += p.Size
	}
	return n
}

// Cache keeps layers in a directory, which several processes may share: a layer
// is made beside its place and renamed into it, and read again before each use.
type Cache struct {
	Dir      string
	Progress kernel.Progress // told of the download as a whole
}

// Layer returns the layer with all programs.
func (c Cache) Layer(ctx context.Context, from Source) (*Layer, error) {
	sel := kernel.Selection{Suites: Suites, Names: roots}
	for _, w := range without {
		sel.Without = append(sel.Without, w.name)
	}
	packages, err := from.Packages(ctx, sel)
	if err != nil {
		return nil, fmt.Errorf("choose programs for the guest: %w", err)
	}
	st, err := store.Open(c.Dir)
	if err != nil {
		return nil, err
	}
	l := &Layer{Packages: packages}
	for range 2 {
		e, err := st.Fill(ctx, keyOf(packages), func(ctx context.Context, dir string) (store.Filled, error) {
			l.Made = true
			task := c.Progress.Start(fmt.Sprintf("%d packages with the guest's programs", len(packages)), l.Downloaded())
			filled, err := fill(ctx, from, packages, dir, task)
			task.Done(err)
			return filled, err
		})
		if err != nil {
			return nil, fmt.Errorf("make the layer of programs: %w", err)
		}
		if l.Layer, err = read(e); err == nil {
			return l, st.Trim(keptBytes, time.Now().Add(-keptTime))
		}
		if err := st.Remove(e.Digest); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("make the layer of programs: %w", store.ErrDamaged)
}

// keyOf names the layer of packages.
func keyOf(packages []kernel.Package) string {
	h := sha256.New()
	fmt.Fprintln(h, version, left, links, texts)
	for _, p := range packages {
		fmt.Fprintln(h, p.Name, p.SHA256)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// fill downloads packages, and unpacks them once all are verified.
func fill(ctx context.Context, from Source, packages []kernel.Package, dir string, task kernel.Task) (store.Filled, error) {
	names := make([]string, len(packages))
	count := &counter{task: task}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(packagesAtOnce)
	for i, p := range packages {
		names[i] = filepath.Join(filepath.Dir(dir), fmt.Sprintf("package-%d.deb", i))
		g.Go(func() error { return download(gctx, from, p, names[i], count) })
	}
	if err := g.Wait(); err != nil {
		return store.Filled{}, err
	}
	t := tree{from: map[string]string{}}
	for i, p := range packages {
		if err := ctx.Err(); err != nil {
			return store.Filled{}, err
		}
		if err := t.unpack(p.Name, names[i]); err != nil {
			return store.Filled{}, fmt.Errorf("unpack %s %s: %w", p.Name, p.Version, err)
		}
	}
	layer, err := t.layer()
	if err != nil {
		return store.Filled{}, err
	}
	if err := os.WriteFile(filepath.Join(dir, layerFile), layer, 0o644); err != nil {
		return store.Filled{}, fmt.Errorf("write layer: %w", err)
	}
	digest := digestOf(layer)
	return store.Filled{
		Digest: digest, Meta: packages,
		Files: []store.File{{Name: layerFile, Size: int64(len(layer)), SHA256: digest}},
	}, nil
}

// counter tells a task, which is one goroutine's, of what several write.
type counter struct {
	mu   sync.Mutex
	task kernel.Task
}

func (c *counter) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.task.Add(int64(len(p)))
	return len(p), nil
}

func download(ctx context.Context, from Source, p kernel.Package, name string, count *counter) error {
	f, err := os.Create(name)
	if err != nil {
		return fmt.Errorf("download %s: %w", p.Name, err)
	}
	if err := from.Download(ctx, p, io.MultiWriter(f, count)); err != nil {
		f.Close() // the first error is the one to tell
		return err
	}
	return f.Close()
}

func (t *tree) unpack(name, file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close() // only read
	return t.add(name, f)
}

// read returns a kept layer, or store.ErrDamaged.
func read(e *store.Entry) (initramfs.Layer, error) {
	data, err := os.ReadFile(filepath.Join(e.Dir, layerFile))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", store.ErrDamaged, err)
	}
	if digestOf(data) != e.Digest {
		return nil, fmt.Errorf("%w: %s has changed", store.ErrDamaged, layerFile)
	}
	return data, nil
}

func digestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// Dir is where layers with programs are kept in a cache.
func Dir(cache string) string { return filepath.Join(cache, "userland") }
