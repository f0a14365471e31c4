package apt

import (
	"bytes"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp/armor"
)

// FuzzReadKeyring reads keyrings of the user's, binary and armored: one that is
// read has a key in it.
func FuzzReadKeyring(f *testing.F) {
	f.Add(builtin[:min(len(builtin), 8<<10)])
	var b bytes.Buffer
	if err := newKey(f, now.AddDate(-5, 0, 0), 0).Serialize(&b); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	var text bytes.Buffer
	w, err := armor.Encode(&text, "PGP PUBLIC KEY BLOCK", nil)
	if err != nil {
		f.Fatal(err)
	}
	_, err = w.Write(b.Bytes())
	if cerr := w.Close(); err != nil || cerr != nil {
		f.Fatal(err, cerr)
	}
	f.Add(text.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		if k, err := ReadKeyring(data); err == nil && k.Len() == 0 {
			t.Fatal("a keyring without a key")
		}
	})
}
