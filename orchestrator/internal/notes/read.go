package notes

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
)

// Bounds on a file of notes.
const (
	maxFile  = 4 << 20 // bytes
	maxNotes = 10000
)

// Fault is what is wrong with a file of notes, and where.
type Fault struct {
	File string
	Line int // 0 where unknown
	Text string
}

func (f *Fault) Error() string {
	if f.Line == 0 {
		return f.File + ": " + f.Text
	}
	return fmt.Sprintf("%s:%d: %s", f.File, f.Line, f.Text)
}

// Read reads a file of notes. The name is for faults and for those who look the
// notes up. The error is a *Fault.
func Read(name string, r io.Reader) ([]Note, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return nil, &Fault{File: name, Text: err.Error()}
	}
	if len(data) > maxFile {
		return nil, &Fault{File: name, Text: fmt.Sprintf("more than %d bytes", maxFile)}
	}
	var doc yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(data))
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, &Fault{File: name, Text: strings.Join(strings.Fields(err.Error()), " ")}
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, &Fault{File: name, Text: "more than one document: write everything into one, without a line of ---"}
	}
	p := parser{file: name}
	return p.root(doc.Content[0])
}

// parser reads the nodes of one file.
type parser struct{ file string }

func (p parser) fault(at *yaml.Node, format string, args ...any) error {
	return &Fault{File: p.file, Line: at.Line, Text: fmt.Sprintf(format, args...)}
}

const exampleNote = `{rows: [loose/ack], since: {mainline: "6.17", "6.12": "6.12.13"}, reason: …}`

func (p parser) root(root *yaml.Node) ([]Note, error) {
	if root.Kind == yaml.ScalarNode && root.Tag == "!!null" {
		return nil, nil // nothing but comments
	}
	var list *yaml.Node
	err := p.mapping(root, "the file", []string{"notes"}, func(_ string, v *yaml.Node) error {
		list = v
		return nil
	})
	if err != nil {
		return nil, err
	}
	if list != nil && list.Tag == "!!null" {
		return nil, nil
	}
	if list == nil || list.Kind != yaml.SequenceNode {
		return nil, p.fault(root, "notes is no list: write notes: [%s]", exampleNote)
	}
	if len(list.Content) > maxNotes {
		return nil, p.fault(list, "%d notes, more than %d", len(list.Content), maxNotes)
	}
	var out []Note
	for _, item := range list.Content {
		n, err := p.note(item)
		if err != nil {
			return nil, err
		}
		out = append(out, n)
	}
	return out, nil
}

// mapping calls each with the keys of a mapping, which must be known.
func (p parser) mapping(m *yaml.Node, what string, known []string, each func(key string, v *yaml.Node) error) error {
	if m.Kind != yaml.MappingNode {
		return p.fault(m, "%s is no mapping: write %s", what, exampleNote)
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(m.Content); i += 2 {
		key := m.Content[i]
		switch {
		case known != nil && !slices.Contains(known, key.Value):
			return p.fault(key, "unknown key %q: known are %s", key.Value, strings.Join(known, ", "))
		case seen[key.Value]:
			return p.fault(key, "%s is there twice: remove one", key.Value)
		}
		seen[key.Value] = true
		if err := each(key.Value, m.Content[i+1]); err != nil {
			return err
		}
	}
	return nil
}

func (p parser) note(m *yaml.Node) (Note, error) {
	n := Note{File: p.file, Line: m.Line}
	known := []string{"rows", "since", "reason", "commit", "link", "expires"}
	err := p.mapping(m, "a note", known, func(key string, v *yaml.Node) (err error) {
		switch key {
		case "rows":
			n.Rows, err = p.rows(v)
		case "since":
			n.Since, err = p.since(v)
		case "reason":
			n.Reason, err = p.text(key, v)
		case "commit":
			n.Commit, err = p.text(key, v)
		case "link":
			n.Link, err = p.text(key, v)
		case "expires":
			n.Expires, err = p.day(v)
		}
		return err
	})
	switch {
	case err != nil:
		return Note{}, err
	case len(n.Rows) == 0:
		return Note{}, p.fault(m, "a note without rows: write rows: [loose/ack]")
	case len(n.Since) == 0:
		return Note{}, p.fault(m, `a note without since: write since: {mainline: "6.17", "6.12": "6.12.13"}`)
	case n.Reason == "":
		return Note{}, p.fault(m, "a note without a reason: write reason: …")
	}
	return n, nil
}

// text is a scalar as it is written: to YAML an unquoted 6.10 is the number 6.1.
func (p parser) text(key string, v *yaml.Node) (string, error) {
	if v.Kind != yaml.ScalarNode || strings.TrimSpace(v.Value) == "" {
		return "", p.fault(v, "%s is no text", key)
	}
	return strings.Join(strings.Fields(v.Value), " "), nil
}

func (p parser) rows(v *yaml.Node) ([]string, error) {
	if v.Kind != yaml.SequenceNode {
		return nil, p.fault(v, "rows is no list: write rows: [loose/ack]")
	}
	var out []string
	for _, item := range v.Content {
		pattern, err := p.text("a row", item)
		if err != nil {
			return nil, err
		}
		if _, err := path.Match(pattern, ""); err != nil || strings.Count(pattern, "/") > 2 {
			return nil, p.fault(item, "%q is no pattern of rows: write family/probe/subject.attr, family/probe or family, with * for a part", pattern)
		}
		out = append(out, pattern)
	}
	return out, nil
}

func (p parser) since(v *yaml.Node) (map[string]Point, error) {
	out := map[string]Point{}
	err := p.mapping(v, "since", nil, func(branch string, v *yaml.Node) error {
		text, err := p.text("since", v)
		if err != nil {
			return err
		}
		point := Point{With: text}
		if after, with, ok := strings.Cut(text, ".."); ok {
			point = Point{After: after, With: with}
		}
		for _, version := range strings.SplitN(text, "..", 2) {
			switch series := results.SeriesOf(version); {
			case series == "":
				return p.fault(v, "%q is no kernel's version: write 6.12.13, 6.12.12-2 or 6.12.9..6.12.13", version)
			case branch != Mainline && branch != series:
				return p.fault(v, "%s is not of the branch %s: write %q: %s", version, branch, series, text)
			}
		}
		out[branch] = point
		return nil
	})
	return out, err
}

func (p parser) day(v *yaml.Node) (time.Time, error) {
	text, err := p.text("expires", v)
	if err != nil {
		return time.Time{}, err
	}
	day, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return time.Time{}, p.fault(v, "expires: %q is no day: write 2027-06-30", text)
	}
	return day, nil
}
