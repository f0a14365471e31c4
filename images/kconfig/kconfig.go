// Package kconfig reads configurations of kernels, as they are beside images and
// in build trees, and says which of their options matter to connection tracking.
package kconfig

import (
	"bufio"
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"github.com/ctmatrix/ctmatrix/images/kernel/unpack"
)

// Config is a kernel's options by their names, "CONFIG_NF_CONNTRACK": "y", "m",
// "n" of one that is not set, else a value as it is written, in its quotes. An
// option that is not there is one that the kernel does not know, or does not ask
// for as the others are set.
type Config map[string]string

// SignedOnly reports whether the kernel may refuse modules without a signature:
// because it was built to (MODULE_SIG_FORCE, or a lockdown that is in force from the
// first), or because nothing is known of it, as of nil.
func (c Config) SignedOnly() bool {
	for _, o := range []string{"MODULE_SIG_FORCE", "LOCK_DOWN_KERNEL_FORCE_INTEGRITY", "LOCK_DOWN_KERNEL_FORCE_CONFIDENTIALITY"} {
		if c[prefix+o] == "y" {
			return true
		}
	}
	return len(c) == 0
}

// Bounds on what Parse takes. 7.3 of Debian has 10,400 options in 280 kB.
const (
	maxBytes   = 16 << 20
	maxOptions = 100_000
	maxName    = 128
	maxValue   = 4096
)

// prefix begins the names of options.
const prefix = "CONFIG_"

// Parse reads a configuration. Of what does not look like a line of one it takes
// no notice; one that says nothing at all is an error.
func Parse(r io.Reader) (Config, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	if len(data) > maxBytes {
		return nil, fmt.Errorf("read configuration: more than %d bytes", maxBytes)
	}
	c := Config{}
	for line := range bytes.Lines(data) {
		name, value, ok := parseLine(strings.TrimRight(string(line), "\r\n"))
		if !ok {
			continue
		}
		if c[name] = value; len(c) > maxOptions {
			return nil, fmt.Errorf("read configuration: more than %d options", maxOptions)
		}
	}
	if len(c) == 0 {
		return nil, errors.New("read configuration: it has no options")
	}
	return c, nil
}

// parseLine reads what scripts/kconfig writes: "CONFIG_A=m", "# CONFIG_A is not
// set".
func parseLine(line string) (name, value string, ok bool) {
	if rest, off := strings.CutPrefix(line, "# "); off {
		name, ok = strings.CutSuffix(rest, " is not set")
		value = "n"
	} else {
		name, value, ok = strings.Cut(line, "=")
	}
	return name, value, ok && validName(name) && value != "" && len(value) <= maxValue
}

func validName(name string) bool {
	word, ok := strings.CutPrefix(name, prefix)
	return ok && word != "" && len(name) <= maxName && !strings.ContainsFunc(word, func(r rune) bool {
		return !(r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '_')
	})
}

// Read reads the configuration in a file, packed or not, as its name says.
func Read(name string) (_ Config, err error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	defer f.Close() // only read
	r, err := unpack.Reader(name, f)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	defer r.Close() // only read
	return Parse(r)
}

//go:embed kept.txt
var keptText string

// kept are globs of the names of options, without their prefix.
var kept = parseKept(keptText)

// glob is a pattern of path.Match, and what all that it matches begins with.
type glob struct{ pattern, begins string }

func parseKept(text string) []glob {
	var globs []glob
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		pattern, _, _ := strings.Cut(lines.Text(), "#")
		if pattern = strings.TrimSpace(pattern); pattern != "" {
			begins := pattern
			if i := strings.IndexAny(pattern, `*?[\`); i >= 0 {
				begins = pattern[:i]
			}
			globs = append(globs, glob{pattern, begins})
		}
	}
	return globs
}

// Keeps reports whether an option can matter to what is asked of a kernel:
// kept.txt lists those.
func Keeps(name string) bool {
	word, ok := strings.CutPrefix(name, prefix)
	if !ok {
		return false
	}
	for _, g := range kept {
		// Nearly all of the ten thousand options of a kernel end here.
		if !strings.HasPrefix(word, g.begins) {
			continue
		}
		if match, err := path.Match(g.pattern, word); err == nil && match {
			return true
		}
	}
	return false
}

// Kept are the options that Keeps.
func (c Config) Kept() Config {
	out := Config{}
	for name, value := range c {
		if Keeps(name) {
			out[name] = value
		}
	}
	return out
}
