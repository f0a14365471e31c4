// Package changelog reads the changelogs of Debian's kernel packages, as
// deb-changelog(5) describes them: what went into a package, and since when. It
// takes what people write by hand: a line that it cannot place is text of the
// line above, or is passed over.
package changelog

import (
	"regexp"
	"slices"
	"strings"

	"github.com/ctmatrix/ctmatrix/images/kernel"
)

// Entry is what went into one version of a package.
type Entry struct {
	Source  string // the source package: "linux", "linux-signed-amd64"
	Version string // of the binary packages that came of it: "6.1.192-2"
	Suite   string // for which it was made: "bookworm-security"
	Changes []Change
}

// Change is one line of an entry, of those that hold no others.
type Change struct {
	// Under are the lines that it stands below, the outermost first: of an
	// upstream commit "New upstream stable update:" and the address of the
	// upstream release's changelog.
	Under []string
	Text  string // unfolded: "[arm64] netfilter: nf_tables: …"
}

// Bounds on what is kept of a changelog; the largest, of 6.12, has 263 entries
// and 60,000 changes.
const (
	maxEntries = 10_000
	maxChanges = 1_000_000
	maxText    = 4096 // bytes of a change
	maxUnder   = 8    // lines that a change stands below
)

// header is the first line of an entry. The suites may be several.
var header = regexp.MustCompile(`^([a-z0-9][a-z0-9.+-]*) \(([0-9A-Za-z.+~:-]+)\) ([^;]*);`)

// Parse returns the entries of a changelog, in its order: the newest first.
func Parse(text []byte) []Entry {
	var out []Entry
	var b *builder
	changes := 0
	flush := func() {
		if b != nil {
			b.entry.Changes = b.changes()
			changes += len(b.entry.Changes)
			out = append(out, b.entry)
		}
		b = nil
	}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, " \t\r\n")
		if m := header.FindStringSubmatch(line); m != nil {
			flush()
			if len(out) == maxEntries || changes > maxChanges {
				return out
			}
			b = &builder{entry: Entry{Source: m[1], Version: binaryVersion(m[1], m[2]), Suite: m[3]}}
			continue
		}
		if b != nil && strings.HasPrefix(line, " ") {
			b.line(line)
		}
	}
	flush()
	return out
}

// binaryVersion is the version that packages have which were built from a
// source. Sources that hold nothing but signatures write a plus for the hyphen:
// their 6.1.192+2 signs, and brings into the archive, 6.1.192-2.
func binaryVersion(source, version string) string {
	if strings.HasPrefix(source, "linux-signed") {
		return strings.Replace(version, "+", "-", 1)
	}
	return version
}

// rebuilt is what a version has behind it that was built again for an older
// release: ~deb12u1, ~bpo12+1.
var rebuilt = regexp.MustCompile(`~(deb|bpo)[0-9]+[u+][0-9]+$`)

// Since returns the entries that an older package lacks, in their order. The
// older package may be of another suite, and its version need not be among
// them. A rebuild for another release holds what it is a rebuild of.
func Since(entries []Entry, older string) []Entry {
	older = rebuilt.ReplaceAllString(older, "")
	return slices.DeleteFunc(slices.Clone(entries), func(e Entry) bool {
		return kernel.CompareVersions(e.Version, older) <= 0
	})
}

// node is a line of an entry, and how far it is indented.
type node struct {
	indent int
	under  []string
	text   string
	holds  bool // other lines stand below it
}

// builder puts one entry together.
type builder struct {
	entry Entry
	nodes []node
	open  []int // indexes of the nodes that the next line may stand below, by indent
	ended bool  // by a blank line: what follows is no continuation
}

func (b *builder) line(line string) {
	body := strings.TrimLeft(line, " \t")
	indent := len(line) - len(body)
	switch {
	case body == "":
		b.ended = true
	case strings.HasPrefix(line, " -- "): // who uploaded it, and when
		b.open, b.ended = nil, true
	case strings.HasPrefix(body, "[ ") && strings.HasSuffix(body, " ]"): // whose the next lines are
		b.open, b.ended = nil, true
	case len(body) > 2 && strings.ContainsRune("*-+", rune(body[0])) && body[1] == ' ':
		b.add(indent, strings.TrimSpace(body[2:]))
	case isAddress(body) && len(b.open) > 0:
		// Stands where a line's continuation would, above the lines of its release.
		b.add(indent, body)
	default:
		b.more(body)
	}
}

// isAddress reports whether text is the address of an upstream changelog, which
// is the head of what follows.
func isAddress(text string) bool {
	return (strings.HasPrefix(text, "https://") || strings.HasPrefix(text, "http://")) && !strings.Contains(text, " ")
}

// add opens a line. It stands below the last one that is indented less, or that
// is an address in the same column.
func (b *builder) add(indent int, text string) {
	b.ended = false
	for len(b.open) > 0 {
		last := &b.nodes[b.open[len(b.open)-1]]
		if last.indent < indent || last.indent == indent && isAddress(last.text) && !isAddress(text) {
			break
		}
		b.open = b.open[:len(b.open)-1]
	}
	b.open = b.open[:min(len(b.open), maxUnder)]
	n := node{indent: indent, text: text[:min(len(text), maxText)]}
	for _, i := range b.open {
		b.nodes[i].holds = b.nodes[i].holds || !isAddress(text)
		n.under = append(n.under, b.nodes[i].text)
	}
	b.open = append(b.open, len(b.nodes))
	b.nodes = append(b.nodes, n)
}

// more adds to the line that was opened last.
func (b *builder) more(text string) {
	if len(b.open) == 0 || b.ended {
		return
	}
	n := &b.nodes[b.open[len(b.open)-1]]
	if len(n.text)+1+len(text) <= maxText {
		n.text += " " + text
	}
}

// changes are the lines that hold no others.
func (b *builder) changes() []Change {
	var out []Change
	for _, n := range b.nodes {
		if !n.holds && !(isAddress(n.text) && len(n.under) > 0) {
			out = append(out, Change{Under: n.under, Text: n.text})
		}
	}
	return out
}
