package apt

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// aptDir writes the files of an apt configuration.
func aptDir(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "sources.list.d"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const deb822 = `# the main archive
Types: deb deb-src
# a comment in between
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/debian-security/
Suites: bookworm-security
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mQINBF
 -----END PGP PUBLIC KEY BLOCK-----
`

func TestDiscover(t *testing.T) {
	ring := []string{"/usr/share/keyrings/debian-archive-keyring.gpg"}
	both := Mirrors{Main: "http://mirror.example/debian", Security: "http://mirror.example/debian-security"}
	signed := both
	signed.SignedBy = ring
	for name, c := range map[string]struct {
		files map[string]string
		want  Mirrors
	}{
		"stanzas": {map[string]string{"sources.list.d/debian.sources": deb822}, signed},
		"one-line": {map[string]string{"sources.list": `
# deb http://commented.example/debian bookworm main
deb-src http://source.example/debian bookworm main
deb http://mirror.example/debian/ bookworm main contrib # trailing
deb	http://tab.example/debian bookworm main
deb [ arch=amd64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg ] http://mirror.example/debian-security bookworm-security main
`}, signed},
		"third parties": {map[string]string{
			"sources.list.d/docker.list":  "deb https://download.example/linux/debian-like bookworm stable\ndeb https://x.example/ ./\n",
			"sources.list.d/a.sources":    "Types: deb\nURIs: https://node.example/node_20.x\nSuites: nodistro\n",
			"sources.list.d/off.sources":  "Enabled: no\nTypes: deb\nURIs: http://off.example/debian\nSuites: sid\n",
			"sources.list.d/src.sources":  "Types: deb-src\nURIs: http://src.example/debian\nSuites: sid\n",
			"sources.list.d/z.list":       "deb cdrom:[Debian]/debian bookworm main\ndeb file:/srv/debian bookworm main\ndeb http://mirror.example/debian bookworm main\ndeb http://mirror.example/debian-security bookworm-security main",
			"sources.list.d/ignored.save": "deb http://saved.example/debian bookworm main",
		}, both},
		"main only": {map[string]string{"sources.list": "deb https://user@mirror.example:8080/a/debian sid main"},
			Mirrors{Main: "https://user@mirror.example:8080/a/debian"}},
	} {
		got, err := Discover(aptDir(t, c.files))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s: (-want +got)\n%s", name, d)
		}
	}
}

func TestDiscoverNothing(t *testing.T) {
	for name, dir := range map[string]string{
		"no directory": filepath.Join(t.TempDir(), "etc", "apt"),
		"no files":     aptDir(t, nil),
		"others only":  aptDir(t, map[string]string{"sources.list": "deb https://ubuntu.example/ubuntu noble main\n"}),
	} {
		if _, err := Discover(dir); !errors.Is(err, ErrNoMirror) {
			t.Errorf("%s: %v", name, err)
		}
	}
	dir := aptDir(t, map[string]string{"sources.list.d/bad.sources": "no colon here\n"})
	if _, err := Discover(dir); err == nil || !strings.Contains(err.Error(), "bad.sources") {
		t.Errorf("malformed: %v", err)
	}
}

func FuzzSources(f *testing.F) {
	f.Add(deb822)
	f.Add("deb [arch=amd64 signed-by=/a,/b] http://mirror.example/debian sid main # x\ndeb [ unclosed\n")
	f.Add("Types: deb\nURIs:\n http://a/debian\n http://b/debian\nSuites: x\n\n\n: empty\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, parse := range []func(*strings.Reader) ([]Entry, error){
			func(r *strings.Reader) ([]Entry, error) { return ParseList(r) },
			func(r *strings.Reader) ([]Entry, error) { return ParseStanzas(r) },
		} {
			entries, _ := parse(strings.NewReader(text)) // errors are fine
			var m Mirrors
			for _, e := range entries {
				m.add(e)
			}
			for _, base := range []string{m.Main, m.Security} {
				if base != "" && (!strings.HasPrefix(strings.ToLower(base), "http") || strings.ContainsAny(base, " \n")) {
					t.Fatalf("mirror %q", base)
				}
			}
		}
	})
}
