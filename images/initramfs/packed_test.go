package initramfs

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ctmatrix/ctmatrix/images/kernel/unpack"
)

// Two packed layers are one stream, which holds both.
func TestPacked(t *testing.T) {
	c := Cache{Dir: filepath.Join(t.TempDir(), "new")}
	program := []byte(strings.Repeat("program ", 1000))
	one, err := Agent(program)
	if err != nil {
		t.Fatal(err)
	}
	two, err := Files([]File{{Name: "a", Data: []byte("text")}})
	if err != nil {
		t.Fatal(err)
	}
	pack := []func() (Layer, error){
		func() (Layer, error) { return c.PackedAgent(program) },
		func() (Layer, error) { return c.packed([]string{"two"}, func() (Layer, error) { return two, nil }) },
	}
	var image bytes.Buffer
	for range 2 { // made, then kept
		var packed []Layer
		for _, f := range pack {
			p, err := f()
			if err != nil {
				t.Fatal(err)
			}
			packed = append(packed, p)
		}
		image.Reset()
		if err := Assemble(&image, packed...); err != nil {
			t.Fatal(err)
		}
		r, err := unpack.Reader("image.lz4", bytes.NewReader(image.Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if want := append(bytes.Clone(one), two...); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes, %v; want %d", len(got), err, len(want))
		}
	}
	if image.Len() > len(one)/2 {
		t.Errorf("%d bytes of %d", image.Len(), len(one)+len(two))
	}
}

// A kept layer that is damaged is made anew.
func TestPackedDamaged(t *testing.T) {
	c := Cache{Dir: t.TempDir()}
	pack := func() (Layer, error) {
		return c.packed([]string{"some"}, func() (Layer, error) { return Layer("0707"), nil })
	}
	want, err := pack()
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(c.Dir, "*"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	if err := os.WriteFile(files[0], []byte("{}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := pack(); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%q, %v; want %q", got, err, want)
	}
}

func TestAssembleKeepsPackedLast(t *testing.T) {
	packed, plain := Layer(unpack.LZ4Magic+"rest of it"), Layer("0707")
	if err := Assemble(io.Discard, plain, packed, packed); err != nil {
		t.Error(err)
	}
	for _, layers := range [][]Layer{{packed, plain}, {Layer("07070")}} {
		if err := Assemble(io.Discard, layers...); err == nil {
			t.Errorf("%q is assembled", layers)
		}
	}
}
