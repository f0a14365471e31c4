package matrix

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	"go.yaml.in/yaml/v3"
)

// keys are the keys that may stand in each mapping of the file.
var keys = map[string][]string{
	"": {"kernels", "probes", "variants", "guest", "jobs", "mirror", "security_mirror",
		"suites", "keyring", "allow_unverified"},
	"guest":    {"memory", "cpus", "machine", "accel", "clock"},
	"variants": {"name", "memory", "cpus", "clock", "args"},
}

// stringLists are the keys whose items must be strings. YAML reads an unquoted
// 5.10 as the number 5.1, and a version that lost its zero names another
// kernel.
var stringLists = []string{"kernels", "probes", "suites"}

// Check finds the faults of a file that decoding would hide or word badly:
// unknown keys and values that YAML took for something else. Its errors begin
// with the line.
func Check(data []byte) error {
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return oneLine(err)
	}
	if len(doc.Content) == 0 {
		return nil // empty: all defaults
	}
	root := doc.Content[0]
	if root.Kind != yaml.MappingNode {
		return fmt.Errorf("line %d: not a mapping: write `kernels: [\"debian:6.1\"]`", root.Line)
	}
	return checkMapping(root, "")
}

func checkMapping(m *yaml.Node, name string) error {
	for i := 0; i+1 < len(m.Content); i += 2 {
		key, value := m.Content[i], m.Content[i+1]
		if !slices.Contains(keys[name], key.Value) {
			return fmt.Errorf("line %d: unknown key %q: %s", key.Line, key.Value, suggestion(key.Value, keys[name]))
		}
		if err := checkValue(key.Value, value); err != nil {
			return err
		}
	}
	return nil
}

func checkValue(key string, value *yaml.Node) error {
	if value.Kind == yaml.AliasNode {
		return fmt.Errorf("line %d: %s: an alias: write the value out", value.Line, key)
	}
	switch key {
	case "guest":
		if value.Kind != yaml.MappingNode {
			return fmt.Errorf("line %d: guest: not a mapping: write guest: {memory: 256M}", value.Line)
		}
		return checkMapping(value, key)
	case "variants":
		if value.Kind != yaml.SequenceNode {
			return fmt.Errorf("line %d: variants: not a list: write variants: [{name: default}]", value.Line)
		}
		for i, item := range value.Content {
			if item.Kind != yaml.MappingNode {
				return fmt.Errorf("line %d: variants[%d]: not a mapping: write {name: default}", item.Line, i)
			}
			if err := checkMapping(item, key); err != nil {
				return err
			}
		}
	}
	if slices.Contains(stringLists, key) {
		return checkStrings(key, value)
	}
	return nil
}

func checkStrings(key string, list *yaml.Node) error {
	if list.Kind != yaml.SequenceNode {
		return fmt.Errorf("line %d: %s: not a list: write %s: [%q]", list.Line, key, key, example(key, list.Value))
	}
	for i, item := range list.Content {
		if item.Kind != yaml.ScalarNode || item.Tag != "!!str" {
			return fmt.Errorf("line %d: %s[%d]: %s is %s, not a string: write %q, in quotes",
				item.Line, key, i, item.Value, tagName(item.Tag), example(key, item.Value))
		}
	}
	return nil
}

// example is what the user may have meant by value.
func example(key, value string) string {
	if key == "kernels" && !strings.Contains(value, ":") {
		if value == "" {
			value = "6.1"
		}
		return "debian:" + value
	}
	return value
}

func tagName(tag string) string {
	switch tag {
	case "!!float", "!!int":
		return "a number to YAML"
	case "!!bool":
		return "a truth value to YAML"
	case "!!null":
		return "nothing"
	}
	return "a mapping or list"
}

// suggestion names the nearest key, or all of them.
func suggestion(got string, known []string) string {
	for _, k := range known {
		if len(got) > 2 && (strings.HasPrefix(k, got[:3]) || strings.Contains(got, k) || strings.Contains(k, got)) {
			return fmt.Sprintf("write %s", k)
		}
	}
	sorted := slices.Clone(known)
	sort.Strings(sorted)
	return "known are " + strings.Join(sorted, ", ")
}
