package initramfs

import (
	"bytes"
	"slices"
	"testing"
)

// Signatures are left out of a layer, or kept if that is asked for, and the cache does
// not take one layer for the other.
func TestSigned(t *testing.T) {
	files := sample(t)
	const path = "kernel/a.ko"
	plain := files[path]
	if plain == nil {
		t.Fatalf("the sample has no %s", path)
	}
	files[path] = slices.Concat(plain, []byte("CN"+"id"+"signature"), []byte{0, 4, 2, 2, 2, 0, 0, 0, 0, 0, 0, 9}, []byte(signatureMagic))
	dir, layers := kernelDir(t, files), t.TempDir()
	for _, c := range []struct {
		signed bool
		want   []byte
	}{{false, plain}, {true, files[path]}} {
		l, err := Cache{Dir: layers, Signed: c.signed}.Modules("digest", dir, "r", []string{"a"})
		if err != nil {
			t.Fatal(err)
		}
		if got := membersOf(t, l.Layer)["lib/ctmatrix/modules/a.ko"]; got == nil || got.Linkname != string(c.want) {
			t.Errorf("signed %v: the module is %+v", c.signed, got)
		}
	}
}

func TestUnsigned(t *testing.T) {
	info := func(signer, key byte, size ...byte) string {
		return string([]byte{0, 4, 2, signer, key, 0, 0, 0}) + string(size)
	}
	for name, test := range map[string]struct{ in, want string }{
		"signed":         {"module" + "CN" + "id" + "signature" + info(2, 2, 0, 0, 0, 9) + signatureMagic, "module"},
		"twice":          {"module" + "signature" + info(0, 0, 0, 0, 0, 9) + signatureMagic + "s" + info(0, 0, 0, 0, 0, 1) + signatureMagic, "module" + "signature" + info(0, 0, 0, 0, 0, 9) + signatureMagic},
		"not signed":     {"module", "module"},
		"empty":          {"", ""},
		"torn":           {info(0, 0, 0, 0, 0, 9)[1:] + signatureMagic, info(0, 0, 0, 0, 0, 9)[1:] + signatureMagic},
		"longer than it": {"module" + info(0, 0, 0xff, 0xff, 0xff, 0xff) + signatureMagic, "module" + info(0, 0, 0xff, 0xff, 0xff, 0xff) + signatureMagic},
		"all of it":      {"signature" + info(0, 0, 0, 0, 0, 9) + signatureMagic, ""},
	} {
		if got := unsigned([]byte(test.in)); !bytes.Equal(got, []byte(test.want)) {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}
