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
)

// Version changes when the same agent and modules make another image.
const Version = "modules-2"

// Cache keeps module layers in a directory, which several processes may share:
// a layer is written beside its place and renamed into it. Anything there may be
// deleted at any time.
type Cache struct{ Dir string }

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
	key := sha256.Sum256([]byte(strings.Join(append([]string{Version, digest, release}, want...), "\x00")))
	path := filepath.Join(c.Dir, hex.EncodeToString(key[:])+".layer")
	data, err := os.ReadFile(path)
	if err == nil {
		if l := decode(data); l != nil {
			return l, nil
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read cached modules: %w", err)
	}
	l, err := Modules(dir, release, want)
	if err != nil {
		return nil, err
	}
	if err := c.keep(path, l); err != nil {
		return nil, fmt.Errorf("cache modules: %w", err)
	}
	return l, nil
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
