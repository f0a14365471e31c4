package matrix

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Fault is what is wrong with a setting, where it is, and what to write instead.
type Fault struct {
	Source string // a file, a flag or a variable of the environment
	Line   int    // in a file; 0 where unknown
	Key    string // "kernels[0]", "guest.memory"; "" for the whole file
	Text   string
}

func (f *Fault) Error() string {
	var b strings.Builder
	b.WriteString(f.Source)
	if f.Line > 0 {
		fmt.Fprintf(&b, ":%d", f.Line)
	}
	if f.Key != "" {
		b.WriteString(": " + f.Key)
	}
	return b.String() + ": " + f.Text
}

// shape is what may stand under a key.
type shape int

const (
	text     shape = iota // a string that YAML must not have taken for a number
	size                  // a string or a whole number
	number                // a whole number
	truth                 // true or false
	texts                 // a list of strings
	mapping               // keys of its own
	mappings              // a list of such
)

// shapes are all keys that may stand in the file, and in the mappings in it.
var shapes = map[string]map[string]shape{
	"": {
		"kernels": texts, "probes": texts, "variants": mappings, "guest": mapping, "jobs": size, notesKey: texts, baselineKey: text,
		"mirror": text, "security_mirror": text, "suites": texts, "keyring": text, "allow_unverified": truth,
	},
	"guest":    {"memory": size, "cpus": number, "machine": text, "accel": text, "clock": text},
	"variants": {"name": text, "memory": size, "cpus": number, "clock": text, "args": texts},
}

// examples are what a fault of shape tells to write.
var examples = map[string]string{
	"kernels": "debian:6.1", "probes": "table-full/*", "variants": "variants: [{name: default}]",
	"guest": "guest: {memory: 256M}", "args": "nosmp", "suites": "trixie", notesKey: "notes.yaml",
}

// positions are the lines of keys and list items: "kernels[0]", "guest.memory".
type positions map[string]int

// of is the line of a key, or of what it is in where it is not written out.
func (l positions) of(key string) int {
	for key != "" && l[key] == 0 {
		key = key[:max(0, strings.LastIndexAny(key, ".["))]
	}
	return l[key]
}

// check finds the faults of a file that decoding would hide or word badly:
// unknown keys, and values that YAML took for something else. YAML reads an
// unquoted 5.10 as the number 5.1, and a version that lost its zero names
// another kernel.
func check(data []byte) (positions, error) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, second yaml.Node
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		return nil, nil // empty: all defaults
	} else if err != nil {
		return nil, &Fault{Text: oneLine(err).Error()}
	}
	if err := dec.Decode(&second); !errors.Is(err, io.EOF) {
		return nil, &Fault{Text: "more than one document: write everything into one, without a line of ---"}
	}
	lines := positions{}
	root := doc.Content[0]
	if root.Kind == yaml.ScalarNode && root.Tag == "!!null" {
		return lines, nil // nothing but comments
	}
	if root.Kind != yaml.MappingNode {
		return nil, &Fault{Line: root.Line, Text: `not a mapping: write kernels: ["debian:6.1"]`}
	}
	return lines, lines.mapping("", "", root)
}

// mapping checks the mapping at path, whose keys are those of shapes[name].
func (l positions) mapping(name, path string, m *yaml.Node) error {
	known := slices.Sorted(maps.Keys(shapes[name]))
	for i := 0; i+1 < len(m.Content); i += 2 {
		key, value := m.Content[i], m.Content[i+1]
		at := strings.TrimPrefix(path+"."+key.Value, ".")
		if !slices.Contains(known, key.Value) {
			return &Fault{Line: key.Line, Text: fmt.Sprintf("unknown key %q: %s", key.Value, suggestion(key.Value, known))}
		}
		if _, twice := l[at]; twice {
			return &Fault{Line: key.Line, Key: at, Text: "is there twice: remove one"}
		}
		l[at] = key.Line
		if err := l.value(key.Value, at, shapes[name][key.Value], value); err != nil {
			return err
		}
	}
	return nil
}

func (l positions) value(key, at string, want shape, v *yaml.Node) error {
	fault := func(format string, args ...any) error {
		return &Fault{Line: v.Line, Key: at, Text: fmt.Sprintf(format, args...)}
	}
	if v.Kind == yaml.AliasNode {
		return fault("an alias: write the value out")
	}
	switch want {
	case mapping:
		if v.Kind != yaml.MappingNode {
			return fault("not a mapping: write %s", examples[key])
		}
		return l.mapping(key, at, v)
	case mappings, texts:
		if v.Kind != yaml.SequenceNode {
			if want == mappings {
				return fault("not a list: write %s", examples[key])
			}
			return fault("not a list: write %s: [%q]", key, example(key, v.Value))
		}
		return l.items(key, at, want, v)
	case truth:
		if v.Tag != "!!bool" {
			return fault("%s: write true or false", tagName(v))
		}
	case number:
		if v.Tag != "!!int" {
			return fault("%s: write a whole number", tagName(v))
		}
	case size, text:
		if v.Tag != "!!str" && (want == text || v.Tag != "!!int") {
			return fault("%s, not a string: write %q, in quotes", tagName(v), v.Value)
		}
	}
	return nil
}

func (l positions) items(key, at string, want shape, list *yaml.Node) error {
	for i, item := range list.Content {
		path := fmt.Sprintf("%s[%d]", at, i)
		l[path] = item.Line
		fault := func(format string, args ...any) error {
			return &Fault{Line: item.Line, Key: path, Text: fmt.Sprintf(format, args...)}
		}
		switch {
		case want == mappings && item.Kind != yaml.MappingNode:
			return fault("not a mapping: write {name: default}")
		case want == mappings:
			if err := l.mapping(key, path, item); err != nil {
				return err
			}
		case item.Kind != yaml.ScalarNode || item.Tag != "!!str":
			return fault("%s, not a string: write %q, in quotes", tagName(item), example(key, item.Value))
		}
	}
	return nil
}

// example is what the user may have meant by value.
func example(key, value string) string {
	switch {
	case value == "":
		return examples[key]
	case key == "kernels" && !strings.Contains(value, ":"):
		return "debian:" + value
	}
	return value
}

// tagName says what YAML took a value for.
func tagName(v *yaml.Node) string {
	switch v.Tag {
	case "!!float", "!!int":
		return v.Value + " is a number to YAML"
	case "!!bool":
		return v.Value + " is a truth value to YAML"
	case "!!null":
		return "nothing is there"
	case "!!str":
		return fmt.Sprintf("%q is a string", v.Value)
	case "!!timestamp":
		return v.Value + " is a time to YAML"
	case "!!map":
		return "it is a mapping"
	case "!!seq":
		return "it is a list"
	}
	return fmt.Sprintf("it is a YAML %q", v.Tag)
}

// suggestion names the nearest key, or all of them.
func suggestion(got string, known []string) string {
	got = strings.ReplaceAll(strings.ToLower(got), "-", "_")
	for _, k := range known {
		if len(got) > 2 && (strings.HasPrefix(k, got[:3]) || strings.Contains(got, k) || strings.Contains(k, got)) {
			return "write " + k
		}
	}
	return "known are " + strings.Join(known, ", ")
}

// oneLine folds the lines of a library's error into one.
func oneLine(err error) error {
	return errors.New(strings.Join(strings.Fields(err.Error()), " "))
}
