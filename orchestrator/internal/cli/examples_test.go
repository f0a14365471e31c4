package cli

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/shlex"
	"go.yaml.in/yaml/v3"

	"github.com/ctmatrix/ctmatrix/orchestrator/internal/matrix"
)

const examples = "../../../examples/ci"

// scripts returns every line of shell in a workflow: the scalars below run, script
// and after_script.
func scripts(n *yaml.Node, inside bool) []string {
	switch n.Kind {
	case yaml.MappingNode:
		var out []string
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := n.Content[i].Value
			out = append(out, scripts(n.Content[i+1], key == "run" || key == "script" || key == "after_script")...)
		}
		return out
	case yaml.ScalarNode:
		if inside {
			return strings.Split(n.Value, "\n")
		}
		return nil
	}
	var out []string
	for _, c := range n.Content {
		out = append(out, scripts(c, inside)...)
	}
	return out
}

// operators end a command in the shell.
var operators = regexp.MustCompile(`\s*(\|\||&&|;|\||>>?)\s*`)

// TestExamples holds the shipped workflows to commands, flags and arguments that
// there are, to targets of the Makefile, and to no host by name.
func TestExamples(t *testing.T) {
	makefile, err := os.ReadFile("../../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	host := regexp.MustCompile(`https?://|[a-z0-9-]+\.(com|org|net|io)\b`)
	for _, name := range []string{"github-actions.yml", "gitlab-ci.yml"} {
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile(filepath.Join(examples, name))
			if err != nil {
				t.Fatal(err)
			}
			if found := host.Find(data); found != nil {
				t.Errorf("names the host %s", found)
			}
			var doc yaml.Node
			if err := yaml.Unmarshal(data, &doc); err != nil {
				t.Fatal(err)
			}
			used := map[string]bool{}
			for _, line := range scripts(&doc, false) {
				for _, command := range operators.Split(strings.TrimSpace(line), -1) {
					words, err := shlex.Split(command)
					switch {
					case err != nil:
						t.Errorf("%s: %v", line, err)
					case len(words) == 0:
					case words[0] == "make":
						for _, target := range words[1:] {
							if !strings.Contains(string(makefile), "\n"+target+":") {
								t.Errorf("%s: no target %s", line, target)
							}
						}
					case words[0] == "bin/ctmatrix":
						used[words[1]] = true
						understood(t, words[1:])
					}
				}
			}
			for _, want := range []string{"run", "report", "bless", "kernels"} {
				if !used[want] {
					t.Errorf("does not use ctmatrix %s", want)
				}
			}
		})
	}
}

// understood holds words to a command, its flags and its arguments, without
// running it.
func understood(t *testing.T, words []string) {
	t.Helper()
	root := (&app{stdout: io.Discard, stderr: io.Discard, overrides: map[string]matrix.Override{}}).root()
	cmd, rest, err := root.Find(words)
	if err != nil || cmd == root || !cmd.Runnable() {
		t.Errorf("ctmatrix %s: no such command: %v", strings.Join(words, " "), err)
		return
	}
	if err := cmd.ParseFlags(rest); err != nil {
		t.Errorf("ctmatrix %s: %v", strings.Join(words, " "), err)
		return
	}
	if err := cmd.ValidateArgs(cmd.Flags().Args()); err != nil {
		t.Errorf("ctmatrix %s: %v", strings.Join(words, " "), err)
	}
}
