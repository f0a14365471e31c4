package modules

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/ctmatrix/ctmatrix/guest/observe"
)

// Aliases are the names by which modules are asked for besides their own, in the
// kernel's spelling: patterns, as a shell's.
type Aliases []alias

type alias struct{ pattern, module string }

// OpenAliases reads those of the image that the agent runs from: none where it
// has none.
func OpenAliases() (Aliases, error) {
	data, err := os.ReadFile(observe.AliasPath)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return parseAliases(string(data)), nil
}

func parseAliases(text string) Aliases {
	var all Aliases
	for line := range strings.Lines(text) {
		if w := strings.Fields(line); len(w) == 2 {
			all = append(all, alias{w[0], w[1]})
		}
	}
	return all
}

// Find returns the modules that a name stands for, each once, in the order of
// the list. Those of the name itself are not among them.
func (a Aliases) Find(name string) []string {
	name = canonical(name)
	var found []string
	for _, x := range a {
		if ok, err := path.Match(x.pattern, name); err == nil && ok && !slices.Contains(found, x.module) {
			found = append(found, x.module)
		}
	}
	return found
}
