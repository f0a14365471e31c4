package initramfs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/images/kernel/unpack"
)

// Layer is a complete archive, of a size that lets another follow it; or one that is
// compressed, which only others such may follow. See Cache.PackedModules.
type Layer []byte

func (l Layer) packed() bool { return bytes.HasPrefix(l, []byte(unpack.LZ4Magic)) }

// WriteTo writes the layer's bytes.
func (l Layer) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(l)
	return int64(n), err
}

// mountPoints are the directories that the agent mounts something on.
var mountPoints = []string{"dev", "proc", "run", "sys", "tmp"}

// Agent is the layer with the agent, which is init too, the directories it
// mounts on, and the device that gives it a console: the kernel opens
// /dev/console before it starts init.
func Agent(bin []byte) (Layer, error) {
	files := []file{
		regular(inImage(observe.AgentPath), 0o755, bin),
		{name: "dev/console", mode: modeChar | 0o600, major: 5, minor: 1},
	}
	for _, d := range mountPoints {
		files = append(files, directory(d))
	}
	return archive(files)
}

// Boot is the layer that tells one boot its keys.
func Boot(b observe.Boot) (Layer, error) {
	if b.HostKey == "" || b.ClientKey == "" {
		return nil, errors.New("describe boot: a key is missing")
	}
	data, err := json.Marshal(b)
	if err != nil {
		return nil, fmt.Errorf("describe boot: %w", err)
	}
	return archive([]file{regular(inImage(observe.BootPath), 0o600, data)})
}

// Assemble writes the image made of layers. Where a file is in several, the
// last one counts.
func Assemble(w io.Writer, layers ...Layer) error {
	packed := false
	for i, l := range layers {
		switch packs := l.packed(); {
		case packed && !packs:
			return fmt.Errorf("assemble image: layer %d follows one that is compressed", i)
		case !packs && len(l)%4 != 0:
			return fmt.Errorf("assemble image: layer %d has %d bytes, not a multiple of four", i, len(l))
		default:
			packed = packs
		}
		if _, err := l.WriteTo(w); err != nil {
			return fmt.Errorf("assemble image: %w", err)
		}
	}
	return nil
}
