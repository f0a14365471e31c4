package kernel

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/ctmatrix/ctmatrix/images/kernel/store"
	"github.com/ctmatrix/ctmatrix/images/kernel/unpack"
)

// treeVersion changes when other files are kept of a kernel, or in another way:
// what was stored before is not used then.
const treeVersion = "tree-1"

const (
	maxModule = 256 << 20 // one module, unpacked
	maxImage  = 1 << 30
	maxTree   = 4 << 30 // all files, unpacked; what is kept of Debian's kernels takes less than 100 MiB
)

// Names in a store entry.
const (
	imageFile   = "vmlinuz"
	configFile  = "config"
	modulesTree = "modules"
)

// keptDirs are the directories below the modules directory whose modules a
// suite about networking can need, and what these depend on.
var keptDirs = []string{
	"kernel/net/",
	"kernel/lib/",
	"kernel/crypto/",
	"kernel/drivers/virtio/",
	"kernel/drivers/net/bonding/",
	"kernel/drivers/net/ipvlan/",
	"kernel/drivers/net/netdevsim/",
	"kernel/drivers/net/ovpn/",
	"kernel/drivers/net/ppp/",
	"kernel/drivers/net/team/",
	"kernel/drivers/net/vxlan/",
	"kernel/drivers/net/wireguard/",
	"kernel/drivers/char/hw_random/",
}

// keptFiles are further files there.
var keptFiles = []string{
	"modules.builtin",
	"modules.builtin.modinfo",
	"modules.order",
	"kernel/drivers/char/virtio_console.ko",
	"kernel/drivers/firmware/qemu_fw_cfg.ko",
}

// keeps reports whether a file of the modules directory is kept; name is
// relative to it, and without the ending of a compressed file.
func keeps(name string) bool {
	if slices.Contains(keptFiles, name) {
		return true
	}
	if path.Ext(name) != ".ko" {
		return false
	}
	// tun, veth, dummy, vrf and their like, not the drivers of hardware.
	if path.Dir(name) == "kernel/drivers/net" {
		return true
	}
	if rest, ok := strings.CutPrefix(name, "kernel/arch/"); ok {
		_, rest, _ = strings.Cut(rest, "/")
		return strings.HasPrefix(rest, "crypto/") || strings.HasPrefix(rest, "lib/")
	}
	return slices.ContainsFunc(keptDirs, func(d string) bool { return strings.HasPrefix(name, d) })
}

// tree is a kernel that is being written to a directory. Files are added by one
// goroutine; modules are unpacked and written by several.
type tree struct {
	dir     string
	release string
	whole   bool // it has no modules
	group   *errgroup.Group
	ctx     context.Context
	room    atomic.Int64 // bytes that may still be written

	mu    sync.Mutex
	files map[string]store.File // by name in the entry
}

func newTree(ctx context.Context, dir, release string) *tree {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	t := &tree{dir: dir, release: release, group: g, ctx: gctx, files: map[string]store.File{}}
	t.room.Store(maxTree)
	return t
}

// place returns where a package's file goes in the entry, or "".
func (t *tree) place(name string) string {
	switch name {
	case "boot/vmlinuz-" + t.release, "boot/vmlinux-" + t.release:
		return imageFile
	case "boot/config-" + t.release:
		return configFile
	}
	rest, ok := strings.CutPrefix(strings.TrimPrefix(name, "usr/"), "lib/modules/"+t.release+"/")
	if !ok {
		return ""
	}
	switch rest {
	case "vmlinuz", "vmlinux":
		return imageFile
	case "config":
		return configFile
	}
	if rest = unpack.Plain(rest); keeps(rest) {
		return modulesTree + "/" + rest
	}
	return ""
}

func (t *tree) wants(name string) bool { return t.place(name) != "" }

// add writes a file of a package.
func (t *tree) add(name string, size int64, r io.Reader) error {
	return t.write(t.place(name), name, size, r)
}

// write puts a file of the name source, which says how it is compressed, at
// dst. A small file is read at once and written by another goroutine.
func (t *tree) write(dst, source string, size int64, r io.Reader) error {
	if err := t.ctx.Err(); err != nil {
		return t.failure(err)
	}
	t.mu.Lock()
	_, twice := t.files[dst]
	t.files[dst] = store.File{Name: dst}
	t.mu.Unlock()
	if twice {
		return fmt.Errorf("%s is there twice", dst)
	}
	switch {
	case dst == configFile: // /proc/config.gz is packed
		return t.store(dst, source, r, maxConfig)
	case !strings.HasPrefix(dst, modulesTree+"/"):
		return t.store(dst, "", r, maxImage)
	}
	if size > maxModule {
		return fmt.Errorf("%s has %d bytes", source, size)
	}
	data := make([]byte, size)
	if _, err := io.ReadFull(r, data); err != nil {
		return fmt.Errorf("read %s: %w", source, err)
	}
	t.group.Go(func() error { return t.store(dst, source, bytes.NewReader(data), maxModule) })
	return nil
}

// failure is the error of a goroutine where there is one: the context was
// cancelled because of it.
func (t *tree) failure(err error) error {
	return cmpErr(t.group.Wait(), err)
}

func (t *tree) store(dst, source string, r io.Reader, limit int64) (err error) {
	plain, err := unpack.Reader(source, r)
	if err != nil {
		return err
	}
	defer plain.Close() // only read
	name := filepath.Join(t.dir, filepath.FromSlash(dst))
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return fmt.Errorf("write %s: %w", dst, err)
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return fmt.Errorf("write %s: %w", dst, err)
	}
	defer func() {
		if cerr := f.Close(); err == nil && cerr != nil {
			err = fmt.Errorf("write %s: %w", dst, cerr)
		}
	}()
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(f, h, &bound{&t.room}), io.LimitReader(plain, limit+1))
	if err != nil {
		return fmt.Errorf("write %s: %w", dst, err)
	}
	if n > limit {
		return fmt.Errorf("write %s: more than %d bytes", dst, limit)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.files[dst] = store.File{Name: dst, Size: n, SHA256: hex.EncodeToString(h.Sum(nil))}
	return nil
}

// bound lets as much be written as there is room for. What is packed twice, in a
// package and as a module, can be some thousand times as large as it came.
type bound struct{ room *atomic.Int64 }

func (b *bound) Write(p []byte) (int, error) {
	if b.room.Add(-int64(len(p))) < 0 {
		return 0, errTooLarge
	}
	return len(p), nil
}

var errTooLarge = fmt.Errorf("more than %d MiB of files in all", maxTree>>20)

// abort waits for what is being written; the caller has an error already.
func (t *tree) abort() { _ = t.group.Wait() }

// finish waits for all files and describes the entry.
func (t *tree) finish(c Candidate) (store.Filled, error) {
	if err := t.group.Wait(); err != nil {
		return store.Filled{}, err
	}
	files := make([]store.File, 0, len(t.files))
	modules := 0
	for _, f := range t.files {
		files = append(files, f)
		if path.Ext(f.Name) == ".ko" {
			modules++
		}
	}
	slices.SortFunc(files, func(a, b store.File) int { return cmp.Compare(a.Name, b.Name) })
	if _, ok := t.files[imageFile]; !ok {
		return store.Filled{}, fmt.Errorf("%s: no vmlinuz-%s among its files", c.Version, t.release)
	}
	if modules == 0 && !t.whole {
		return store.Filled{}, fmt.Errorf("%s: no modules of %s among its files", c.Version, t.release)
	}
	if modules == 0 {
		// What its modules would be is asked of an empty directory.
		if err := os.MkdirAll(filepath.Join(t.dir, modulesTree), 0o755); err != nil {
			return store.Filled{}, fmt.Errorf("write %s: %w", modulesTree, err)
		}
	}
	return store.Filled{Digest: digest(files), Meta: c, Files: files}, nil
}

// digest is over the image and the modules with their names, whose order is
// that of the sorted files.
func digest(files []store.File) string {
	h := sha256.New()
	for _, f := range files {
		if f.Name == imageFile || path.Ext(f.Name) == ".ko" {
			fmt.Fprintf(h, "%s %s\n", f.SHA256, f.Name)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

// stored is the kernel that a store entry holds, under the name by which it was
// asked for now.
func stored(c Candidate, e *store.Entry) (*Kernel, error) {
	k := &Kernel{
		Candidate:  c,
		Image:      filepath.Join(e.Dir, imageFile),
		ModulesDir: filepath.Join(e.Dir, modulesTree),
		Digest:     e.Digest,
	}
	if slices.ContainsFunc(e.Files, func(f store.File) bool { return f.Name == configFile }) {
		k.Config = filepath.Join(e.Dir, configFile)
	}
	return k, nil
}

// fromEntry is the kernel that an entry was filled with first.
func fromEntry(e *store.Entry) (*Kernel, error) {
	var c Candidate
	if err := json.Unmarshal(e.Meta, &c); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", store.ErrDamaged, e.Dir, err)
	}
	if c.Release == "" {
		return nil, errors.Join(store.ErrDamaged, fmt.Errorf("%s names no release", e.Dir))
	}
	return stored(c, e)
}
