package initramfs

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/images/kernel/unpack"
)

// Version changes when the same agent and modules make another image.
const Version = "modules-2"

// Cache keeps layers in a directory, which several processes may share:
// a layer is written beside its place and renamed into it. Anything there may be
// deleted at any time.
type Cache struct {
	Dir string
	// Check is asked whether a kernel's modules are what they should be before a
	// layer is made of them. It may be nil.
	Check func() error
	// Signed keeps the signatures of modules, for kernels that take no others.
	Signed bool
}

// cached is the first line of a kept layer; the layer follows it.
type cached struct {
	SHA256   string           `json:"sha256"`
	Manifest observe.Manifest `json:"manifest"`
}

// Modules is like the function of that name. Digest identifies the kernel: two
// calls with the same digest, release and list must mean the same modules. A
// kept layer that is damaged is made anew.
func (c Cache) Modules(digest, dir, release string, want []string) (*ModuleLayer, error) {
	want, err := canonicalList(want)
	if err != nil {
		return nil, err
	}
	return c.kept(c.modulesKey(digest, release, want), func() (*ModuleLayer, error) {
		if c.Check != nil {
			if err := c.Check(); err != nil {
				return nil, err
			}
		}
		return Modules(dir, release, want, c.Signed)
	})
}

func (c Cache) modulesKey(digest, release string, want []string) []string {
	version := Version
	if c.Signed {
		version += " signed"
	}
	return append([]string{version, digest, release}, want...)
}

// PackedModules is the layer of Modules compressed, for kernels with CONFIG_RD_LZ4.
// It is half as large, and the guest has that much more memory that nobody has touched;
// to unpack it takes the kernel some 45 million instructions, a tenth of a second under
// emulation. Other formats are smaller and dearer: zstd two thirds of that, for four
// times as many.
func (c Cache) PackedModules(digest, dir, release string, want []string) (Layer, error) {
	want, err := canonicalList(want)
	if err != nil {
		return nil, err
	}
	return c.packed(c.modulesKey(digest, release, want), func() (Layer, error) {
		l, err := c.Modules(digest, dir, release, want)
		if err != nil {
			return nil, err
		}
		return l.Layer, nil
	})
}

// PackedAgent is the layer of Agent compressed like PackedModules.
func (c Cache) PackedAgent(bin []byte) (Layer, error) {
	return c.packed([]string{Version, "agent", digestOf(bin)}, func() (Layer, error) { return Agent(bin) })
}

// packed returns the layer that a key stands for, compressed.
func (c Cache) packed(key []string, plain func() (Layer, error)) (Layer, error) {
	l, err := c.kept(append([]string{"lz4"}, key...), func() (*ModuleLayer, error) {
		l, err := plain()
		if err != nil {
			return nil, err
		}
		data, err := unpack.LZ4(l)
		if err != nil {
			return nil, err
		}
		return &ModuleLayer{Layer: data}, nil
	})
	if err != nil {
		return nil, err
	}
	return l.Layer, nil
}

// kept returns the layer that a key stands for. Where it is not there, or not whole,
// it is made and kept.
func (c Cache) kept(key []string, make func() (*ModuleLayer, error)) (*ModuleLayer, error) {
	path := filepath.Join(c.Dir, digestOf([]byte(strings.Join(key, "\x00")))+".layer")
	l, err := read(path)
	if l != nil || err != nil {
		return l, err
	}
	if l, err = make(); err != nil {
		return nil, err
	}
	if err := c.keep(path, l); err != nil {
		return nil, err
	}
	return l, nil
}

// read returns a kept layer, or nil where there is none that is whole.
func read(path string) (*ModuleLayer, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read cached layer: %w", err)
	}
	return decode(data), nil
}

// decode returns the layer in a cached file, or nil if it is not whole.
func decode(data []byte) *ModuleLayer {
	head, layer, ok := bytes.Cut(data, []byte("\n"))
	if !ok {
		return nil
	}
	var h cached
	if err := json.Unmarshal(head, &h); err != nil || h.SHA256 != digestOf(layer) {
		return nil
	}
	return &ModuleLayer{Layer: layer, Manifest: h.Manifest}
}

func (c Cache) keep(path string, l *ModuleLayer) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("cache layer: %w", err)
		}
	}()
	head, err := json.Marshal(cached{SHA256: digestOf(l.Layer), Manifest: l.Manifest})
	if err != nil {
		return err
	}
	if err := os.MkdirAll(c.Dir, 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(c.Dir, "tmp-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name()) // the first error is the one to tell
		}
	}()
	_, err = f.Write(append(append(head, '\n'), l.Layer...))
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

func digestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
