package splat

import (
	"bytes"
	_ "embed"
	"fmt"
	"regexp"

	"go.yaml.in/yaml/v3"
)

//go:embed splats.yaml
var file []byte

// known is the list that is part of this program, which a test holds to be right.
var known = mustParse(file)

// list is what splats.yaml says.
type list struct {
	deny, allow []rule
	dull, idle  globs
	noise       []*regexp.Regexp
}

type rule struct {
	line *regexp.Regexp
	ends End // of what is denied
}

func mustParse(data []byte) *list {
	l, err := parse(data)
	if err != nil {
		panic(fmt.Sprintf("splats.yaml: %v", err))
	}
	return l
}

// document is the file as it is written.
type document struct {
	Deny []struct {
		Line string `yaml:"line"`
		Ends End    `yaml:"ends"`
	} `yaml:"deny"`
	Allow []struct {
		Line string `yaml:"line"`
		Why  string `yaml:"why"`
	} `yaml:"allow"`
	Dull  []string `yaml:"dull"`
	Idle  []string `yaml:"idle"`
	Noise []string `yaml:"noise"`
}

func parse(data []byte) (*list, error) {
	var doc document
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(&doc); err != nil {
		return nil, err
	}
	if len(doc.Deny) == 0 {
		return nil, fmt.Errorf("deny is empty: no log would ever be found wanting")
	}
	l := &list{}
	if err := l.rules(doc); err != nil {
		return nil, err
	}
	for _, n := range doc.Noise {
		r, err := regexp.Compile(n)
		if err != nil {
			return nil, fmt.Errorf("noise: %w", err)
		}
		l.noise = append(l.noise, r)
	}
	var err error
	if l.dull, err = newGlobs(doc.Dull); err != nil {
		return nil, fmt.Errorf("dull: %w", err)
	}
	if l.idle, err = newGlobs(doc.Idle); err != nil {
		return nil, fmt.Errorf("idle: %w", err)
	}
	return l, nil
}

// rules takes what the document denies and allows.
func (l *list) rules(doc document) error {
	for _, d := range doc.Deny {
		switch d.Ends {
		case Nobody, Kernel, Image, Memory, Starved:
		default:
			return fmt.Errorf("deny %q: ends is %q, not nobody, kernel, image, memory or starved", d.Line, d.Ends)
		}
		r, err := regexp.Compile(d.Line)
		if err != nil {
			return fmt.Errorf("deny: %w", err)
		}
		l.deny = append(l.deny, rule{line: r, ends: d.Ends})
	}
	for _, a := range doc.Allow {
		if a.Why == "" {
			return fmt.Errorf("allow %q: no why", a.Line)
		}
		r, err := regexp.Compile(a.Line)
		if err != nil {
			return fmt.Errorf("allow: %w", err)
		}
		l.allow = append(l.allow, rule{line: r})
	}
	return nil
}
