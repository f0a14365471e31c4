// Package archtest holds the shape of the tree: who may import whom.
package archtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/ctmatrix/ctmatrix/"

// layers lists our packages from the lowest to the highest. A package may import
// only those of the layers before its own, and within these only those that may
// below names, where it names any.
var layers = [][]string{
	{"guest/observe", "guest/internal/kfile", "guest/internal/nfnl"},
	{"guest/internal/kmsg"},
	{"guest/internal/first", "guest/internal/wire", "guest/internal/modules"},
	{"guest/internal/ct"},
	{"guest/internal/lab"},
	{"guest/internal/capture"},
	{"guest/internal/probe"},
	{"guest/internal/suite", "guest/internal/agent"},
	{"guest/cmd/ctagent"},

	{"images/kernel/unpack", "images/kernel/apt", "images/kernel/store"},
	{"images/kernel/deb", "images/kernel/vmlinux", "images/kconfig"},
	{"images/kernel", "images/initramfs"},
	{"images/kernel/kerneltest", "images/changelog", "images/userland"},

	{"orchestrator/internal/splat"},
	{"orchestrator/internal/vm", "orchestrator/internal/remote", "orchestrator/internal/matrix",
		"orchestrator/internal/agentbin", "orchestrator/internal/results", "orchestrator/internal/pcapng", "orchestrator/internal/dissect"},
	{"orchestrator/internal/remote/remotetest", "orchestrator/internal/notes", "orchestrator/internal/packets"},
	{"orchestrator/internal/table", "orchestrator/internal/sched"},
	{"orchestrator/internal/bisect", "orchestrator/internal/baseline", "orchestrator/internal/beside", "orchestrator/internal/shell",
		"orchestrator/internal/bench"},
	{"orchestrator/internal/render"},
	{"orchestrator/internal/cli"},
	{"orchestrator/cmd/ctmatrix"},
	{"orchestrator/e2e"},
	{"internal/archtest"},
}

// may are the trees that packages below a path are confined to. The first that
// fits counts. The host knows of the guest only what they say to each other.
var may = []struct {
	below   string
	imports []string
}{
	{"guest/observe", nil},
	{"guest/internal/first", []string{"guest/observe", "guest/internal/kmsg"}},
	{"guest/", []string{"guest/"}},
	{"images/initramfs", []string{"guest/observe", "images/kernel/unpack"}},
	{"images/", []string{"images/"}},
	{"orchestrator/internal/splat", nil},
	{"orchestrator/internal/vm", []string{"orchestrator/internal/splat"}},
	{"orchestrator/internal/matrix", nil},
	{"orchestrator/internal/pcapng", nil},
	{"orchestrator/internal/dissect", nil},
	{"orchestrator/internal/packets", []string{"guest/observe", "orchestrator/internal/pcapng"}},
	{"orchestrator/internal/remote", []string{"guest/observe"}},
	{"orchestrator/internal/agentbin", []string{"guest/observe"}},
	{"orchestrator/internal/results", []string{"guest/observe"}},
	{"orchestrator/internal/notes", []string{"orchestrator/internal/results"}},
	{"orchestrator/internal/table", []string{"guest/observe", "orchestrator/internal/results", "orchestrator/internal/notes"}},
	{"orchestrator/internal/bisect", []string{"guest/observe", "images/changelog", "orchestrator/internal/results", "orchestrator/internal/table"}},
	{"orchestrator/internal/baseline", []string{"guest/observe", "orchestrator/internal/results", "orchestrator/internal/table"}},
	{"orchestrator/internal/beside", []string{"guest/observe", "orchestrator/internal/results", "orchestrator/internal/notes", "orchestrator/internal/table"}},
	{"orchestrator/internal/render", []string{"guest/observe", "images/changelog", "orchestrator/internal/beside", "orchestrator/internal/bisect",
		"orchestrator/internal/dissect", "orchestrator/internal/packets", "orchestrator/internal/results", "orchestrator/internal/table"}},
	{"orchestrator/", []string{"guest/observe", "images/", "orchestrator/"}},
}

// homes are the packages that have a third-party package to themselves: all else
// goes through them. Tests may import what they like.
var homes = []struct {
	pkg  string // and what is below it
	home []string
}{
	{"github.com/spf13/viper", []string{"orchestrator/internal/matrix"}},
	{"go.yaml.in/yaml/v3", []string{"orchestrator/internal/matrix", "orchestrator/internal/notes", "orchestrator/internal/splat"}},
	{"github.com/go-viper/mapstructure/v2", []string{"orchestrator/internal/matrix"}},
	{"github.com/spf13/cobra", []string{"orchestrator/internal/cli"}},
	{"github.com/spf13/pflag", []string{"orchestrator/internal/cli"}},
	{"github.com/vbauerster/mpb/v8", []string{"orchestrator/internal/cli"}},
	{"github.com/hashicorp/go-multierror", []string{"orchestrator/internal/sched"}},
	{"github.com/google/gopacket", []string{"guest/internal/wire"}},
	{"github.com/ti-mo/conntrack", []string{"guest/internal/ct"}},
	{"github.com/google/nftables", []string{"guest/internal/lab"}},
	{"golang.org/x/crypto/ssh", []string{"guest/internal/agent", "orchestrator/internal/remote", "orchestrator/internal/remote/remotetest"}},
	{"github.com/ProtonMail/go-crypto", []string{"images/kernel/apt", "images/kernel/kerneltest"}},
	{"github.com/pierrec/lz4/v4", []string{"images/kernel/unpack"}},
	{"github.com/gofrs/flock", []string{"images/kernel/store", "orchestrator/internal/results"}},
	{"github.com/creack/pty", []string{"guest/internal/agent"}},
	{"github.com/mattn/go-runewidth", []string{"orchestrator/internal/render"}},
}

// pkg is what go list says of a package. Imports of its tests count for nothing
// here: a test may reach up for what it needs.
type pkg struct {
	ImportPath string
	Imports    []string
}

func (p pkg) name() string { return strings.TrimPrefix(p.ImportPath, module) }

// list returns all packages of the module.
func list(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports", module+"...")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &stderr)
	}
	var all []pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if len(all) < 20 {
		t.Fatalf("go list knows only %d packages", len(all))
	}
	return all
}

func layerOf(name string) int {
	return slices.IndexFunc(layers, func(l []string) bool { return slices.Contains(l, name) })
}

func TestImportsGoDownwards(t *testing.T) {
	for _, p := range list(t) {
		mine := layerOf(p.name())
		if mine < 0 {
			t.Errorf("%s is in no layer: add it to layers", p.name())
		}
		for _, imp := range p.Imports {
			name, ours := strings.CutPrefix(imp, module)
			if !ours {
				continue
			}
			if layerOf(name) >= mine {
				t.Errorf("%s imports %s, which is not below it", p.name(), name)
			}
			if !confined(p.name(), name) {
				t.Errorf("%s imports %s, which is none of its business", p.name(), name)
			}
		}
	}
}

// confined reports whether may lets name import imp.
func confined(name, imp string) bool {
	for _, m := range may {
		if within(name, m.below) {
			return slices.ContainsFunc(m.imports, func(tree string) bool { return within(imp, tree) })
		}
	}
	return true
}

// within reports whether name is tree or below it.
func within(name, tree string) bool {
	tree = strings.TrimSuffix(tree, "/")
	return name == tree || strings.HasPrefix(name, tree+"/")
}

func TestThirdPartyHomes(t *testing.T) {
	used := map[string]bool{}
	for _, p := range list(t) {
		for _, imp := range p.Imports {
			for _, h := range homes {
				if !within(imp, h.pkg) {
					continue
				}
				used[h.pkg] = true
				if !slices.Contains(h.home, p.name()) {
					t.Errorf("%s imports %s, whose home is %s", p.name(), imp, strings.Join(h.home, " and "))
				}
			}
		}
	}
	for _, h := range homes {
		if !used[h.pkg] {
			t.Errorf("nobody imports %s any more: drop its home", h.pkg)
		}
	}
}

// Every name in the rules is a package, so that no rule is empty for a typo.
func TestRulesNamePackages(t *testing.T) {
	var names []string
	for _, p := range list(t) {
		names = append(names, p.name())
	}
	exists := func(tree string) bool {
		return slices.ContainsFunc(names, func(n string) bool { return within(n, tree) })
	}
	var said []string
	for _, l := range layers {
		said = append(said, l...)
	}
	for _, m := range may {
		said = append(append(said, m.below), m.imports...)
	}
	for _, h := range homes {
		said = append(said, h.home...)
	}
	for _, name := range said {
		if !exists(name) {
			t.Errorf("the rules name %s, which is no package", name)
		}
	}
}
