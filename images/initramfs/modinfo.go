package initramfs

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"strings"
)

// maxModinfo bounds a module's .modinfo section. Real ones have a few hundred
// bytes, those with many aliases some ten thousand.
const maxModinfo = 1 << 20

var errNoModinfo = errors.New("no .modinfo section")

// modinfo is what a module says about itself, as far as it decides what must be
// loaded before it.
type modinfo struct {
	name    string   // "" where it does not say
	depends []string // canonical names, of modules that it takes symbols from
	pre     []string // names or aliases, of what it would like to find loaded
	aliases []string
}

// readModinfo reads the description in a module's file.
func readModinfo(ko []byte) (modinfo, error) {
	f, err := elf.NewFile(bytes.NewReader(ko))
	if err != nil {
		return modinfo{}, fmt.Errorf("read ELF: %w", err)
	}
	defer f.Close() // holds nothing: the reader is memory
	s := f.Section(".modinfo")
	if s == nil || s.Type != elf.SHT_PROGBITS {
		return modinfo{}, errNoModinfo
	}
	if s.Size > maxModinfo || s.FileSize > maxModinfo {
		return modinfo{}, fmt.Errorf("section .modinfo has %d bytes, more than %d", s.Size, maxModinfo)
	}
	data, err := s.Data()
	if err != nil {
		return modinfo{}, fmt.Errorf("read section .modinfo: %w", err)
	}
	return parseModinfo(data), nil
}

// parseModinfo reads strings of the form key=value, each ended by zero bytes.
// What it does not know it skips.
func parseModinfo(data []byte) modinfo {
	var m modinfo
	for _, field := range strings.Split(string(data), "\x00") {
		key, value, ok := strings.Cut(field, "=")
		if !ok {
			continue
		}
		switch key {
		case "name":
			m.name = canonical(value)
		case "depends":
			for _, d := range strings.Split(value, ",") {
				if validName(d) {
					m.depends = append(m.depends, canonical(d))
				}
			}
		case "softdep":
			m.pre = append(m.pre, preOf(value)...)
		case "alias":
			m.aliases = append(m.aliases, value)
		}
	}
	return m
}

// preOf returns what stands behind "pre:" in "pre: a b post: c".
func preOf(softdep string) []string {
	var pre []string
	in := false
	for _, word := range strings.Fields(softdep) {
		switch {
		case strings.HasSuffix(word, ":"):
			in = word == "pre:"
		case in:
			pre = append(pre, word)
		}
	}
	return pre
}

// canonical is the kernel's own spelling of a module's name.
func canonical(name string) string { return strings.ReplaceAll(name, "-", "_") }

// maxModuleName is MODULE_NAME_LEN on 64-bit machines, less the zero byte.
const maxModuleName = 55

// validName reports whether a string can be the name of a module, and so of a
// file in the image.
func validName(name string) bool {
	if name == "" || len(name) > maxModuleName {
		return false
	}
	for _, c := range []byte(name) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}
