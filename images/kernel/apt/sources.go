// Package apt reads what apt reads: the host's list of archives, signed release
// files and package indexes. It parses and verifies; it does not fetch.
package apt

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// ErrNoMirror: the host's apt sources name no Debian archive.
var ErrNoMirror = errors.New("no Debian mirror in the host's apt sources")

// Mirrors are the archives that a host uses.
type Mirrors struct {
	Main     string   // base URL of the main archive, without a slash at its end
	Security string   // of the security archive, or ""
	SignedBy []string // paths of keyrings that the entries of both name
}

// Entry is one line of a sources.list, or one stanza of a .sources file.
type Entry struct {
	URIs     []string
	Suites   []string
	SignedBy []string // paths; keys given inline are left out
}

// Discover reads sources.list and sources.list.d below dir, which is /etc/apt
// on a host, and returns the archives whose paths end in /debian and
// /debian-security. Other repositories are ignored. Where there is no main
// archive, the error is ErrNoMirror.
func Discover(dir string) (Mirrors, error) {
	var m Mirrors
	files, err := sourceFiles(dir)
	if err != nil {
		return m, err
	}
	for _, name := range files {
		entries, err := readSources(name)
		if err != nil {
			return m, err
		}
		for _, e := range entries {
			m.add(e)
		}
	}
	if m.Main == "" {
		return m, ErrNoMirror
	}
	return m, nil
}

func sourceFiles(dir string) ([]string, error) {
	files := []string{filepath.Join(dir, "sources.list")}
	list, err := os.ReadDir(filepath.Join(dir, "sources.list.d"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read apt sources: %w", err)
	}
	for _, d := range list { // sorted by name, as apt reads them
		if ext := filepath.Ext(d.Name()); ext == ".list" || ext == ".sources" {
			files = append(files, filepath.Join(dir, "sources.list.d", d.Name()))
		}
	}
	return files, nil
}

func readSources(name string) ([]Entry, error) {
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read apt sources: %w", err)
	}
	defer f.Close() // only read
	parse := ParseList
	if filepath.Ext(name) == ".sources" {
		parse = ParseStanzas
	}
	entries, err := parse(f)
	if err != nil {
		return nil, fmt.Errorf("read apt sources %s: %w", name, err)
	}
	return entries, nil
}

// add takes the first URI of either archive.
func (m *Mirrors) add(e Entry) {
	for _, uri := range e.URIs {
		u, err := url.Parse(uri)
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
			continue
		}
		base := strings.TrimRight(uri, "/")
		var dst *string
		switch path := strings.TrimRight(u.Path, "/"); {
		case strings.HasSuffix(path, "/debian"):
			dst = &m.Main
		case strings.HasSuffix(path, "/debian-security"):
			dst = &m.Security
		default:
			continue
		}
		if *dst == "" {
			*dst = base
		}
		for _, k := range e.SignedBy {
			if !slices.Contains(m.SignedBy, k) {
				m.SignedBy = append(m.SignedBy, k)
			}
		}
	}
}

// ParseList reads the one-line format: "deb [signed-by=PATH] URI SUITE MAIN…".
// Lines that apt would refuse are passed over.
func ParseList(r io.Reader) ([]Entry, error) {
	var out []Entry
	s := lines(r)
	for s.Scan() {
		line, _, _ := strings.Cut(s.Text(), "#")
		kind, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		rest = strings.TrimSpace(rest)
		if kind != "deb" {
			continue
		}
		var e Entry
		if strings.HasPrefix(rest, "[") {
			opts, after, ok := strings.Cut(rest[1:], "]")
			if !ok {
				continue
			}
			for _, o := range strings.Fields(opts) {
				if v, ok := strings.CutPrefix(o, "signed-by="); ok {
					e.SignedBy = paths(strings.Split(v, ","))
				}
			}
			rest = after
		}
		f := strings.Fields(rest)
		if len(f) < 2 {
			continue
		}
		e.URIs, e.Suites = f[:1], f[1:2]
		out = append(out, e)
	}
	return out, s.Err()
}

// ParseStanzas reads the deb822 format of .sources files.
func ParseStanzas(r io.Reader) ([]Entry, error) {
	var out []Entry
	err := paragraphs(r, func(f fields) error {
		if strings.EqualFold(f.get("enabled"), "no") || !slices.Contains(f.words("types"), "deb") {
			return nil
		}
		out = append(out, Entry{URIs: f.words("uris"), Suites: f.words("suites"), SignedBy: paths(f.words("signed-by"))})
		return nil
	})
	return out, err
}

// paths keeps what is a path: a key given inline is not.
func paths(words []string) []string {
	var out []string
	for _, w := range words {
		if filepath.IsAbs(w) {
			out = append(out, w)
		}
	}
	return out
}

// maxText bounds a line, and a paragraph of fields.
const maxText = 8 << 20

func lines(r io.Reader) *bufio.Scanner {
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 0, 64<<10), maxText)
	return s
}

// fields are those of a paragraph, by name in lower case, a line each.
type fields map[string][]string

// get returns a field of one line, or "".
func (f fields) get(name string) string {
	if len(f[name]) == 0 {
		return ""
	}
	return f[name][0]
}

// words splits a field, whatever lines it is written on.
func (f fields) words(name string) []string {
	return strings.Fields(strings.Join(f[name], " "))
}

// paragraphs reads paragraphs of "Name: value" lines, where a line that starts
// with a blank continues the one before, and calls each with every paragraph.
func paragraphs(r io.Reader, each func(fields) error) error {
	s := lines(r)
	cur := fields{}
	last, size := "", 0
	flush := func() error {
		if len(cur) == 0 {
			return nil
		}
		err := each(cur)
		cur, last, size = fields{}, "", 0
		return err
	}
	for s.Scan() {
		line := s.Text()
		if size += len(line); size > maxText {
			return fmt.Errorf("a paragraph of more than %d bytes", maxText)
		}
		switch {
		case strings.TrimSpace(line) == "":
			if err := flush(); err != nil {
				return err
			}
		case line[0] == '#':
		case line[0] == ' ' || line[0] == '\t':
			if last != "" {
				cur[last] = append(cur[last], strings.TrimSpace(line))
			}
		default:
			name, value, ok := strings.Cut(line, ":")
			if !ok {
				return fmt.Errorf("a line without a colon: %.40q", line)
			}
			last = strings.ToLower(name)
			cur[last] = []string{strings.TrimSpace(value)}
		}
	}
	if err := s.Err(); err != nil {
		return err
	}
	return flush()
}
