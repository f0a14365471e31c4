package kerneltest

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// Mirror is a Debian mirror with a main and a security archive. Its fields are
// set before use; its methods may be called at any time.
type Mirror struct {
	URL      string // of the main archive; its sibling is the security archive
	Security string // of the security archive
	Keyring  string // path of the keyring that vouches for both

	t     testing.TB
	key   *openpgp.Entity
	other *openpgp.Entity // not in the keyring

	mu     sync.Mutex
	suites []*Suite
	pool   map[string][]byte // by path: "/debian/pool/…"
	hits   map[string]int    // requests, by path
	gone   []string          // parts of paths that answer 404
	broken []string          // parts of paths that answer with a changed byte
	fail   int               // status of every answer; 0 means to behave
	hold   map[string]chan struct{}
	odd    []oddAnswer
}

// Suite is a suite of a mirror. Its fields may be changed while no request is
// under way.
type Suite struct {
	Name       string
	Signed     time.Time     // zero means now
	ValidUntil time.Time     // zero means not limited
	SigLife    time.Duration // after which the signature expires; 0 means never
	Claims     string        // what the release file calls the suite; "" means Name
	WrongKey   bool          // sign with a key that is not in the keyring
	Indexes    []string      // endings of the Packages file that are offered; nil means .gz and .xz
	packages   []string      // paragraphs
}

// NewMirror starts a mirror without any suite; it is closed with the test.
func NewMirror(t testing.TB) *Mirror {
	t.Helper()
	m := &Mirror{t: t, key: newKey(t), other: newKey(t), pool: map[string][]byte{}, hits: map[string]int{}, hold: map[string]chan struct{}{}}
	var ring bytes.Buffer
	if err := m.key.Serialize(&ring); err != nil {
		t.Fatal(err)
	}
	m.Keyring = filepath.Join(t.TempDir(), "keyring.gpg")
	if err := os.WriteFile(m.Keyring, ring.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(m)
	t.Cleanup(srv.Close)
	m.URL, m.Security = srv.URL+"/debian", srv.URL+"/debian-security"
	return m
}

func newKey(t testing.TB) *openpgp.Entity {
	t.Helper()
	k, err := openpgp.NewEntity("test archive", "", "archive@example.org", &packet.Config{
		Algorithm: packet.PubKeyAlgoEdDSA,
		// Old enough for releases that were signed some time ago.
		Time: func() time.Time { return time.Now().AddDate(-1, 0, 0) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// Suite returns the suite of that name, and makes it where there is none.
func (m *Mirror) Suite(name string) *Suite {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.suites {
		if s.Name == name {
			return s
		}
	}
	s := &Suite{Name: name}
	m.suites = append(m.suites, s)
	return s
}

// SignWrongly makes the suite's releases be signed with a key that is not in
// the keyring. Unlike the field WrongKey it may be set while a client that gave
// up is still being answered.
func (m *Mirror) SignWrongly(suite string) {
	s := m.Suite(suite)
	m.mu.Lock()
	defer m.mu.Unlock()
	s.WrongKey = true
}

// Remove makes the files whose paths contain part answer 404.
func (m *Mirror) Remove(part string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.gone = append(m.gone, part)
}

// Restore brings back what Remove took away.
func (m *Mirror) Restore() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.gone = nil
}

// Corrupt makes the files whose paths contain part come with a changed byte.
func (m *Mirror) Corrupt(part string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.broken = append(m.broken, part)
}

// Fail makes every request answer with an HTTP status.
func (m *Mirror) Fail(status int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = status
}

// Hold makes requests for the files whose paths contain part send half of it,
// and wait for the returned function to be called, or for the client to leave.
func (m *Mirror) Hold(part string) (release func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := make(chan struct{})
	m.hold[part] = c
	return sync.OnceFunc(func() { close(c) })
}

// Hits is the number of requests for files whose paths contain a string.
func (m *Mirror) Hits(part string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for path, hits := range m.hits {
		if strings.Contains(path, part) {
			n += hits
		}
	}
	return n
}

// ServeHTTP implements http.Handler.
func (m *Mirror) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	fail := m.fail
	m.mu.Unlock()
	if fail != 0 {
		http.Error(w, http.StatusText(fail), fail)
		return
	}
	data, hold := m.file(r.URL.Path)
	if answer := m.oddly(r.URL.Path); answer != nil {
		answer(w, r, data)
		return
	}
	if data == nil {
		http.NotFound(w, r)
		return
	}
	tag := `"` + hash(data) + `"`
	if r.Header.Get("If-None-Match") == tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	w.Header().Set("ETag", tag)
	w.Header().Set("Content-Length", fmt.Sprint(len(data)))
	half := len(data)
	if hold != nil {
		half /= 2
	}
	// An error means that the client has left.
	if _, err := w.Write(data[:half]); err != nil || hold == nil {
		return
	}
	if f, ok := w.(http.Flusher); ok {
		f.Flush()
	}
	select {
	case <-hold:
		_, _ = w.Write(data[half:]) // as above
	case <-r.Context().Done():
	}
}

// file returns what is at a path, or nil, and what to wait for within it.
func (m *Mirror) file(path string) ([]byte, chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hits[path]++
	has := func(part string) bool { return strings.Contains(path, part) }
	if slices.ContainsFunc(m.gone, has) {
		return nil, nil
	}
	data := m.pool[path]
	if data == nil {
		data = m.dist(path)
	}
	if data != nil && slices.ContainsFunc(m.broken, has) {
		data = bytes.Clone(data)
		data[len(data)/2] ^= 1
	}
	for part, c := range m.hold {
		if has(part) {
			return data, c
		}
	}
	return data, nil
}

// dist returns a file below /dists/.
func (m *Mirror) dist(path string) []byte {
	for _, s := range m.suites {
		rest, ok := strings.CutPrefix(path, archive(s.Name)+"/dists/"+s.Name+"/")
		if !ok {
			continue
		}
		files := s.indexes(m.t)
		if rest == "InRelease" {
			return m.sign(s, files)
		}
		for _, f := range files {
			byHash := "main/binary-amd64/by-hash/SHA256/" + hash(f.data)
			if rest == f.name || rest == byHash {
				return f.data
			}
		}
	}
	return nil
}

// archive is the path of the archive that a suite is in.
func archive(suite string) string {
	if strings.HasSuffix(suite, "-security") {
		return "/debian-security"
	}
	return "/debian"
}

type index struct {
	name string
	data []byte
}

func (s *Suite) indexes(t testing.TB) []index {
	endings := s.Indexes
	if endings == nil {
		endings = []string{".gz", ".xz"}
	}
	text := []byte(strings.Join(s.packages, "\n"))
	var out []index
	for _, e := range endings {
		out = append(out, index{"main/binary-amd64/Packages" + e, Compress(t, e, text)})
	}
	return out
}

// sign makes the release file of a suite.
func (m *Mirror) sign(s *Suite, files []index) []byte {
	at := s.Signed
	if at.IsZero() {
		at = time.Now()
	}
	var text strings.Builder
	name := s.Claims
	if name == "" {
		name = s.Name
	}
	fmt.Fprintf(&text, "Origin: Debian\nSuite: %s\nCodename: %s\nDate: %s\n", name, name, at.UTC().Format(releaseTime))
	if !s.ValidUntil.IsZero() {
		fmt.Fprintf(&text, "Valid-Until: %s\n", s.ValidUntil.UTC().Format(releaseTime))
	}
	text.WriteString("Acquire-By-Hash: yes\nArchitectures: amd64\nComponents: main\nSHA256:\n")
	for _, f := range files {
		fmt.Fprintf(&text, " %s %d %s\n", hash(f.data), len(f.data), f.name)
	}
	key := m.key
	if s.WrongKey {
		key = m.other
	}
	return signFor(m.t, key, text.String(), at, s.SigLife)
}

const releaseTime = "Mon, 02 Jan 2006 15:04:05 UTC"

// Sign clearsigns a text.
func Sign(t testing.TB, key *openpgp.Entity, text string, at time.Time) []byte {
	t.Helper()
	return signFor(t, key, text, at, 0)
}

// signFor is Sign with a signature that expires after a time, unless that is 0.
func signFor(t testing.TB, key *openpgp.Entity, text string, at time.Time, life time.Duration) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := clearsign.Encode(&b, key.PrivateKey, &packet.Config{
		DefaultHash: crypto.SHA256, Time: func() time.Time { return at }, SigLifetimeSecs: uint32(life / time.Second),
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return append(b.Bytes(), '\n')
}

func hash(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
