package apt

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"
)

// Package is what an index says of a package: only what is used here.
type Package struct {
	Name     string   `json:"name"`
	Version  string   `json:"version"`
	Filename string   `json:"filename"` // below the archive's base URL
	Size     int64    `json:"size"`
	SHA256   string   `json:"sha256"` // hex
	Depends  []string `json:"depends,omitempty"`

	// Only from ParseIndex: the fields Pre-Depends and Depends together, and
	// Provides, for ParseRelations.
	Needs    string `json:"-"`
	Provides string `json:"-"`
}

// maxParagraph bounds one package's entry; the longest real one has 60 kB.
const maxParagraph = 4 << 20

// ParsePackages reads a Packages index and returns those packages whose names
// keep accepts, in the order of the index. It holds one line in memory.
func ParsePackages(r io.Reader, keep func(name string) bool) ([]Package, error) {
	return parse(r, indexParser{keep: keep})
}

// ParseIndex reads all of a Packages index, with what packages need and provide.
func ParseIndex(r io.Reader) ([]Package, error) {
	return parse(r, indexParser{keep: func(string) bool { return true }, relations: true})
}

func parse(r io.Reader, p indexParser) ([]Package, error) {
	in := bufio.NewReaderSize(r, 256<<10)
	var long []byte // a line that did not fit the buffer, so far
	for n := 1; ; n++ {
		line, err := in.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			if long = append(long, line...); len(long) > maxParagraph {
				return nil, fmt.Errorf("line %d: longer than %d bytes", n, maxParagraph)
			}
			n--
			continue
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		if len(long) > 0 {
			line, long = append(long, line...), nil
		}
		if perr := p.line(bytes.TrimRight(line, "\r\n")); perr != nil {
			return nil, fmt.Errorf("line %d: %w", n, perr)
		}
		if err != nil { // the end
			if err := p.end(); err != nil {
				return nil, fmt.Errorf("line %d: %w", n, err)
			}
			return p.out, nil
		}
	}
}

// indexParser reads lines, and looks closer only inside wanted paragraphs.
type indexParser struct {
	keep   func(string) bool
	out    []Package
	cur    Package
	inside bool // in a paragraph
	wanted bool

	relations bool // are kept as they stand
}

func (p *indexParser) line(line []byte) error {
	if len(line) == 0 {
		return p.end()
	}
	if line[0] == ' ' || line[0] == '\t' {
		return nil // nothing that is used here is continued
	}
	if !p.inside {
		p.inside = true
		p.wanted = true // until the name is seen
	}
	if !p.wanted {
		return nil
	}
	name, value, ok := bytes.Cut(line, []byte(":"))
	if !ok {
		return fmt.Errorf("no colon in %.40q", line)
	}
	return p.field(string(name), string(bytes.TrimSpace(value)))
}

func (p *indexParser) field(name, value string) error {
	switch name {
	case "Package":
		p.wanted = p.keep(value)
		p.cur.Name = value
	case "Version":
		p.cur.Version = value
	case "Filename":
		p.cur.Filename = value
	case "SHA256":
		p.cur.SHA256 = value
	case "Size":
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil || n < 0 {
			return fmt.Errorf("bad size %.40q", value)
		}
		p.cur.Size = n
	case "Depends", "Pre-Depends":
		if p.relations {
			p.cur.Needs = strings.TrimPrefix(p.cur.Needs+", "+value, ", ")
		} else if name == "Depends" {
			p.cur.Depends = depends(value)
		}
	case "Provides":
		if p.relations {
			p.cur.Provides = value
		}
	}
	return nil
}

// end closes a paragraph.
func (p *indexParser) end() error {
	cur, keep := p.cur, p.inside && p.wanted && p.cur.Name != ""
	p.cur, p.inside, p.wanted = Package{}, false, false
	if !keep {
		return nil
	}
	if cur.Version == "" || !validHash(cur.SHA256) || !validPool(cur.Filename) {
		return fmt.Errorf("package %.80q: bad or missing Version, SHA256 or Filename", cur.Name)
	}
	p.out = append(p.out, cur)
	return nil
}

// depends splits a Depends field; only the first of alternatives is kept.
func depends(value string) []string {
	var out []string
	for d := range strings.SplitSeq(value, ",") {
		first, _, _ := strings.Cut(d, "|")
		if first = strings.TrimSpace(first); first != "" {
			out = append(out, first)
		}
	}
	return out
}

func validHash(s string) bool {
	if len(s) != 64 {
		return false
	}
	return strings.Trim(s, "0123456789abcdef") == ""
}

// validPool reports whether a path is that of a package below the archive's
// base URL.
func validPool(s string) bool {
	return strings.HasSuffix(s, ".deb") && path.Clean("/"+s) == "/"+s && !strings.ContainsAny(s, "?#%\\")
}
