package initramfs

import (
	"bytes"
	"testing"
)

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
