package initramfs

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cavaliergopher/cpio"

	"github.com/ctmatrix/ctmatrix/guest/observe"
)

var update = flag.Bool("update", false, "write golden files")

// membersOf reads an archive with a reader that is not ours.
func membersOf(t testing.TB, l Layer) map[string]*cpio.Header {
	members := map[string]*cpio.Header{}
	r := cpio.NewReader(bytes.NewReader(l))
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return members
		}
		if err != nil {
			t.Fatal(err)
		}
		if members[h.Name] != nil {
			t.Fatalf("%s is there twice", h.Name)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		h.Linkname = string(data) // which files do not use
		members[h.Name] = h
	}
}

func TestAgentGolden(t *testing.T) {
	l, err := Agent([]byte("program"))
	if err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "agent.hex")
	got := hex.Dump(l)
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("archive differs from %s:\n%s", golden, got)
	}
}

// Whoever changes what an image is made like must say so: what was measured in
// the old one is kept under its version.
func TestVersion(t *testing.T) {
	golden, err := os.ReadFile(filepath.Join("testdata", "agent.hex"))
	if err != nil {
		t.Fatal(err)
	}
	const of = "modules-2 6f0f37770641ec0b549d796067d434f43b571a2aae317b2dde51f40c560d8f00" // of the golden image, under Version
	if got := fmt.Sprintf("%s %x", Version, sha256.Sum256(golden)); got != of {
		t.Errorf("version and golden image are\n%s, and were\n%s: change both together, and this", got, of)
	}
}

func TestAgentMembers(t *testing.T) {
	l, err := Agent([]byte("program"))
	if err != nil {
		t.Fatal(err)
	}
	members := membersOf(t, l)
	if h := members["init"]; h == nil || h.Linkname != "program" || h.Mode != cpio.TypeReg|0o755 {
		t.Errorf("init: %+v", h)
	}
	if h := members["dev/console"]; h == nil || h.Mode != cpio.TypeChar|0o600 || h.Links != 1 {
		t.Errorf("dev/console: %+v", h)
	}
	for _, d := range mountPoints {
		if h := members[d]; h == nil || h.Mode != cpio.TypeDir|0o755 || h.Links != 2 {
			t.Errorf("%s: %+v", d, h)
		}
	}
}

func TestAssembleRefusesTornLayers(t *testing.T) {
	var b strings.Builder
	if err := Assemble(&b, Layer("abc")); err == nil {
		t.Error("a layer that nothing can follow was taken")
	}
	if b.Len() != 0 {
		t.Error("it was written all the same")
	}
}

func TestLayersFollowEachOther(t *testing.T) {
	agent, err := Agent([]byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	told, err := Boot(observe.Boot{HostKey: "h", ClientKey: "c"})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := Assemble(&b, agent, told); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b.Bytes(), append(bytes.Clone(agent), told...)) {
		t.Error("the image is not its layers, one after the other")
	}
	// The kernel goes on behind a trailer at the next multiple of four.
	if at := bytes.Index(b.Bytes()[len(agent):], []byte(magic)); at != 0 {
		t.Errorf("second layer begins %d bytes late", at)
	}
	if h := membersOf(t, told)[inImage(observe.BootPath)]; h == nil || h.Mode != cpio.TypeReg|0o600 {
		t.Errorf("the keys' file: %+v", h)
	}
	if _, err := Boot(observe.Boot{HostKey: "h"}); err == nil {
		t.Error("a boot without a client's key was taken")
	}
}

func FuzzArchive(f *testing.F) {
	f.Add("a", []byte("x"), "b/c", []byte("12345"))
	f.Add("a/b", []byte(nil), "a", []byte("y"))
	f.Add("a-b", []byte("\x00"), "a/b/c", bytes.Repeat([]byte("070701"), 30))
	f.Fuzz(func(t *testing.T, name1 string, data1 []byte, name2 string, data2 []byte) {
		for _, n := range []string{name1, name2} {
			// What the builder makes: clean relative paths.
			if n != filepath.Clean(n) || !filepath.IsLocal(n) || n == "." || n == trailer || strings.ContainsRune(n, 0) || len(n) > 200 {
				t.Skip()
			}
		}
		l, err := archive([]file{regular(name1, 0o644, data1), regular(name2, 0o600, data2)})
		clash := name1 == name2 || strings.HasPrefix(name1, name2+"/") || strings.HasPrefix(name2, name1+"/")
		if clash != (err != nil) {
			t.Fatalf("%q and %q: %v", name1, name2, err)
		}
		if err != nil {
			return
		}
		if len(l)%4 != 0 {
			t.Fatalf("%d bytes", len(l))
		}
		members := membersOf(t, l)
		if members[name1].Linkname != string(data1) || members[name2].Linkname != string(data2) {
			t.Fatal("other content")
		}
		if d := filepath.Dir(name1); d != "." && members[d] == nil {
			t.Fatalf("no directory %s", d)
		}
	})
}
